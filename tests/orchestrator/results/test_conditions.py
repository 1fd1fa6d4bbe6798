"""What has to be equal for cells to be compared: every column that tells cells apart, but for those that may differ."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.columns import Axis
from orchestrator.results.conditions import AXES, SETTING, STEERED, UNSTEERED, condition
from orchestrator.results.rows import CellPrompts, CellRow
from tests.orchestrator.report.made_up import row_of
from tests.orchestrator.samples import cell

ROW = row_of(cell(15, 8.0))

CHANGED: dict[str, dict[str, object]] = {
    "origin": {"is_transfer": True, "source_model": "other"},
    "place": {"layers": (3, 4)},
}
"""How a computed column changes; any other by another value of its own."""

TOLD_BY_OTHERS = {
    "cell_id": "what it is of",
    "direction_id": "model, behavior, method, tool",
    "source": "location",
    "revision": "variant",
    "model_fingerprint": "variant",
    "family": "model",
    "n_layers": "model",
    "d_model": "model",
    "n": "prompts",
    "source_model": "origin",
    "is_transfer": "origin",
    "source_layer": "place",
    "depth": "place",
    "layers": "place",
    "layer_selected": "place",
    "in_sample": "prompts and choice",
    "search": "the search that tried it",
    "trial": "the search that tried it",
}
"""Columns that cells cannot differ in alone, and what tells it."""


def changed(column: str) -> CellRow:
    return replace(ROW, **CHANGED.get(column, {column: "another"}))  # type: ignore[arg-type]


def test_every_column_has_an_axis_or_follows_from_others() -> None:
    columns = {one.name for row in (CellAxes, CellPrompts) for one in fields(row)}
    assert columns - AXES.keys() == TOLD_BY_OTHERS.keys()


@pytest.mark.parametrize("column", AXES)
def test_a_cell_that_differs_is_another_condition_unless_it_may(column: str) -> None:
    other, axis = changed(column), AXES[column]
    assert condition(other, frozenset()) != condition(ROW, frozenset())
    assert condition(other, frozenset({axis})) == condition(ROW, frozenset({axis}))
    assert condition(other, frozenset(Axis) - {axis}) != condition(ROW, frozenset(Axis) - {axis})


def test_the_parts_of_a_steered_cell() -> None:
    assert frozenset(Axis) == UNSTEERED | STEERED
    assert not UNSTEERED & STEERED
    assert SETTING < STEERED
