"""Rates with their intervals under each other, a dot each; what belongs together has one name and several colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.report.blocks import Row
from orchestrator.report.figures.canvas import COLOURS, LETTER, MARKERS, WIDTH, Canvas, short
from orchestrator.report.figures.chart import PERCENT, number_of, told_in

ROOM = 40
"""Lines in a panel, the first; the data have all."""
STEP = 0.24
"""Inches of a line."""


@dataclass(frozen=True)
class DotLook:
    """``value`` in ``unit`` for each value of the column ``name``,
    coloured by the column ``group``. ``logarithmic``: of the values."""

    name: str
    group: str
    x_title: str
    unit: str = PERCENT
    logarithmic: bool = False

    def draw(self, title: str, rows: Sequence[Row]) -> Canvas:
        """The panel."""
        rows = [row for row in rows if row["value"] is not None]
        names = list(dict.fromkeys(str(row[self.name]) for row in rows))[:ROOM]
        groups = list(dict.fromkeys(str(row[self.group]) for row in rows))
        shown = [short(name) for name in names]
        left = 0.2 + LETTER * max(map(len, shown))
        columns = max(1, min(len(groups), int(WIDTH / (0.45 + 0.075 * max(map(len, groups))))))
        size = (max(2.2, WIDTH + 0.62 - left), 0.3 + STEP * len(names))
        canvas = Canvas(title, size, left, 0.5 + 0.17 * -(-len(groups) // columns))
        canvas.plain()
        if self.unit == PERCENT:
            canvas.percent("x")
        if self.logarithmic:
            canvas.scale("log")
        canvas.axes.set_yticks(range(len(names)), shown, fontsize=8.5)
        canvas.axes.set_ylim(len(names) - 0.5, -0.5)
        canvas.axes.set_xlabel(f"{self.x_title} ({self.unit})", labelpad=2)
        for number, group in enumerate(groups):
            shift = (number - (len(groups) - 1) / 2) * min(0.3, 0.7 / len(groups))
            found = [row for row in rows if str(row[self.group]) == group and str(row[self.name]) in names]
            self._draw(canvas, group, [(names.index(str(row[self.name])) + shift, row) for row in found], number)
        canvas.legend(columns)
        return canvas

    def _draw(self, canvas: Canvas, group: str, rows: Sequence[tuple[float, Row]], number: int) -> None:
        colour, scale = COLOURS[number % len(COLOURS)], 100.0 if self.unit == PERCENT else 1.0
        for place, row in rows:
            low, high = number_of(row, "low"), number_of(row, "high")
            if low is not None and high is not None:
                canvas.axes.plot([scale * low, scale * high], [place, place], color=colour, linewidth=1.6, alpha=0.55)
        at = [(scale * (number_of(row, "value") or 0.0), place) for place, row in rows]
        look = {"color": colour, "marker": MARKERS[number % len(MARKERS)], "s": 26, "zorder": 3, "clip_on": False}
        canvas.axes.scatter(*zip(*at, strict=True), label=short(group), linewidths=0, **look)
        for point, (_, row) in zip(at, rows, strict=True):
            canvas.point(*point, f"{row[self.name]}\n{group}\n{told_in(self.unit, row)}")
