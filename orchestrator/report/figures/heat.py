"""Rectangles in rows and columns, coloured by a number or by an outcome; grey where there is nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.report.blocks import Row
from orchestrator.report.figures.canvas import EMPTY, LETTER, ON_DARK, ON_LIGHT, PAPER, QUIET, RIGHT_SCALE, Canvas, short
from orchestrator.report.figures.chart import PERCENT, number_of

ROOM = 900
"""Rectangles up to which each can be pointed at."""
DRAWN = 400
"""Rectangles up to which each is drawn for itself, with its number in it; more are one picture within the panel, beside which a
scale says what the colours mean."""
DARK = 0.55
"""The share of a scale of colours from which numbers are written in white."""


@dataclass(frozen=True)
class HeatLook:
    """``value`` at the columns ``row`` and ``column``; ``ends``: of the scale of colours. ``text``: what is written in a
    rectangle, ``told``: what a reader is told who points there; ``dark_low``: small numbers are the dark ones; ``cell``: its
    inches across and down. ``colours``: a scale of matplotlib's, or the names of the values 0, 1, ... with their colours;
    ``unit``: of the numbers on that scale, shares where it is ``%``."""

    row: str
    column: str
    row_title: str
    column_title: str
    text: Callable[[Row], str]
    told: Callable[[Row], str]
    colours: str | Mapping[str, str] = "Blues"
    ends: tuple[float, float] = (0.0, 1.0)
    dark_low: bool = False
    cell: tuple[float, float] = (0.5, 0.3)
    unit: str = ""

    def draw(self, title: str, rows: Sequence[Row]) -> Canvas:
        """The panel, as large as it has rows and columns, within bounds."""
        down, across = _names(rows, self.row), _names(rows, self.column)
        shown_down, shown_across = [short(name) for name in down], [short(name) for name in across]
        widest = max(map(len, shown_across))
        tall = widest > 8
        left = 0.34 + LETTER * max(map(len, shown_down))
        legend = 0.0 if isinstance(self.colours, str) else sum(0.42 + LETTER * len(name) for name in self.colours)
        width = min(12.0, max(3.4 - left, legend, len(across) * self.cell[0]))
        height = min(14.0, max(0.9, len(down) * self.cell[1]))
        below = 0.42 + (0.08 + 0.8 * LETTER * widest if tall else 0.14)
        unwritten = isinstance(self.colours, str) and len(down) * len(across) > DRAWN
        below_it = below + (0.0 if isinstance(self.colours, str) else 0.2)
        canvas = Canvas(title, (width, height), left, below_it, RIGHT_SCALE if unwritten else 0.12)
        self._fill(canvas, rows, down, across)
        fitting = max(1, int(width / (0.16 if tall else LETTER * (1 + widest))))
        _name(canvas.axes.set_xticks, shown_across, fitting, {"rotation": 90} if tall else {})
        _name(canvas.axes.set_yticks, shown_down, int(height / 0.15), {})
        canvas.axes.set_xlabel(self.column_title, labelpad=3)
        if height > LETTER * len(self.row_title):
            canvas.axes.set_ylabel(self.row_title, labelpad=3)
        if not isinstance(self.colours, str):
            for name, colour in self.colours.items():
                canvas.axes.bar([0], [0], color=colour, label=name)
            canvas.legend(len(self.colours), below)
        elif unwritten:
            canvas.colour_scale(self.colours, self.ends, self.unit, 100.0 if self.unit == PERCENT else 1.0)
        return canvas

    def _fill(self, canvas: Canvas, rows: Sequence[Row], down: Mapping[str, int], across: Mapping[str, int]) -> None:
        import numpy as np
        from matplotlib.colors import ListedColormap

        low, high = self.ends
        values = np.full((len(down), len(across)), np.nan)
        for row in rows:
            value = number_of(row, "value")
            values[down[_text(row[self.row])], across[_text(row[self.column])]] = math.nan if value is None else value
        few = values.size <= DRAWN
        scale = self.colours if isinstance(self.colours, str) else ListedColormap(list(self.colours.values()))
        axes, look = canvas.axes, {"cmap": scale, "vmin": low, "vmax": high}
        axes.set_facecolor(EMPTY)
        if few:
            axes.pcolormesh(values, **look, edgecolors=PAPER, linewidth=1.0)
        else:
            axes.imshow(values, **look, aspect="auto", interpolation="none", extent=(0, len(across), len(down), 0))
        axes.set_xlim(0, len(across))
        axes.set_ylim(len(down), 0)
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        for row in rows if values.size <= ROOM else ():
            self._tell(canvas, row, (across[_text(row[self.column])], down[_text(row[self.row])]), few)

    def _tell(self, canvas: Canvas, row: Row, place: tuple[int, int], written: bool) -> None:
        (x, y), text = place, self.text(row)
        if written and text:
            value, (low, high) = number_of(row, "value"), self.ends
            share = 0.0 if value is None else (value - low) / (high - low)
            dark = (share < 1 - DARK) if self.dark_low else (share > DARK)
            colour = QUIET if value is None else ON_DARK if dark else ON_LIGHT
            canvas.axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=8, color=colour)
        place_text = f"{_text(row[self.row])} · {self.column_title} {_text(row[self.column])}"
        canvas.box((x, y), (x + 1, y + 1), f"{place_text}\n{self.told(row)}")


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _names(rows: Sequence[Row], column: str) -> dict[str, int]:
    """The values of a column with their places: numbers from the smallest, names in the order of the rows."""
    values = list(dict.fromkeys(row[column] for row in rows))
    numbers = [value for value in values if isinstance(value, int | float)]
    ordered = sorted(numbers) if len(numbers) == len(values) else values
    return {_text(value): place for place, value in enumerate(ordered)}


def _name(set_ticks: Callable[..., object], names: Sequence[str], fitting: int, look: Mapping[str, object]) -> None:
    """Names beside rectangles; of those for which there is no room every n-th."""
    step = math.ceil(len(names) / max(1, fitting))
    places = range(0, len(names), step)
    set_ticks([place + 0.5 for place in places], [names[place] for place in places], fontsize=8.5, **look)
