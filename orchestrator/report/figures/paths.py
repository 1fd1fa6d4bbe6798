"""A path through points in a plane, from the first to the last, with the error of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.report.blocks import Row
from orchestrator.report.figures.canvas import COLOURS, HEIGHT, INK, QUIET, WIDTH, Canvas
from orchestrator.report.figures.chart import number_of

STRETCH = 0.16
"""Room around the points, as a share of how far they reach."""


@dataclass(frozen=True)
class PathLook:
    """``value`` over ``x``, joined in the order of the rows. ``error``: the radius of a circle around a point; ``soft`` ones are
    hollow. Both axes have one scale."""

    x_title: str = "first principal component"
    y_title: str = "second principal component"

    def draw(self, title: str, rows: Sequence[Row]) -> Canvas:
        """The panel."""
        from matplotlib.patches import Circle

        canvas = Canvas(title, (WIDTH, HEIGHT), below=0.68)
        canvas.plain()
        points = [(number_of(row, "x") or 0.0, number_of(row, "value") or 0.0) for row in rows]
        errors = [number_of(row, "error") or 0.0 for row in rows]
        axes = canvas.axes
        axes.plot(*zip(*points, strict=True), color=INK, linewidth=1.2, alpha=0.6, zorder=2)
        for point, error, row in zip(points, errors, rows, strict=True):
            axes.add_patch(Circle(point, error, color=QUIET, alpha=0.15, linewidth=0))
            face = "none" if row["soft"] else COLOURS[0]
            axes.scatter(*point, s=30, facecolors=face, edgecolors=COLOURS[0], zorder=3)
            axes.annotate(f"{number_of(row, 'strength'):.2f}", point, (5, 5), textcoords="offset points", fontsize=8)
        self._frame(canvas, points, errors)
        axes.set_xlabel(self.x_title, labelpad=2)
        axes.set_ylabel(self.y_title, labelpad=2)
        for point, error, row in zip(points, errors, rows, strict=True):
            told = (
                f"knot {row['knot']} of {row['n']} prompts\nstrength {number_of(row, 'strength'):.2f}\nstandard error {error:.3g}"
            )
            canvas.point(*point, told + ("\nsoft: not to be relied on" if row["soft"] else ""))
        return canvas

    def _frame(self, canvas: Canvas, points: Sequence[tuple[float, float]], errors: Sequence[float]) -> None:
        """Limits that hold every circle, in one scale."""
        placed = list(zip(points, errors, strict=True))
        ends = [(min(at[way] - r for at, r in placed), max(at[way] + r for at, r in placed)) for way in (0, 1)]
        middle = [(low + high) / 2 for low, high in ends]
        unit = max((ends[0][1] - ends[0][0]) / WIDTH, (ends[1][1] - ends[1][0]) / HEIGHT) * (1 + STRETCH) / 2 or 1.0
        canvas.axes.set_xlim(middle[0] - unit * WIDTH, middle[0] + unit * WIDTH)
        canvas.axes.set_ylim(middle[1] - unit * HEIGHT, middle[1] + unit * HEIGHT)
