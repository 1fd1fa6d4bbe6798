"""What all figures share: a canvas without a display, colours that everyone can tell apart, and bytes that repeat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

DPI = 150
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C6D1F")
"""Okabe and Ito's palette (its yellow, too light for a line, replaced); told apart by every kind of colour vision."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
COLUMNS = 3
"""Panels beside each other."""


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: the name of its file, its bytes, and in words what it shows."""

    name: str
    png: bytes
    about: str


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Any:
    """A matplotlib figure of ``width`` x ``height`` inches that needs no display. ``layout`` None: whoever draws gives the
    margins, which takes half the time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Any) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    png = BytesIO()
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return png.getvalue()


def panels(count: int, title: str) -> tuple[Any, list[Any]]:
    """A figure of ``count`` equal panels with percent axes, and those panels."""
    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns)
    figure = new_figure(max(6.4, 3.8 * columns), 0.6 + 3.7 * rows)
    figure.suptitle(title, fontsize=12, parse_math=False)
    axes = figure.subplots(rows, columns, squeeze=False)
    flat = [panel for line in axes for panel in line]
    for unused in flat[count:]:
        unused.set_visible(False)
    for panel in flat[:count]:
        panel.set_ylim(-3, 103)
        panel.set_yticks([0, 20, 40, 60, 80, 100])
        panel.grid(color="0.9", linewidth=0.8)
        panel.set_axisbelow(True)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    return figure, flat[:count]
