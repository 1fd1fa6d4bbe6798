"""Where damage is measured, what tells language from none reads the loss of the answers, and waits for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from actors.types import Failure
from orchestrator.news import ItemFailed, ItemStored, News
from orchestrator.plan import Plan
from orchestrator.results.folder import Folder
from orchestrator.results.store import Store
from orchestrator.retrying import failures_of
from orchestrator.scorekeeper import Scorekeeper
from orchestrator.scoring.uses import Scoring, default_scoring, loss_coherence, made_anew
from orchestrator.sweep import load_sweep
from tests.orchestrator.scheduling.test_damage import CELLS, SETTINGS, run, sweep_with

SCORER = loss_coherence().id
BASELINE, STEERED, _ = CELLS
SCORING = Scoring().with_loss(cell.labels.behavior for cell in CELLS)


@pytest.fixture
def measured(tmp_path: Path) -> tuple[Store, Plan]:
    """A folder whose cells are scored by rules and measured, and are now to be scored by their loss."""
    plan, _ = run(tmp_path, SETTINGS)
    plan = replace(plan, scoring=SCORING)
    store = Store(tmp_path)
    with store.lock():
        store.write_plan(plan)
    return store, plan


def item_of(plan: Plan, cell_id: str) -> str:
    return next(one.id for one in plan.others if one.needs[0] == cell_id)


def rewrite(store: Store, item_id: str, windows: list[float]) -> None:
    file = store.root / "analyses" / "damage" / item_id
    file.write_text(json.dumps({**json.loads(file.read_text()), "losses": windows, "windows": windows}))


def windows_of(store: Store, item_id: str) -> list[float]:
    return [one for one in Folder(store.root).damage(item_id).windows if one is not None]


def score(store: Store, heard: News | None = None) -> list[News]:
    """What is missing is asked for, or what ``heard`` makes possible."""
    told: list[News] = []
    with store.lock(), Scorekeeper(store, SCORING, told.append) as scores:
        scores.ask(store.unscored()) if heard is None else scores.hear(heard)
    return told


def test_an_answer_far_above_the_unsteered_ones_is_garbled(measured: tuple[Store, Plan]) -> None:
    store, plan = measured
    typical = median(windows_of(store, item_of(plan, BASELINE.id)))
    rows = len(store.read_responses(STEERED.id))
    rewrite(store, item_of(plan, STEERED.id), [typical + 3.1] * (rows - 1) + [typical + 3.3])
    before = {path: path.read_bytes() for path in store.root.glob("scores/*/*.parquet")}
    score(store)
    assert before.items() <= {path: path.read_bytes() for path in store.root.glob("scores/*/*.parquet")}.items()
    found = Folder(store.root).score_part(SCORER, STEERED.id).scores
    ruled = Folder(store.root).score_part(default_scoring().criterion.coherence, STEERED.id).scores
    assert list(found[:-1]) == list(ruled[:-1])
    assert (ruled[-1].label, found[-1].label) == ("coherent", "garbled")
    evidence = json.loads(found[-1].evidence)
    assert evidence == {"rule": "loss:window", "window": pytest.approx(typical + 3.3), "typical": pytest.approx(typical)}
    with store.lock():
        store.compact()
    row = next(one for one in store.cell_rows() if one.cell_id == STEERED.id)
    assert row.garbled_n == sum(one.label == "garbled" for one in found)
    assert str(row.classifier).endswith(f"+{SCORER}")


def test_scores_wait_for_the_losses_of_the_cell_and_of_its_baseline(measured: tuple[Store, Plan]) -> None:
    store, plan = measured
    item_id = item_of(plan, BASELINE.id)
    file = store.root / "analyses" / "damage" / item_id
    file.rename(store.root / "aside")
    assert score(store) == []
    assert store.scored_cells(SCORER) == set()
    (store.root / "aside").rename(file)
    score(store, ItemStored(item_id, "worker", "done"))
    assert store.scored_cells(SCORER) == {cell.id for cell in CELLS}


def test_what_could_not_be_measured_fails_the_scores_in_words(measured: tuple[Store, Plan]) -> None:
    store, plan = measured
    item_id = item_of(plan, STEERED.id)
    (store.root / "analyses" / "damage" / item_id).unlink()
    failure = Failure(item_id, "job", "cannot be measured", "")
    with store.lock():
        store.write_failure(failure)
    told = score(store, ItemFailed(failure))
    assert [one.failure.item_id for one in told if isinstance(one, ItemFailed)] == [f"{STEERED.id}.{SCORER}"]
    (found,) = store.scoring_failures()
    assert item_id in found.message
    score(store)
    assert store.scored_cells(SCORER) == {cell.id for cell in CELLS} - {STEERED.id}
    again = {one.id for one in failures_of(store.place, kind="scoring").items}
    assert again == {f"{STEERED.id}.{SCORER}", item_id}, "the scores would fail again without it"
    assert {one.id for one in failures_of(store.place, kind="job").items} == {item_id}


@pytest.mark.parametrize(("damage", "by_loss"), [("true", True), ("{answers: none}", False), ("false", False)])
def test_a_sweep_that_measures_answers_asks_for_it(tmp_path: Path, damage: str, by_loss: bool) -> None:
    scoring = load_sweep(sweep_with(tmp_path, damage)).scoring
    coherence = scoring.of("refusal").criterion.coherence
    assert coherence == (SCORER if by_loss else default_scoring().criterion.coherence)
    assert made_anew(scoring.used(["refusal"]), tmp_path).of("refusal").criterion.coherence == coherence
    assert coherence in scoring.made
