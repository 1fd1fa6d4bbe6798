"""Lines over a number, each with the band of its 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.report.blocks import Row
from orchestrator.report.figures.canvas import COLOURS, HEIGHT, MARKERS, WIDTH, Canvas, short
from orchestrator.report.figures.chart import PERCENT, number_of, told_in
from orchestrator.report.values import IN_SAMPLE

MANY = 8
"""Lines in a panel, as many as can be told apart: the highest. The data have all."""


@dataclass(frozen=True)
class LineLook:
    """``value`` in ``unit`` over the column ``x``, a line for each value of the column ``line``. ``logarithmic``: of ``x``.
    ``ends``: of the axis, where it is not to be as long as the numbers need."""

    x: str
    line: str
    x_title: str
    y_title: str
    logarithmic: bool = False
    unit: str = PERCENT
    ends: tuple[float, float] | None = None

    def draw(self, title: str, rows: Sequence[Row]) -> Canvas:
        """The panel: dashed lines are measured on the prompts that chose their setting."""
        lines = self._lines(rows)
        names = [short(name) + (f" {IN_SAMPLE}" if _in_sample(line) else "") for name, line in lines.items()]
        columns = max(1, min(len(names), int(WIDTH / (0.45 + 0.075 * max(map(len, names))))))
        legend = -(-len(names) // columns) if len(names) > 1 or _in_sample(rows) else 0
        canvas = Canvas(title, (WIDTH, HEIGHT), below=0.5 + 0.17 * legend)
        canvas.plain()
        if self.unit == PERCENT:
            canvas.percent()
        if self.ends is not None:
            canvas.axes.set_ylim(*self.ends)
        if self.logarithmic:
            canvas.scale("log")
        for number, (name, line) in enumerate(zip(names, lines.values(), strict=True)):
            self._draw(canvas, name, line, number)
        canvas.axes.set_xlabel(self.x_title, labelpad=2)
        canvas.axes.set_ylabel(f"{self.y_title} ({self.unit})" if self.unit else self.y_title, labelpad=2)
        if legend:
            canvas.legend(columns)
        canvas.axes.autoscale_view()
        for name, line in lines.items():
            for row in line:
                x, value = self._at(row), number_of(row, "value") or 0.0
                canvas.point(x, self._scale * value, f"{name}\n{self.x_title} {x:.4g}\n{told_in(self.unit, row)}")
        return canvas

    def _lines(self, rows: Sequence[Row]) -> dict[str, list[Row]]:
        """The ``MANY`` highest (of shares; else the first), each from left to right, in the order of ``rows``."""
        found: dict[str, list[Row]] = {}
        for row in rows:
            if row["value"] is not None and row[self.x] is not None:
                found.setdefault(str(row[self.line]), []).append(row)
        height = {name: max(number_of(row, "value") or 0.0 for row in line) for name, line in found.items()}
        highest = sorted(found, key=lambda name: -height[name] if self.unit == PERCENT else 0.0)[:MANY]
        return {name: sorted(line, key=self._at) for name, line in found.items() if name in highest}

    @property
    def _scale(self) -> float:
        return 100.0 if self.unit == PERCENT else 1.0

    def _at(self, row: Row) -> float:
        return number_of(row, self.x) or 0.0

    def _ends(self, row: Row) -> tuple[float, float]:
        """Of the band at a point: where there is no interval, all that a share may be, and of another number itself."""
        value, low, high = (number_of(row, name) for name in ("value", "low", "high"))
        least, most = (0.0, 1.0) if self.unit == PERCENT else (value or 0.0, value or 0.0)
        return self._scale * (least if low is None else low), self._scale * (most if high is None else high)

    def _draw(self, canvas: Canvas, name: str, line: Sequence[Row], number: int) -> None:
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        at, values = [self._at(row) for row in line], [self._scale * (number_of(row, "value") or 0.0) for row in line]
        ends = [self._ends(row) for row in line]
        low, high = [one for one, _ in ends], [one for _, one in ends]
        canvas.axes.fill_between(at, low, high, color=colour, alpha=0.13, lw=0)
        dash = "--" if _in_sample(line) else "-"
        look = {"color": colour, "marker": marker, "markersize": 4.5, "linewidth": 1.6, "linestyle": dash, "clip_on": False}
        canvas.axes.plot(at, values, label=name, **look)


def _in_sample(rows: Sequence[Row]) -> bool:
    return any(row.get("in_sample") for row in rows)
