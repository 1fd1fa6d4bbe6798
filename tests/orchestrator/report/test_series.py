"""Grouping of rows, and the words for where a cell is steered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.report.series import cell_text, depth_text, layer_text, multiplier_text, series_of
from tests.orchestrator.report.made_up import rows_of
from tests.orchestrator.samples import grid


def test_baseline_then_by_layer_and_multiplier_whatever_the_order() -> None:
    rows = rows_of()
    (series,) = series_of(rows[::-1])
    assert [(row.layer, row.multiplier) for row in series.rows] == [(None, None), (12, 2), (12, 8), (15, 2), (15, 8)]
    assert series.title == "smollm2 · refusal"


def test_series_differ_by_every_axis_but_layer_and_multiplier_and_share_the_baseline() -> None:
    rows = rows_of()
    other = [replace(row, method="cosmic", cell_id=row.cell_id + "c") for row in rows[1:]]
    transfer = [replace(row, is_transfer=True, source_model="qwen", cell_id=row.cell_id + "t") for row in rows[1:]]
    found = series_of([*rows, *other, *transfer])
    assert [series.title for series in found] == [
        "smollm2 · refusal · dim",
        "smollm2 · refusal · cosmic",
        "smollm2 · refusal · direction from qwen · dim",
    ]
    assert all(series.baseline is rows[0] for series in found)
    assert [len(series.steered) for series in found] == [4, 4, 4]


def test_a_model_without_steered_cells_keeps_its_place() -> None:
    rows = [*rows_of(cells=grid(name="first")[:1]), *rows_of(cells=[replace(grid(name="second")[1])])]
    assert [(series.title, series.baseline is None) for series in series_of(rows)] == [
        ("first · refusal", False),
        ("second · refusal", True),
    ]


@pytest.mark.parametrize(
    ("layers", "scope", "text"),
    [
        (tuple(range(15, 30)), "from_layer", "L15+"),
        ((29,), "from_layer", "L29+"),
        ((15,), "single", "L15"),
        ((29,), "single", "L29"),
        (tuple(range(12, 30)), "own", "L12+"),
        ((12, 15), "list", "L12,15"),
        ((10, 11, 12, 13), "list", "L10-13"),
        ((1, 3, 5, 7, 9), "list", "L1,3,5,7,..."),
        (None, None, "none"),
    ],
)
def test_where(layers: tuple[int, ...] | None, scope: str | None, text: str) -> None:
    assert layer_text(replace(rows_of()[1], layers=layers, scope=scope)) == text


def test_depth_and_multiplier() -> None:
    row = rows_of()[-1]
    assert (depth_text(row), multiplier_text(row), cell_text(row)) == ("50 %", "8", "L15+ x 8")
    assert depth_text(replace(row, depth=0.6)) == "60 %"
    assert depth_text(replace(row, depth=None)) == "50 %"
    assert depth_text(replace(row, depth=None, n_layers=None)) == ""
    assert multiplier_text(replace(row, multiplier=-0.25)) == "-0.25"
    assert multiplier_text(rows_of()[0]) == "-"


def test_a_site_is_said_once_where_the_direction_was_read_there_too() -> None:
    base, row = rows_of()[:2]
    read, acts = {"method_options": '{"site": "mlp"}'}, {"site": "mlp"}
    kinds: list[dict[str, str]] = [{}, {**read, **acts}, acts, read, {"site": "everywhere"}]
    rows = [replace(row, cell_id=f"c{number}", **kind) for number, kind in enumerate(kinds)]  # type: ignore[arg-type]
    assert [one.title.removeprefix("smollm2 · refusal").strip(" ·") for one in series_of([base, *rows])] == [
        *("addition", "in mlp", "site output · in mlp", "site mlp · addition", "in everywhere"),
    ]
