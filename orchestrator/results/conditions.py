"""What has to be equal for two cells to be compared, or to be of one condition: the columns that tell cells apart, by their axis.

Such a column (or property) of ``CellAxes`` or ``CellPrompts`` is declared with its ``Axis``. Whatever compares cells names the
axes that may differ; all others have to be equal, so that a new column is held equal everywhere.
"""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import Any

from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.columns import Axis, axes_declared
from orchestrator.results.rows import CellPrompts

AXES: dict[str, Axis] = dict(sorted({**axes_declared(CellAxes), **axes_declared(CellPrompts)}.items(), key=lambda one: one[1]))
"""Every column that tells cells apart, with its axis and in the order of these."""

UNSTEERED = frozenset({Axis.VARIANT, Axis.MODEL, Axis.QUANTIZATION, Axis.TEST, Axis.PROMPTS})
"""What a baseline has."""

STEERED = frozenset(Axis) - UNSTEERED
"""What only a steered cell has."""

SETTING = frozenset({Axis.PLACE, Axis.STRENGTH, Axis.FURTHER})
"""What the cells of one series differ in."""

NAMED = tuple(column for column, axis in AXES.items() if axis not in (Axis.VARIANT, Axis.PROMPTS))
"""The columns by which a person compares: for ids and digests stand the names."""

SAME_CONTROL = frozenset({Axis.MODEL, Axis.QUANTIZATION, Axis.ORIGIN, Axis.PLACE})
"""What a transfer and its self-control may differ in: whose direction it is, where, and what the sweep calls the one variant."""


def condition(row: CellAxes, may_differ: frozenset[Axis]) -> tuple[object, ...]:
    """The row's values in ``AXES`` but for the axes that ``may_differ``: rows for which they are equal are of one condition."""
    values: tuple[object, ...] = _values_but(may_differ)(row)
    return values


@lru_cache
def _values_but(axes: frozenset[Axis]) -> attrgetter[Any]:
    return attrgetter(*(column for column, axis in AXES.items() if axis not in axes))
