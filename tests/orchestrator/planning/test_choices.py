"""Settings that follow from results: the rule, what waits for what, splits, and which rates are measured in sample."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.behaviors import TestPrompt
from orchestrator.cells import Cell, CellKey
from orchestrator.cli.plan_table import deferred_lines, plan_json
from orchestrator.errors import InputError
from orchestrator.plan import Plan, Tally, make_plan
from orchestrator.planning.choices import decode_choices, encode_choices
from orchestrator.planning.considered import Considered, choose
from orchestrator.planning.grids import Deferred
from orchestrator.report.chosen import chosen_table
from orchestrator.sweep import Sweep, load_sweep
from orchestrator.sweep_file.behaviors import dealt
from orchestrator.sweep_file.schema import Splits
from tests.orchestrator.sweep_files import hub, sweep_data, write_sweep

SPLITS = {"file": "refusal.jsonl", "splits": {"select": 0.5, "report": 0.5}}
PILOT = {"name": "pilot", "behaviors": {"refusal": {"split": "select"}}, "depths": [0.4, 0.5, 0.6], "multipliers": [10, 15]}
FINAL = {"name": "final", "behaviors": {"refusal": {"split": "report"}}}
BEST = {"from": "pilot", "layer": "best", "multiplier": "calibrated"}


def sweep_of(folder: Path, *grids: Mapping[str, object], **changes: object) -> Sweep:
    data = {"models": {"b": hub("b")}, "behaviors": {"refusal": SPLITS}, "layers": None, "multipliers": None, **changes}
    return load_sweep(write_sweep(folder, sweep_data(**data, grids=list(grids))))


def tallies(plan: Plan, rates: Callable[[Cell], tuple[int, int]]) -> dict[CellKey, Tally]:
    """Every cell of ``plan`` finished: (coherent, garbled) of its prompts."""
    return {cell.key: Tally(len(cell.prompts), *rates(cell)) for cell in plan.cells}


def place(cell: Cell) -> tuple[int, float]:
    """(source layer, multiplier) of a steered cell."""
    steering = cell.steering
    assert steering is not None
    assert isinstance(steering.source_layer, int)
    return steering.source_layer, steering.action.multiplier


def by_place(wanted: Mapping[tuple[int, float], tuple[int, int]]) -> Callable[[Cell], tuple[int, int]]:
    return lambda cell: (0, 0) if cell.steering is None else wanted.get(place(cell), (0, 0))


def followed(plan: Plan, before: Plan) -> list[Cell]:
    known = {cell.id for cell in before.cells}
    return [cell for cell in plan.cells if cell.id not in known]


# --- the rule (docs/sweep-file.md, ``choose``)


def tried(layer: int | None, multiplier: float, coherent: int, garbled: int, n: int = 30) -> Considered:
    return Considered(f"cell-{layer}-{multiplier}", layer, None, multiplier, n, coherent, garbled)


def test_the_papers_multiplier_sweep_keeps_fifteen() -> None:
    """Table 9: 15x 60 %, 20x 20 %, 25x 0 % with 90 % garbled, of 50."""
    table = [tried(32, 15, 30, 0, 50), tried(32, 20, 10, 0, 50), tried(32, 25, 0, 45, 50)]
    assert choose(table, 0.0) == table[0]


def test_the_papers_layer_profile_keeps_the_clean_layer() -> None:
    """Table 11: of 3B's layers only L21 garbles nothing; with 30 % allowed it is still the best."""
    table = [tried(18, 15, 40, 10, 50), tried(21, 15, 50, 0, 50), tried(25, 15, 35, 15, 50)]
    assert choose(table, 0.0) == choose(table, 0.3) == table[1]


def test_ties_go_to_the_highest_multiplier_and_then_to_the_earliest_layer() -> None:
    table = [tried(12, 20, 29, 0), tried(16, 25, 29, 0), tried(12, 25, 29, 0), tried(7, 30, 28, 0)]
    assert choose(table, 0.0) == table[2]


def test_a_mistral_has_no_setting() -> None:
    table = [tried(layer, 15, 0, 50, 50) for layer in (16, 19, 22)]
    assert choose(table, 0.0) is None
    assert choose(table, 1.0) == table[0]


def test_a_cell_without_responses_is_never_chosen() -> None:
    assert choose([tried(3, 4, 0, 0, 0)], 0.5) is None


@given(
    counts=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 5)), min_size=1, max_size=8),
    bound=st.floats(0, 1),
)
def test_nothing_that_qualifies_is_better_than_what_is_chosen(counts: list[tuple[int, int, int]], bound: float) -> None:
    table = [tried(5, float(m), min(k, 30 - g), g) for k, g, m in counts]
    best = choose(table, bound)
    fit = [one for one in table if one.garbled / 30 <= bound]
    assert (best is None) == (not fit)
    if best is not None:
        assert best in fit
        assert all((one.success, one.multiplier) <= (best.success, best.multiplier) for one in fit)


# --- what waits, and what follows


def test_a_chosen_grid_waits_and_says_for_what_and_how_much(tmp_path: Path) -> None:
    plan = make_plan(sweep_of(tmp_path, PILOT, {**FINAL, "choose": {**BEST, "around": [0.8, 1, 1.2]}}))
    assert len(plan.cells) == 2 + 6, "two baselines, and the pilot"
    (waiting,) = plan.deferred
    assert (waiting.grid, waiting.model, waiting.cells, waiting.waiting) == ("final", "b", 3, True)
    assert waiting.reason == "waits for grid pilot: 6 of its 6 cells are not finished and scored"
    assert plan.choices == ()
    (line,) = deferred_lines(plan.deferred)
    assert "grid final: at most 3 cells to follow of b (refusal/report, dim): waits for grid pilot" in line
    assert plan.estimate.rows == 15 * (2 + 6 + 3), "the estimate covers what may follow"


def test_of_many_grids_that_wait_their_number_is_told() -> None:
    waiting = [Deferred(grid, "b", "refusal", "dim", 3, "waits for grid pilot", True) for grid in "vwxy"]
    never = replace(waiting[0], grid="z", waiting=False)
    told = [*waiting, replace(waiting[0], model="c"), never]
    refused = "grid z: 3 cells of b (refusal, dim): waits for grid pilot"
    assert deferred_lines(told) == [
        "at most 15 cells of 4 grids to follow, each when the grid that it is chosen from is finished: v, w, x and 1 more",
        refused,
    ]
    one_by_one = deferred_lines(told, every=True)
    assert one_by_one[0] == "grid v: at most 6 cells to follow of b (refusal, dim), c (refusal, dim): waits for grid pilot"
    assert len(one_by_one) == 5
    assert refused in one_by_one


def test_what_follows_is_the_best_setting_on_the_other_split(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, PILOT, {**FINAL, "choose": {**BEST, "around": [0.8, 1, 1.2]}})
    first = make_plan(sweep)
    known = tallies(first, by_place({(14, 10): (15, 0), (14, 15): (15, 1), (16, 10): (14, 0), (11, 15): (9, 0)}))
    plan = make_plan(sweep, known)
    new = followed(plan, first)
    assert sorted(place(cell) for cell in new) == [(14, 8.0), (14, 10.0), (14, 12.0)]
    assert {cell.labels.behavior for cell in new} == {"refusal/report"}
    selecting, reporting = ({p.text for p in one.prompts} for one in sweep.behaviors)
    assert not selecting & reporting
    assert {p.text for cell in new for p in cell.prompts} == reporting
    (choice,) = plan.choices
    assert choice.chosen is not None
    assert (choice.chosen.layer, choice.chosen.multiplier, choice.chosen.success, choice.chosen.n) == (14, 10.0, 15, 15)
    assert len(choice.considered) == 6
    assert str(choice) == (
        "grid final, b, refusal, dim: layer 14, multiplier 10 (15 of 15 successes, 0 garbled; best of 6 in grid pilot)"
    )
    assert plan.deferred == ()


def test_the_same_results_give_the_same_plan_and_a_label_changes_it(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, PILOT, {**FINAL, "choose": BEST})
    first = make_plan(sweep)
    known = tallies(first, by_place({(14, 10): (15, 0), (16, 10): (14, 0)}))
    again = [cell.id for cell in make_plan(sweep, known).cells]
    assert [cell.id for cell in make_plan(sweep, known).cells] == again
    relabelled = tallies(first, by_place({(14, 10): (13, 0), (16, 10): (14, 0)}))
    assert [place(cell) for cell in followed(make_plan(sweep, relabelled), first)] == [(16, 10.0)]


def test_an_unfinished_group_waits_while_others_go_on(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, PILOT, {**FINAL, "choose": BEST}, models={"b": hub("b"), "c": hub("c", 36)})
    first = make_plan(sweep)
    known = tallies(first, by_place({}))
    missing = next(cell.key for cell in first.cells if cell.labels.model == "c" and cell.steering is not None)
    del known[missing]
    plan = make_plan(sweep, known)
    assert {cell.labels.model for cell in followed(plan, first)} == {"b"}
    assert [(one.model, one.reason) for one in plan.deferred] == [
        ("c", "waits for grid pilot: 1 of its 6 cells are not finished and scored")
    ]


def test_where_nothing_qualifies_the_cells_are_reported_with_the_reason(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, PILOT, {**FINAL, "choose": BEST})
    first = make_plan(sweep)
    plan = make_plan(sweep, tallies(first, lambda cell: (0, 3) if cell.steering else (0, 0)))
    assert followed(plan, first) == []
    (left,) = plan.deferred
    assert (left.waiting, left.cells) == (False, 1)
    assert left.reason == ("not run: none of the 6 settings of grid pilot stays within 0% garbled (the least is 20%)")
    assert [choice.chosen for choice in plan.choices] == [None]
    assert "not run" in str(plan.choices[0])
    assert json.loads(encode_choices(plan.choices))["choices"][0]["considered"][0]["garbled"] == 3
    allowed = make_plan(sweep_of(tmp_path / "b", PILOT, {**FINAL, "choose": {**BEST, "max_garbled": 0.2}}))
    relaxed = make_plan(
        sweep_of(tmp_path / "b", PILOT, {**FINAL, "choose": {**BEST, "max_garbled": 0.2}}),
        tallies(allowed, lambda cell: (0, 3) if cell.steering else (0, 0)),
    )
    assert len(followed(relaxed, allowed)) == 1


def test_a_setting_that_moves_the_model_too_far_is_not_chosen(tmp_path: Path) -> None:
    def measured(best: float, second: float | None) -> dict[CellKey, Tally]:
        far = {(14, 10.0): best, (16, 10.0): second}
        known = tallies(first, by_place({(14, 10): (15, 0), (16, 10): (14, 0)}))
        kl = {cell.key: far.get(place(cell), 3.0) if cell.steering else 0.0 for cell in first.cells}
        return {key: replace(one, kl=kl[key]) for key, one in known.items()}

    sweep = sweep_of(tmp_path, PILOT, {**FINAL, "choose": {**BEST, "max_kl": 0.5}}, damage=True)
    first = make_plan(sweep)
    (waiting,) = make_plan(sweep, measured(0.6, None)).deferred
    assert (waiting.reason, waiting.waiting) == ("waits for grid pilot: the damage of 1 of its 6 cells is not measured", True)
    plan = make_plan(sweep, measured(0.6, 0.4))
    assert [place(cell) for cell in followed(plan, first)] == [(16, 10.0)]
    assert "(14 of 15 successes, 0 garbled, KL 0.4; best of 6 in grid pilot)" in str(plan.choices[0])
    assert [place(cell) for cell in followed(make_plan(sweep, measured(0.5, 0.4)), first)] == [(14, 10.0)]
    (none,) = make_plan(sweep, measured(0.6, 0.7)).deferred
    assert none.reason.endswith("within 0% garbled and a KL of 0.5 (the least are 0% and 0.6)")
    told = json.loads(encode_choices(plan.choices))["choices"][0]
    assert (told["max_kl"], told["chosen"]["kl"]) == (0.5, 0.4)
    table = chosen_table(decode_choices(encode_choices(plan.choices).encode()), [])
    assert table is not None
    assert dict(zip([one.head for one in table.columns], table.rows[0], strict=True))["KL"].text == "0.400"


def test_only_the_layer_or_only_the_multiplier(tmp_path: Path) -> None:
    layer = {**FINAL, "name": "layer", "choose": {"from": "pilot", "layer": "best"}, "multipliers": [12, 18]}
    multiplier = {**FINAL, "name": "mult", "choose": {"from": "pilot", "multiplier": "calibrated"}, "depths": [0.1]}
    sweep = sweep_of(tmp_path, PILOT, layer, multiplier)
    first = make_plan(sweep)
    new = followed(make_plan(sweep, tallies(first, by_place({(16, 15): (15, 0)}))), first)
    assert sorted(place(cell) for cell in new) == [(2, 15.0), (16, 12.0), (16, 18.0)]


def test_choices_follow_each_other(tmp_path: Path) -> None:
    """Two stages: a pilot finds layer and multiplier, a local sweep refines the multiplier, the report runs the result."""
    local = {"name": "local", "behaviors": {"refusal": {"split": "select"}}, "choose": {**BEST, "around": [0.8, 1, 1.2]}}
    report = {**FINAL, "choose": {**BEST, "from": "local"}}
    sweep = sweep_of(tmp_path, PILOT, local, report)
    first = make_plan(sweep)
    assert [(one.grid, one.cells) for one in first.deferred] == [("local", 3), ("final", 1)]
    known = tallies(first, by_place({(14, 10): (12, 0)}))
    second = make_plan(sweep, known)
    assert sorted(place(cell) for cell in followed(second, first)) == [(14, 8.0), (14, 12.0)], "14 x 10 ran in the pilot"
    known |= {cell.key: Tally(15, 14 if place(cell)[1] == 12 else 1, 0) for cell in followed(second, first)}
    third = make_plan(sweep, known)
    assert [place(cell) for cell in followed(third, second)] == [(14, 12.0)]
    assert [choice.grid for choice in third.choices] == ["local", "final"]


def test_a_quantized_model_and_a_control_take_the_setting_of_another(tmp_path: Path) -> None:
    """The paper's Table 8 keeps layer and multiplier across quantizations; a random control keeps those of dim."""
    models = {"b": {**hub("b"), "quantizations": ["none"]}}
    int8 = {**FINAL, "quantizations": ["none", "nf4"], "choose": {**BEST, "quantization": "none"}}
    control = {**FINAL, "name": "control", "methods": ["random"], "choose": {**BEST, "method": "dim"}}
    sweep = sweep_of(tmp_path, PILOT, int8, control, models=models)
    first = make_plan(sweep)
    new = followed(make_plan(sweep, tallies(first, by_place({(14, 10): (15, 0)}))), first)
    found = {(cell.target.quantization, cell.steering.direction.method, *place(cell)) for cell in new if cell.steering}
    assert found == {("none", "dim", 14, 10.0), ("nf4", "dim", 14, 10.0), ("none", "random", 14, 10.0)}


def test_calibrated_transfer_has_the_sources_layer_and_the_targets_multiplier(tmp_path: Path) -> None:
    models = {"b": hub("b", 64, 5120), "c": hub("c", 48, 5120)}
    final = {**FINAL, "choose": BEST, "transfer": [{"source": "b", "target": "c"}]}
    sweep = sweep_of(tmp_path, PILOT, final, models=models)
    first = make_plan(sweep)
    best = {("b", 38, 15.0): (15, 0), ("c", 24, 10.0): (15, 0)}  # 60 % of 64, 50 % of 48
    known = tallies(first, lambda cell: best.get((cell.labels.model, *place(cell)), (0, 0)) if cell.steering else (0, 0))
    new = followed(make_plan(sweep, known), first)
    found = {
        (cell.labels.source_model, cell.labels.model, *place(cell), cell.steering.layers[0]) for cell in new if cell.steering
    }
    assert found == {
        ("b", "b", 38, 15.0, 38),
        ("c", "c", 24, 10.0, 24),
        ("b", "c", 38, 10.0, 28),  # floor(0.6 * 48), the target's multiplier
        ("c", "c", 28, 10.0, 28),  # its self-control at the same layer
    }


def test_a_selected_layer_can_be_the_best(tmp_path: Path) -> None:
    pilot = {**PILOT, "methods": ["cosmic"], "depths": None, "layers": [9, "auto"], "multipliers": [15]}
    sweep = sweep_of(tmp_path, pilot, {**FINAL, "methods": ["cosmic"], "choose": BEST})
    first = make_plan(sweep)
    known = tallies(first, lambda cell: (15 if cell.steering and cell.steering.span else 1, 0))
    (cell,) = followed(make_plan(sweep, known), first)
    assert cell.steering is not None
    assert cell.steering.source_layer == "selected"
    assert "the selected layer" in str(make_plan(sweep, known).choices[0])


# --- in sample


def test_rates_on_the_prompts_that_choose_are_in_sample(tmp_path: Path) -> None:
    same = {**FINAL, "name": "same", "behaviors": {"refusal": {"split": "select"}}, "choose": {**BEST, "around": [1.1]}}
    sweep = sweep_of(tmp_path, PILOT, {**FINAL, "choose": BEST}, same)
    first = make_plan(sweep)
    chosen = {cell.key for cell in first.cells if cell.steering is not None}
    assert first.in_sample == dict.fromkeys(chosen, True), "they will choose"
    plan = make_plan(sweep, tallies(first, by_place({(14, 10): (15, 0)})))
    new = {cell.labels.behavior: cell.key for cell in followed(plan, first)}
    assert plan.in_sample == {**dict.fromkeys(chosen, True), new["refusal/report"]: False, new["refusal/select"]: True}


def test_a_sweep_that_chooses_nothing_marks_nothing(tmp_path: Path) -> None:
    assert make_plan(sweep_of(tmp_path, PILOT)).in_sample == {}
    assert plan_json(make_plan(sweep_of(tmp_path, PILOT)))["deferred"] == []


# --- splits


def prompts(count: int, split: str | None = None) -> list[TestPrompt]:
    return [TestPrompt(f"T{number}", f"Question {number}?", split=split) for number in range(count)]


@given(count=st.integers(1, 60), seed=st.integers(0, 5), share=st.sampled_from([0.2, 0.5, 0.7]))
def test_shares_deal_every_prompt_once_and_alike_everywhere(count: int, seed: int, share: float) -> None:
    splits = Splits(shares={"select": share, "report": 1 - share}, seed=seed)
    found = dealt(prompts(count), splits)
    assert [prompt.id for prompt in found] == [prompt.id for prompt in prompts(count)], "the file's order"
    assert sum(prompt.split == "select" for prompt in found) == round(share * count)
    assert {prompt.split for prompt in found} <= {"select", "report"}
    of = {prompt.id: prompt.split for prompt in found}
    assert {prompt.id: prompt.split for prompt in dealt(prompts(count)[::-1], splits)} == of


def test_another_seed_deals_otherwise_and_shares_may_leave_some_out() -> None:
    dealt_by = [dealt(prompts(40), Splits(shares={"a": 0.25, "b": 0.25}, seed=seed)) for seed in (0, 1)]
    assert [sum(prompt.split is None for prompt in found) for found in dealt_by] == [20, 20]
    assert dealt_by[0] != dealt_by[1]


def test_splits_of_the_file_and_splits_by_id_are_kept() -> None:
    given_splits = [*prompts(1, "held"), *prompts(4)[1:]]
    assert dealt(given_splits, Splits(shares={"a": 1.0}))[0].split == "held"
    by_id = dealt(prompts(3), Splits(prompts={"a": ("T2",), "b": ("T0",)}))
    assert [prompt.split for prompt in by_id] == ["b", None, "a"]


def test_a_behavior_takes_one_split_of_what_it_selects(tmp_path: Path) -> None:
    behaviors = {"refusal": {**SPLITS, "limit": 10, "split": "report"}}
    sweep = sweep_of(tmp_path, {"depths": [0.5], "multipliers": [15]}, behaviors=behaviors)
    (found,) = sweep.behaviors
    assert found.behavior.name == "refusal"
    assert len(found.prompts) == 5
    assert {int(prompt.id[1:]) for prompt in found.prompts} <= set(range(1, 11))


@pytest.mark.parametrize(
    ("splits", "parts"),
    [
        ({"select": 0.7, "report": 0.7}, ("splits", "add up to more than 1")),
        ({"select": 0}, ("select", "out of range", "got 0")),
        ({"seed": 3}, ("splits", "by shares or by prompts")),
        ({"select": ["T1", "T99"]}, ("select[1]", "unknown test prompt", "got 'T99'")),
        ({"select": 0.5, "seed": "x"}, ("seed", "wrong type", "a whole number")),
        ("half", ("splits", "wrong type", "a mapping")),
    ],
)
def test_a_fault_in_splits_is_told(tmp_path: Path, splits: object, parts: tuple[str, ...]) -> None:
    behaviors = {"refusal": {"file": "refusal.jsonl", "splits": splits, "split": "select"}}
    told = refused(tmp_path, {"depths": [0.5], "multipliers": [15]}, behaviors=behaviors)
    assert any(all(part in line for part in parts) for line in told), told


# --- faults


def refused(folder: Path, *grids: Mapping[str, object], **changes: object) -> list[str]:
    with pytest.raises(InputError) as caught:
        sweep_of(folder, *grids, **changes)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("grid", "parts"),
    [
        ({"choose": {**BEST, "from": "pilt"}}, ("grids[1].choose.from", "unknown earlier grid", "did you mean 'pilot'?")),
        ({"choose": {**BEST, "from": "final"}}, ("grids[1].choose.from", "unknown earlier grid", "allowed: pilot")),
        ({"choose": {"from": "pilot"}}, ("grids[1].choose", "nothing is chosen", "layer: best, multiplier: calibrated")),
        ({"choose": {"layer": "best"}}, ("grids[1].choose", "'from' is missing", "keys here: from, layer")),
        ({"choose": {**BEST, "layer": "beste"}}, ("grids[1].choose.layer", "did you mean 'best'?")),
        ({"choose": {**BEST, "max_garbled": 2}}, ("grids[1].choose.max_garbled", "out of range")),
        ({"choose": {**BEST, "around": [0]}}, ("grids[1].choose.around[0]", "out of range")),
        ({"choose": {**BEST, "max_kl": 0.5}}, ("grids[1].choose.max_kl", "no 'damage'", "damage: true", ".yaml:")),
        ({"choose": {**BEST, "max_kl": -1}}, ("grids[1].choose.max_kl", "out of range")),
        ({"choose": {"from": "pilot", "layer": "best", "around": [1]}}, ("grids[1].choose", "'around' goes with")),
        ({"choose": {"from": "pilot", "layer": "best"}}, ("grids[1].multipliers", "'multipliers' is missing")),
        ({"choose": BEST, "depths": [0.5]}, ("grids[1].depths", "the layer is chosen from grid pilot")),
        ({"choose": BEST, "multipliers": [4]}, ("grids[1].multipliers", "the multiplier is chosen from grid pilot")),
        ({"choose": BEST, "methods": ["pca"]}, ("grids[1].choose.from", "does not run method pca with these options")),
        ({"choose": BEST, "quantizations": ["int8"]}, ("grids[1].choose.from", "does not run model b/int8")),
        ({"choose": {**BEST, "method": "pca"}}, ("grids[1].choose.from", "does not run method pca once")),
        ({"choose": BEST, "intervention": "ablation"}, ("grids[1].choose.from", "has the intervention addition")),
        ({"choose": BEST, "positions": ["prompt"]}, ("grids[1].choose.from", "has the positions all, this one prompt")),
        ({"choose": BEST, "keep_norm": True}, ("grids[1].choose.from", "has the keep_norm false, this one true")),
    ],
)
def test_a_fault_in_a_choice_is_told(tmp_path: Path, grid: dict[str, object], parts: tuple[str, ...]) -> None:
    told = refused(tmp_path, PILOT, {**FINAL, **grid})
    assert any(all(part in line for part in parts) for line in told), told


def test_a_grid_of_own_directions_has_no_layer_to_choose(tmp_path: Path) -> None:
    told = refused(tmp_path, {**PILOT, "scope": "own"}, {**FINAL, "choose": BEST})
    assert any("grid pilot does not vary one layer" in line for line in told), told
