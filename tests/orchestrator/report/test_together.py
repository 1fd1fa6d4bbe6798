"""What the page says of directions that steer together and of conditions, from made-up rows."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from actors.types import Action, CellResult, ConditionThreshold
from orchestrator.cells import Cell, ConditionSpec, SteeringSpec
from orchestrator.cli import app
from orchestrator.compare.answer import Request, comparisons
from orchestrator.compare.levels import by_level
from orchestrator.compare.selection import select
from orchestrator.errors import InputError
from orchestrator.exports import EXPORTS
from orchestrator.loaded import load_results
from orchestrator.planned_items import axes_name
from orchestrator.report.figures.tidy import cell_axes
from orchestrator.report.report_table import stacked
from orchestrator.report.series import series_of
from orchestrator.report.tables import cells_table
from orchestrator.report.together import conditions_table, interference_table
from orchestrator.results.part_axes import decisions_of
from orchestrator.results.rows import CellRow, axes_of
from orchestrator.results.store import Store
from orchestrator.told_values import DEFAULT_OPTIONS, told_value
from tests.orchestrator.compare.made_up import reader
from tests.orchestrator.exports.test_exports import gguf_of
from tests.orchestrator.report.made_up import row_of
from tests.orchestrator.samples import PROMPTS, cell, direction_spec, filled, plan_of, result_of


def french(multiplier: float, condition: ConditionSpec | None = None) -> SteeringSpec:
    """A second direction, from layer 20 on."""
    spec = replace(direction_spec(), method="pca")
    return SteeringSpec(spec, 20, tuple(range(20, 30)), Action(multiplier), condition=condition)


def alone(multiplier: float) -> Cell:
    """French alone, scored as refusal."""
    one = cell(20, multiplier)
    return replace(one, steering=french(multiplier), labels=replace(one.labels, steers=("french",)))


def both(refusal: float, multiplier: float, orthogonal: bool = False, condition: ConditionSpec | None = None) -> Cell:
    one = cell(15, refusal)
    assert one.steering is not None
    steering = replace(one.steering, then=(french(multiplier, condition),), orthogonal=orthogonal)
    names = ("", "harms") if condition else ("", "")
    return replace(one, steering=steering, labels=replace(one.labels, steers=("refusal", "french"), conditions=names))


def texts(row: CellRow, *others: CellRow) -> list[list[str]]:
    table = interference_table([row, *others])
    return [] if table is None else [[value.text for value in line][1:] for line in table.rows]


def test_what_one_direction_does_to_the_success_of_another() -> None:
    base, refusal, together = row_of(cell(None), 1), row_of(cell(15, 8.0), 9), row_of(both(8.0, 5.0), 4)
    lines = texts(together, base, refusal, row_of(alone(5.0), 0))
    assert lines == [
        ["refusal", "refusal", "refusal x 8 at L15+", "french x 5 at L20+", "90 9/10", "40 4/10", "-50 [-75, -8]"],
        ["refusal", "refusal", "nothing", "french x 5 at L20+", "10 1/10", "0 0/10", "-10 [-40, +19]"],
    ]
    assert interference_table([base, refusal]) is None


def test_interference_stands_in_a_terminal_of_80_columns() -> None:
    rows = [row_of(one) for one in (cell(None), cell(15, 8.0), both(8.0, 5.0), alone(5.0))]
    table = interference_table(rows)
    assert table is not None
    out = StringIO()
    Console(file=out, width=80, color_system=None).print(stacked([table], 80))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("refusal x 8" in line and "french x 5" in line and "[" in line for line in lines), "a line for each, none wrapped"


def test_cells_with_other_parts_are_other_series() -> None:
    rows = [row_of(one) for one in (cell(None), cell(15, 8.0), both(8.0, 5.0), both(8.0, 9.0), both(8.0, 5.0, orthogonal=True))]
    found = series_of(rows)
    assert [len(one.steered) for one in found] == [1, 2, 1]
    assert "then french at L20-29 pca" in found[1].title
    assert "made orthogonal" in found[2].title


def test_multipliers_of_several_directions_are_rows_of_one_table() -> None:
    pairs = [(refusal, other) for other in (9.0, 5.0) for refusal in (8.0, 4.0)]
    (found,) = series_of([row_of(cell(None)), *(row_of(both(*pair)) for pair in pairs)])
    table = cells_table(found)
    assert [row[1].text for row in table.rows] == ["-", "4, 5", "8, 5", "4, 9", "8, 9"]
    assert len({row[0].text for row in table.rows[1:]}) == 1
    places = [(one["where"], one["multiplier"]) for one in map(cell_axes, found.steered)]
    assert len(set(places)) == 4, "a heat map has a place for each"
    assert places[0] == ("L15+ (50 %), then x 5", 4.0)


def test_levels_of_what_tables_hold_as_json_are_words() -> None:
    rows = [row_of(one) for one in (cell(15, 8.0), both(8.0, 5.0), both(8.0, 9.0))]
    pairs = by_level(rows, "then", "NONE")
    assert [pair.level for pair in pairs] == ["then french x 5 at L20-29 pca", "then french x 9 at L20-29 pca"]
    asked = Request(("here",), by="then")
    with pytest.raises(InputError, match=r"allowed: none, then french x 5 at L20-29 pca, then french x 9 at L20-29 pca$"):
        comparisons(asked, rows, [], reader())
    assert [row.cell_id for row in select(rows, "then=then french x 9 at L20-29 pca")] == [rows[2].cell_id]
    assert told_value(rows[0], "method_options") == DEFAULT_OPTIONS
    turned = replace(rows[0], method="cosmic", method_options='{"held_out": 0.5}')
    assert told_value(turned, "method_options") == "held_out 0.5"
    assert [told_value(one, "steers") for one in (rows[0], replace(rows[0], steers="french"))] == ["refusal", "french"]


def test_whose_direction_steers_is_named(tmp_path: Path) -> None:
    other = alone(5.0)
    titles = [one.title for one in series_of([row_of(cell(None)), row_of(other)])]
    assert titles == ["smollm2 · refusal · of french"]
    other = replace(other, labels=replace(other.labels, asked="recipes"))
    assert axes_name(axes_of(other)) == "smollm2 refusal asked recipes pca of french layer 20 x5"
    own = replace(other, labels=replace(other.labels, scope="own"))
    for one, whose in ((other, "french"), (own, "french own directions")):
        filled(tmp_path / whose, [one]).compact()
        told = CliRunner().invoke(app, ["show", str(tmp_path / whose), "all", "-n", "1"]).output.splitlines()[0]
        assert told.startswith(f"smollm2 · refusal asked recipes · pca of {whose} L20+ x 5 · p0")


def test_hits_and_misses_of_a_condition() -> None:
    condition = ConditionSpec(direction_spec(), 12, None, above=False)
    one = both(8.0, 5.0, condition=condition)
    categories = {prompt.id: ("good", "bad", "other")[number % 3] for number, prompt in enumerate(PROMPTS)}
    one = replace(one, labels=replace(one.labels, categories=categories, meant=({}, {"good": True, "bad": False})))
    made = result_of(one)
    responses = tuple(
        replace(answer, acted=(True, number < 5), cosines=(None, 0.1)) for number, answer in enumerate(made.responses)
    )
    result: CellResult = replace(made, responses=responses, thresholds=(None, ConditionThreshold(0.25, 0.9, 0.875, 8)))
    assert decisions_of(one, result) == {"acted_n": 5, "hits": 2, "misses": 2, "false_alarms": 2, "correct_rejections": 1}
    row = replace(row_of(one), acted_n=5, hits=2, misses=2, false_alarms=2, correct_rejections=1)
    row = replace(row, thresholds=(0.25,), threshold_accuracies=(0.875,))
    table = conditions_table([row, row_of(cell(15, 8.0))])
    assert table is not None
    assert [value.text for value in table.rows[0]][2:] == [
        *("french x 5 when harms by dim at L12 below auto", "0.250", "88", "10", "5", "2", "2", "2", "1"),
    ]
    assert conditions_table([row_of(cell(15, 8.0))]) is None
    out = StringIO()
    Console(file=out, width=80, color_system=None).print(stacked([table], 80))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    words = " ".join(line[:36] for line in lines)
    assert all(word in words for word in ("french x 5", "harms", "below auto"))
    assert sum(bool(line.strip()) for line in lines) <= 14, "no column is squeezed to a few letters a line"


def test_what_is_stored_of_conditions_and_parts(tmp_path: Path) -> None:
    one = both(8.0, 5.0, condition=ConditionSpec(direction_spec(), 12, 0.25))
    one = replace(one, labels=replace(one.labels, categories={PROMPTS[0].id: "good"}))
    made = result_of(one)
    responses = tuple(replace(answer, acted=(True, False), cosines=(None, 0.125)) for answer in made.responses)
    store = Store(tmp_path)
    with store.lock():
        store.write_plan(plan_of([one]))
        store.write_responses(one, replace(made, responses=responses, thresholds=(None, ConditionThreshold(0.25))), 1)
        store.compact()
    (row,) = store.cell_rows()
    assert (row.acted_n, row.hits, row.thresholds, row.threshold_accuracies) == (0, None, (0.25,), None)
    assert (row.then_multipliers, row.orthogonal, row.steers) == ((5.0,), False, None)
    frame = load_results(tmp_path).responses
    assert frame["category"].to_list() == ["good", *[None] * 9]
    assert frame["condition_cosines"].to_list() == [[0.125]] * 10
    assert frame["acted"].to_list() == [[True, False]] * 10
    told = CliRunner().invoke(app, ["show", str(tmp_path), "all", "-n", "1"]).output
    assert "3 tokens, part 1 steered, part 2 not steered (cosine 0.125, not above 0.250)" in told
    (shown,) = json.loads(CliRunner().invoke(app, ["show", str(tmp_path), "all", "-n", "1", "--json"]).output)["answers"]
    assert (shown["acted"], shown["condition_cosines"], shown["thresholds"]) == ([True, False], [0.125], [0.25])


def test_every_direction_leaves_in_a_file_of_its_own(tmp_path: Path) -> None:
    one, turned = both(8.0, 5.0), both(8.0, 6.0, orthogonal=True)
    filled(tmp_path, [cell(None), one, turned]).compact()
    results = load_results(tmp_path)
    rows = {row.cell_id: row for row in results.rows}
    first, second = EXPORTS["gguf"].write(results, [rows[one.id]], tmp_path / "out")
    told = [gguf_of(path) for path in (first, second)]
    assert [(said["steering.part"], said["steering.scale"], said["steering.method"]) for _, said in told] == [
        ("1 of 2", 8.0, "dim"),
        ("2 of 2", 5.0, "pca"),
    ]
    assert [next(iter(tensors)) for tensors, _ in told] == ["direction.15", "direction.20"]
    with pytest.raises(InputError, match="made orthogonal"):
        EXPORTS["gguf"].write(results, [rows[turned.id]], tmp_path / "out")
