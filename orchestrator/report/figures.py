"""Heat maps, layer by multiplier: successes, beside them the garbled and, where there are any, those without an answer.

The same rows give the same bytes.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.outcome import Outcome, in_words
from orchestrator.report.drawing import new_figure, png_of
from orchestrator.report.series import Series
from orchestrator.report.values import IN_SAMPLE, main_outcomes, target_words, where_text
from orchestrator.results.rows import CellRow

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ANNOTATED = 20
"""Columns up to which every cell shows its number."""

GAPS = 48
"""Columns up to which each has a gap beside it."""

INCHES_PER_LETTER = 0.085
"""Of a name on an axis, at most. Of columns that are narrower than their names every n-th is named."""

SCALE_INCHES = 0.55
"""Beside a panel, for the numbers of its scale of colours."""

_COLOURS: dict[Outcome, str] = {"success": "Blues", "garbled": "Oranges", "no_answer": "Greys"}
"""Of the panel of each outcome."""


@dataclass(frozen=True)
class _HeatCells:
    layers: tuple[str, ...]
    multipliers: tuple[float, ...]
    cells: dict[tuple[str, float], CellRow]


def heat_map(series: Series) -> bytes | None:
    """A PNG of the labelled steered cells of a series; None when there is none. Numbers in it are percent."""
    grid = _heat_cells(series)
    if not grid.cells:
        return None
    columns, rows = len(grid.multipliers), len(grid.layers)
    width = min(24.0, max(8.0, 2.6 + 1.1 * columns))
    height = 2.3 + 0.42 * rows
    figure = new_figure(width, height, None)
    title = textwrap.fill(series.title, int(11 * width))
    note = f"; {IN_SAMPLE} in-sample" if any(row.in_sample for row in grid.cells.values()) else ""
    figure.suptitle(f"{title}\n{_baseline(series.baseline)}{note}", fontsize=11, parse_math=False)
    titles = _titles(grid)
    axes = figure.subplots(1, len(titles), squeeze=False)[0]
    left, top = 0.6 + INCHES_PER_LETTER * max(map(len, grid.layers)), 0.75 + 0.19 * title.count("\n")
    wide = (width - left - SCALE_INCHES - SCALE_INCHES * (len(titles) - 1)) / len(titles)
    figure.subplots_adjust(left / width, 0.6 / height, 1 - SCALE_INCHES / width, 1 - top / height, wspace=SCALE_INCHES / wide)
    for panel, outcome in zip(axes, titles, strict=True):
        _panel(panel, grid, outcome)
        panel.set_title(f"{titles[outcome]} (%)", fontsize=10, parse_math=False)
        _name_columns(panel, grid.multipliers, wide)
        panel.set_yticks([])
    axes[0].set_yticks([place + 0.5 for place in range(rows)], grid.layers)
    axes[0].set_ylabel("steered layer (depth)")
    return png_of(figure)


def heat_map_titles(series: Series) -> list[str]:
    """What the panels of ``heat_map`` show."""
    return list(_titles(_heat_cells(series)).values())


def _titles(grid: _HeatCells) -> dict[Outcome, str]:
    rows = list(grid.cells.values())
    return {outcome: target_words(rows) if outcome == "success" else in_words(outcome) for outcome in main_outcomes(rows)}


def _panel(axes: Any, grid: _HeatCells, outcome: Outcome) -> None:
    gap = 1 if len(grid.multipliers) <= GAPS else 0
    look = {"vmin": 0, "vmax": 100, "cmap": _COLOURS[outcome], "edgecolors": "white" if gap else "none", "linewidth": gap}
    image = axes.pcolormesh(_shares(grid, outcome), **look)
    axes.set_facecolor("0.9")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    if len(grid.multipliers) <= ANNOTATED:
        _annotate(axes, grid, outcome)
    axes.figure.colorbar(image, ax=axes, ticks=[0, 25, 50, 75, 100], fraction=0.05, pad=0.03)


def _name_columns(axes: Any, multipliers: Sequence[float], wide: float) -> None:
    """``wide``: of the panel, in inches."""
    names = [f"{multiplier:g}" for multiplier in multipliers]
    fitting = max(1, int(wide / (INCHES_PER_LETTER * (1 + max(map(len, names))))))
    named = range(0, len(names), math.ceil(len(names) / fitting))
    axes.set_xticks([place + 0.5 for place in named], [names[place] for place in named])
    axes.set_xlabel("multiplier")


def _annotate(axes: Any, grid: _HeatCells, outcome: Outcome) -> None:
    for (layer, multiplier), row in grid.cells.items():
        share = 100 * row.count(outcome) / row.n
        place = (grid.multipliers.index(multiplier) + 0.5, grid.layers.index(layer) + 0.5)
        mark = IN_SAMPLE if row.in_sample else ""
        axes.text(*place, f"{share:.0f}{mark}", ha="center", va="center", fontsize=9, color="white" if share > 60 else "black")


def _heat_cells(series: Series) -> _HeatCells:
    rows = [row for row in series.steered if row.labelled and row.n and row.multiplier is not None]
    names = tuple(dict.fromkeys(where_text(row) for row in rows))
    cells = {(where_text(row), row.multiplier): row for row in rows if row.multiplier is not None}
    return _HeatCells(names, tuple(sorted({multiplier for _, multiplier in cells})), cells)


def _shares(grid: _HeatCells, outcome: Outcome) -> npt.NDArray[np.float64]:
    """Percent ``[layers, multipliers]``; NaN, shown as grey, where no cell is finished."""
    import numpy as np

    shares = np.full((len(grid.layers), len(grid.multipliers)), np.nan)
    for (layer, multiplier), row in grid.cells.items():
        shares[grid.layers.index(layer), grid.multipliers.index(multiplier)] = 100 * row.count(outcome) / row.n
    return shares


def _baseline(row: CellRow | None) -> str:
    if row is None:
        return "no unsteered baseline"
    if not row.labelled:
        return "the unsteered baseline is not labelled"
    cut = row.count("no_answer")
    without = f", {cut} without an answer" if cut else ""
    return f"unsteered: {row.count('success')} {target_words([row])}, {row.count('garbled')} garbled{without} of {row.n}"
