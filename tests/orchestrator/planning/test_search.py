"""Strength search: what is asked follows from results alone, budgets are equal, and what it found is tried on other prompts."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from orchestrator.cells import Cell, CellKey
from orchestrator.cli.plan_table import deferred_lines, plan_json
from orchestrator.damage import DamageItem
from orchestrator.plan import Plan, Tally, make_plan
from orchestrator.planning.choices import decode_searches, encode_choices
from orchestrator.planning.considered import Considered
from orchestrator.planning.search import TrialSetting, replay
from orchestrator.report.searches import searches_table
from orchestrator.sweep import Sweep
from orchestrator.sweep_file import grid_checks
from orchestrator.sweep_file.schema import SearchEntry
from tests.orchestrator.planning.test_choices import FINAL, place, refused, sweep_of

optuna = pytest.importorskip("optuna", reason="Optuna, which strength searches need, is not installed")

SELECT = {"refusal": {"split": "select"}}
SEARCH: dict[str, object] = {"multiplier": [2, 40], "trials": 20, "batch": 8}
GRID = {"name": "found", "behaviors": SELECT, "depths": [0.4, 0.5, 0.6], "methods": ["dim", "random"], "search": SEARCH}
REPORT = {**FINAL, "methods": ["dim", "random"], "choose": {"from": "found", "layer": "best", "multiplier": "calibrated"}}


def answered(cell: Cell) -> Tally:
    """A model whose best setting is layer 14 of 28 at 22, that garbles from 27 on, and that a random direction does not move."""
    if cell.steering is None:
        return Tally(15, 0, 0)
    layer, multiplier = place(cell)
    garbled = max(0, min(15, int(multiplier - 26)))
    reached = 15 - abs(multiplier - 22) / 2 - abs(layer - 14)
    success = max(0, min(15 - garbled, round(reached))) if cell.steering.direction.method == "dim" else 0
    return Tally(15, success, garbled)


def rounds(sweep: Sweep, known: dict[CellKey, Tally]) -> tuple[Plan, list[int]]:
    """The plan when everything is finished, and how many cells each round had."""
    sizes: list[int] = []
    while True:
        plan = make_plan(sweep, known)
        new = [cell for cell in plan.cells if cell.key not in known]
        if not new:
            return plan, sizes
        sizes.append(len(new))
        known |= {cell.key: answered(cell) for cell in new}


def trials(plan: Plan) -> list[tuple[str | None, int | None, str]]:
    """(method, number, id) of every trial, in the plan's order."""
    return [
        (cell.steering.direction.method, cell.labels.trial, cell.id)
        for cell in plan.cells
        if cell.steering is not None and cell.labels.search == "found"
    ]


def test_the_arms_have_equal_budgets_and_the_best_is_reported_once_on_other_prompts(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, GRID, REPORT)
    first = make_plan(sweep)
    waits = "a search of 20 trials an arm, 8 at a time, waits: 8 of the first 8 are not finished and scored"
    assert any("grid found: at most 24 cells to follow" in line and waits in line for line in deferred_lines(first.deferred))
    plan, sizes = rounds(sweep, {})
    assert sizes == [2 + 16, 16, 8, 2], "baselines and two arms' batches of 8, 8 and 4, then what they found"
    assert first.estimate.rows == plan.estimate.rows == 15 * (2 + 40 + 2), "the estimate covers the whole budget"
    assert [(arm.method, len(arm.considered), arm.trials) for arm in plan.arms] == [("dim", 20, 20), ("random", 20, 20)]
    for method in ("dim", "random"):
        assert [number for name, number, _ in trials(plan) if name == method] == list(range(1, 21))
    best = plan.arms[0].best
    assert best is not None
    assert best.success >= 14
    assert best.garbled == 0
    final = [cell for cell in plan.cells if cell.steering is not None and cell.labels.search is None]
    assert [cell.labels.behavior for cell in final] == ["refusal/report"] * 2
    assert place(final[0]) == (best.layer, best.multiplier)
    assert all(not plan.in_sample[cell.key] for cell in final)
    assert all(plan.in_sample[cell.key] for cell in plan.cells if cell.labels.search == "found")
    assert plan.deferred == ()
    written = plan_json(plan)["cells"]
    assert isinstance(written, list)
    assert sum(one["steering"] is not None and one["steering"]["search"] == "found" for one in written) == 40


def test_whatever_is_known_of_a_batch_the_same_trials_follow(tmp_path: Path) -> None:
    """The study is made anew from results: cells that finish in any order, or get lost, lead to the same trials."""
    sweep = sweep_of(tmp_path, GRID)
    whole = trials(rounds(sweep, {})[0])
    known: dict[CellKey, Tally] = {}
    draw = random.Random(5)
    for _ in range(60):
        cells = make_plan(sweep, known).cells
        assert {cell.id for cell in cells if cell.labels.search} <= {cell_id for *_, cell_id in whole}
        left = [cell for cell in cells if cell.key not in known]
        if not left:
            break
        known |= {cell.key: answered(cell) for cell in draw.sample(left, min(len(left), draw.randint(1, 6)))}
        if known and draw.random() < 0.2:
            del known[draw.choice(list(known))]
    assert trials(rounds(sweep, known)[0]) == whole
    assert trials(rounds(sweep_of(tmp_path, {**GRID, "search": {**SEARCH, "seed": 1}}), {})[0]) != whole


def test_it_is_optunas_ask_and_tell() -> None:
    """Against Optuna's own loop over batches, with the bounds as constraints."""

    def considered(layer: int, multiplier: float) -> Considered:
        good = max(0, 30 - round(abs(multiplier + 9) * 2) - 3 * abs(layer - 1))
        return Considered("c", layer, None, multiplier, 30, good, round(max(0.0, -12 - multiplier)), kl=multiplier**2 / 100)

    asked: list[TrialSetting] = []

    def outcome(one: TrialSetting) -> Considered:
        asked.append(one)
        return considered(one.place, one.multiplier)

    entry = {"multiplier": [-20, -1], "trials": 30, "batch": 6, "seed": 7, "max_garbled": 0.1, "max_kl": 1.0}
    replay(SearchEntry.model_validate(entry), 4, (-20.0, -1.0), outcome)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=7, n_startup_trials=10, multivariate=True, constant_liar=True),
    )
    expected = []
    for _ in range(5):
        batch = [study.ask() for _ in range(6)]
        drawn = [(one.suggest_int("place", 0, 3), one.suggest_float("multiplier", -20, -1)) for one in batch]
        for trial, (layer, multiplier) in zip(batch, drawn, strict=True):
            found = considered(layer, float(f"{multiplier:.6g}"))
            trial.set_constraint("garbled", found.garbled / 30 - 0.1)
            trial.set_constraint("kl", (found.kl or 0.0) - 1.0)
            study.tell(trial, found.success / 30)
        expected += drawn
    assert [one.place for one in asked] == [layer for layer, _ in expected]
    assert [one.multiplier for one in asked] == pytest.approx([multiplier for _, multiplier in expected], rel=1e-5)


def test_a_search_within_a_bound_on_kl_waits_until_it_is_measured(tmp_path: Path) -> None:
    grid = {**GRID, "methods": ["dim"], "search": SEARCH | {"trials": 8, "batch": 4, "max_kl": 0.5}}
    sweep = sweep_of(tmp_path, grid, {**REPORT, "methods": ["dim"]}, damage=True)
    first = make_plan(sweep)
    assert sum(isinstance(item, DamageItem) for item in first.others) == len(first.cells)
    known = {cell.key: answered(cell) for cell in first.cells}
    assert len(trials(make_plan(sweep, known))) == 4
    measured = {key: replace(tally, kl=0.1) for key, tally in known.items()}
    second = make_plan(sweep, measured)
    assert len(trials(second)) == 8
    measured |= {cell.key: replace(answered(cell), kl=0.9) for cell in second.cells if cell.key not in measured}
    (choice,) = make_plan(sweep, measured).choices
    assert choice.max_kl == 0.5, "the choice goes by the bounds of the search"
    assert choice.chosen is not None
    assert choice.chosen.kl == 0.1


def test_a_trial_is_the_cell_that_a_grid_would_name(tmp_path: Path) -> None:
    plan = make_plan(sweep_of(tmp_path, {**GRID, "methods": ["dim"]}))
    cell = next(cell for cell in plan.cells if cell.labels.trial == 3)
    layer, multiplier = place(cell)
    written = {"behaviors": SELECT, "layers": [layer], "multipliers": [multiplier]}
    assert cell.id in {one.id for one in make_plan(sweep_of(tmp_path, written)).cells}


def test_every_layer_with_its_own_direction_can_be_searched(tmp_path: Path) -> None:
    found = {**GRID, "methods": ["rfm"], "scope": "own", "search": SEARCH | {"trials": 3}}
    sweep = sweep_of(tmp_path, found, {**REPORT, "methods": ["rfm"], "scope": "own"})
    first = make_plan(sweep)
    known = {cell.key: Tally(15, 9 if cell.labels.trial == 2 else 3, 0) for cell in first.cells}
    plan = make_plan(sweep, known)
    (final,) = [cell for cell in plan.cells if cell.steering is not None and cell.labels.search is None]
    (second,) = [cell for cell in first.cells if cell.labels.trial == 2]
    assert final.steering is not None
    assert second.steering is not None
    assert final.steering.source_layer is None
    assert (final.steering.layers, final.steering.action) == (second.steering.layers, second.steering.action)


def test_the_table_tells_the_best_so_far_at_every_quarter_of_the_budget(tmp_path: Path) -> None:
    plan, _ = rounds(sweep_of(tmp_path, {**GRID, "methods": ["dim", {"name": "random", "options": {"seed": 3}}]}), {})
    arms = decode_searches(encode_choices((), plan.arms).encode())
    table = searches_table(arms, [])
    assert table is not None
    heads = [column.head for column in table.columns]
    dim, control = ([value.text for value in row] for row in table.rows)
    assert control[heads.index("method")] == "random (seed 3)"
    assert dim[-1] == "20/20"
    considered = plan.arms[0].considered
    for head, count in (("best at 25%", 5), ("best at 50%", 10), ("best at 75%", 15), ("best at 100%", 20)):
        best = max((one.success for one in considered[:count] if one.garbled == 0), default=None)
        assert dim[heads.index(head)] == ("-" if best is None else f"{100 * best / 15:.1f}".removesuffix(".0"))
    half = {**arms[0], "considered": arms[0]["considered"][:8], "best": None}
    unfinished = searches_table([half], [])
    assert unfinished is not None
    assert [value.text for value in unfinished.rows[0]][-3:] == ["-", "-", "8/20"]
    told = [value.text for value in unfinished.rows[0]]
    assert f"none of 8 trials within the bounds (at most {half['max_garbled']:.0%} garbled or without an answer)" in told
    unbegun = searches_table([{**half, "considered": []}], [])
    assert unbegun is not None
    assert "no trial is finished" in [value.text for value in unbegun.rows[0]]
    assert searches_table([], []) is None
    assert decode_searches(encode_choices(()).encode()) == []
    assert asdict(plan.arms[0])["trials"] == 20


@pytest.mark.parametrize(
    ("grid", "parts"),
    [
        ({"search": {}}, ("grids[0].search", "'multiplier' is missing")),
        ({"search": {**SEARCH, "multiplier": [8, 2]}}, ("grids[0].search.multiplier", "not a range", "as [2, 30]")),
        ({"search": {**SEARCH, "multiplier": [1, 2, 3]}}, ("grids[0].search.multiplier", "not a range")),
        ({"search": {**SEARCH, "trials": 0}}, ("grids[0].search.trials", "out of range")),
        ({"search": {**SEARCH, "trial": 9}}, ("grids[0].search", "did you mean 'trials'?")),
        ({"search": {**SEARCH, "max_kl": 1}}, ("grids[0].search.max_kl", "no 'damage'")),
        ({"search": {**SEARCH, "multiplier": {"families": {"gemma": [1, 2]}}}}, ("no multipliers for model b",)),
        ({"multipliers": [1]}, ("grids[0].multipliers", "the multipliers are searched")),
        ({"scope": ["own", "single"]}, ("grids[0].scope", "a search has one scope")),
        ({"methods": ["cosmic"], "layers": [3, "auto"]}, ("grids[0].layers", "'auto' has none")),
        ({"transfer": "all"}, ("grids[0].transfer", "its own directions")),
        ({"intervention": "ablation"}, ("grids[0].search.multiplier", "out of range for ablation")),
    ],
)
def test_a_fault_in_a_search_is_told(tmp_path: Path, grid: Mapping[str, object], parts: tuple[str, ...]) -> None:
    told = refused(tmp_path, {**GRID, **grid})
    assert any(all(part in line for part in parts) for line in told), told


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_checks, "find_spec", lambda _name: None)
    (told,) = refused(tmp_path, GRID)
    assert "grids[0].search: Optuna is not installed" in told
    assert "pip install 'activation-steering-sweeps[search]'" in told


@pytest.mark.parametrize("span", [(0.5, 50.0), (-50.0, -0.5)])
def test_a_search_may_be_even_in_the_logarithm(span: tuple[float, float]) -> None:
    """Of a range of two orders of magnitude half of the trials lie below its geometric mean, 5; in a linear search a tenth."""
    shares = {}
    for scale in ("log", "linear"):
        tried: list[float] = []

        def outcome(setting: TrialSetting, tried: list[float] = tried) -> Considered | None:
            tried.append(setting.multiplier)
            return None

        for seed in range(20):
            entry = {"multiplier": list(span), "scale": scale, "trials": 10, "batch": 10, "seed": seed}
            replay(SearchEntry.model_validate(entry), 1, span, outcome)
        assert all(span[0] <= one <= span[1] for one in tried)
        shares[scale] = sum(abs(one) < 5 for one in tried) / len(tried)
    assert 0.4 < shares["log"] < 0.6
    assert shares["linear"] < 0.2
    with pytest.raises(ValueError, match="a range of both signs has no logarithm"):
        SearchEntry.model_validate({"multiplier": [-1, 5], "scale": "log"})
