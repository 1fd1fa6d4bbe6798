"""Lines over a number, each with the band of its 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.report.blocks import Row
from orchestrator.report.figures.canvas import COLOURS, HEIGHT, MARKERS, WIDTH, Canvas, short
from orchestrator.report.figures.chart import number_of, share_text
from orchestrator.report.values import IN_SAMPLE

MANY = 8
"""Lines in a panel, as many as can be told apart: the highest. The data have all."""


@dataclass(frozen=True)
class LineLook:
    """``value`` in percent over the column ``x``, a line for each value of the column ``line``. ``logarithmic``: of ``x``."""

    x: str
    line: str
    x_title: str
    y_title: str
    logarithmic: bool = False

    def draw(self, title: str, rows: Sequence[Row]) -> Canvas:
        """The panel: dashed lines are measured on the prompts that chose their setting."""
        lines = self._lines(rows)
        names = [short(name) + (f" {IN_SAMPLE}" if _in_sample(line) else "") for name, line in lines.items()]
        columns = max(1, min(len(names), int(WIDTH / (0.45 + 0.075 * max(map(len, names))))))
        legend = -(-len(names) // columns) if len(names) > 1 or _in_sample(rows) else 0
        canvas = Canvas(title, (WIDTH, HEIGHT), below=0.5 + 0.17 * legend)
        canvas.plain()
        canvas.percent()
        if self.logarithmic:
            canvas.scale("log")
        for number, (name, line) in enumerate(zip(names, lines.values(), strict=True)):
            self._draw(canvas, name, line, number)
        canvas.axes.set_xlabel(self.x_title, labelpad=2)
        canvas.axes.set_ylabel(f"{self.y_title} (%)", labelpad=2)
        if legend:
            canvas.legend(columns)
        for name, line in lines.items():
            for row in line:
                x, value = self._at(row), number_of(row, "value") or 0.0
                canvas.point(x, 100 * value, f"{name}\n{self.x_title} {x:.4g}\n{share_text(row)}")
        return canvas

    def _lines(self, rows: Sequence[Row]) -> dict[str, list[Row]]:
        """The ``MANY`` highest, each from left to right, in the order of ``rows``."""
        found: dict[str, list[Row]] = {}
        for row in rows:
            if row["value"] is not None and row[self.x] is not None:
                found.setdefault(str(row[self.line]), []).append(row)
        highest = sorted(found, key=lambda name: -max(number_of(row, "value") or 0.0 for row in found[name]))[:MANY]
        return {name: sorted(line, key=self._at) for name, line in found.items() if name in highest}

    def _at(self, row: Row) -> float:
        return number_of(row, self.x) or 0.0

    def _draw(self, canvas: Canvas, name: str, line: Sequence[Row], number: int) -> None:
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        at, values = [self._at(row) for row in line], [100 * (number_of(row, "value") or 0.0) for row in line]
        low, high = (
            [100 * _or(number_of(row, end), otherwise) for row in line] for end, otherwise in (("low", 0.0), ("high", 1.0))
        )
        canvas.axes.fill_between(at, low, high, color=colour, alpha=0.13, lw=0)
        dash = "--" if _in_sample(line) else "-"
        look = {"color": colour, "marker": marker, "markersize": 4.5, "linewidth": 1.6, "linestyle": dash, "clip_on": False}
        canvas.axes.plot(at, values, label=name, **look)


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _in_sample(rows: Sequence[Row]) -> bool:
    return any(row.get("in_sample") for row in rows)
