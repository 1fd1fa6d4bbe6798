"""Points in a plane, a colour for each group, and the line of the best ones where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.report.blocks import Row
from orchestrator.report.figures.canvas import COLOURS, HEIGHT, INK, MARKERS, QUIET, WIDTH, Canvas, short
from orchestrator.report.figures.chart import number_of

ROOM = 600
"""Points up to which each can be pointed at, and is drawn for itself; more are one picture within the panel."""
GROUPS = 8
"""Groups with a colour of their own, the largest."""


@dataclass(frozen=True)
class PointLook:
    """``value`` in percent over the column ``x``, coloured by the column ``group``; rows that are marked in the column ``line``
    are joined. ``told``: what a reader is told who points there. ``x_scale``: matplotlib's, with its threshold."""

    x: str
    group: str
    x_title: str
    y_title: str
    told: Callable[[Row], str]
    x_scale: tuple[str, float] | None = None
    line: str = ""
    faint: tuple[str, ...] = ()

    def draw(self, title: str, rows: Sequence[Row]) -> Canvas:
        """The panel."""
        rows = [row for row in rows if row["value"] is not None and row[self.x] is not None]
        names = self._names(rows)
        shown = [short(name) for name in names] + ([self.line] if self.line else [])
        columns = max(1, min(len(shown), int(WIDTH / (0.45 + 0.075 * max(map(len, shown), default=1)))))
        canvas = Canvas(title, (WIDTH, HEIGHT), below=0.5 + 0.17 * -(-len(shown) // columns))
        canvas.plain()
        canvas.percent()
        if self.x_scale is not None:
            canvas.scale(*self.x_scale)
        for number, name in enumerate(names):
            self._draw(canvas, name, [row for row in rows if row[self.group] == name], number)
        self._join(canvas, rows)
        canvas.axes.set_xlabel(self.x_title, labelpad=2)
        canvas.axes.set_ylabel(f"{self.y_title} (%)", labelpad=2)
        canvas.legend(columns)
        for row in rows if len(rows) <= ROOM else [row for row in rows if self.line and row.get(self.line)]:
            canvas.point(*self._at(row), f"{self.told(row)}\n{self.x_title} {number_of(row, self.x):.4g}")
        return canvas

    def _at(self, row: Row) -> tuple[float, float]:
        return number_of(row, self.x) or 0.0, 100 * (number_of(row, "value") or 0.0)

    def _names(self, rows: Sequence[Row]) -> list[str]:
        """The groups, first those with a colour of their own."""
        sizes: dict[str, int] = {}
        for row in rows:
            name = str(row[self.group])
            sizes[name] = sizes.get(name, 0) + 1
        largest = sorted(sizes, key=lambda name: -sizes[name])[:GROUPS]
        return [name for name in sizes if name in largest]

    def _draw(self, canvas: Canvas, name: str, rows: Sequence[Row], number: int) -> None:
        faint = name in self.faint
        look = {"color": QUIET if faint else COLOURS[number % len(COLOURS)], "marker": "x" if faint else MARKERS[number % 8]}
        at = [self._at(row) for row in rows]
        canvas.axes.scatter(
            *zip(*at, strict=True), label=short(name), s=26, alpha=0.8, linewidths=1.0 if faint else 0, clip_on=False,
            rasterized=len(rows) > ROOM, **look,
        )  # fmt: skip

    def _join(self, canvas: Canvas, rows: Sequence[Row]) -> None:
        if self.line:
            best = sorted(self._at(row) for row in rows if row.get(self.line))
            if best:
                look = {"color": INK, "linewidth": 1.0, "alpha": 0.6, "zorder": 1, "drawstyle": "steps-post"}
                canvas.axes.plot(*zip(*best, strict=True), label=self.line, **look)
