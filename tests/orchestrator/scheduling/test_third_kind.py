"""Whatever takes a model is a work item: another kind is scheduled, stored, resumed, retried and told of like the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.control.history import read_history
from orchestrator.control.status import read_status
from orchestrator.logs import EntryReader, Journal
from orchestrator.plan import Plan
from orchestrator.pool import PoolOptions
from orchestrator.pool.local import LocalPool
from orchestrator.results.folder import Folder
from orchestrator.results.store import Store
from orchestrator.retrying import failures_of
from orchestrator.scheduler import Scheduler, Settings
from orchestrator.scheduling.board import Board, State
from orchestrator.scheduling.kinds import KINDS, item_folders
from tests.orchestrator.recording import Recording
from tests.orchestrator.scheduling.measuring import Measuring, MeasuringKind
from tests.orchestrator.test_scheduler import cells_of, direction, model, plan_of

A, B = model("a"), model("b")
CELLS = (*cells_of(A, [0, 1, 2]), *cells_of(B, [0]))
WORKER = "tests.orchestrator.scheduling.measuring:MeasuringWorker"


@pytest.fixture(autouse=True)
def the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "measuring", MeasuringKind())


def run(root: Path, others: Sequence[Measuring], threads: int = 0) -> tuple[Plan, Board]:
    """Run what is missing."""
    plan, store = replace(plan_of(*CELLS), others=tuple(others)), Store(root)
    with store.lock(), Journal(Folder(root).logs) as journal, Recording(store, threads) as records:
        store.write_plan(plan)
        board = Board(plan, store.done(item_folders()), store.failures())
        pool = LocalPool(PoolOptions(worker=WORKER))
        Scheduler(plan, board, pool, records, Settings(tell=journal.hear)).run()
        store.compact()
    return plan, board


def submitted(root: Path) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.text, one.items) for one in EntryReader(Folder(root).logs).new() if one.event == "submitted"]


@pytest.mark.parametrize("threads", [0, 2])
def test_it_leaves_its_file_and_is_done_then(tmp_path: Path, threads: int) -> None:
    items = [Measuring(A, direction(A)), Measuring(A, direction(A), "again"), Measuring(B, direction(A)), Measuring(A, CELLS[1])]
    plan, board = run(tmp_path, items, threads)
    assert not board.unfinished()
    assert {path.name: path.read_text() for path in (tmp_path / "analyses" / "measuring").iterdir()} == {
        one.id: "2 things" if one.of is CELLS[1] else "8 things" for one in items
    }
    assert Folder(tmp_path).finished() == {one.id for one in plan.items}
    tasks = submitted(tmp_path)
    assert ("measure", tuple(one.id for one in items if one.model is A)) in tasks, "in one task, apart from the cells"
    assert board.cells(State.DONE) == len(CELLS), "the progress counts cells"
    assert [one.done for one in read_status(tmp_path).models] == [3, 1]
    run(tmp_path, [*items, Measuring(B, direction(A), "new")], threads)
    assert [what for what, _ in submitted(tmp_path)[len(tasks) :]] == ["load", "measure"], "only what is new"


def test_its_failure_is_one_like_any_other(tmp_path: Path) -> None:
    good, bad = Measuring(A, direction(A)), Measuring(A, direction(A), "[job error]")
    never = Measuring(B, direction(B, "[job error]"))
    plan = replace(plan_of(*CELLS, *cells_of(B, [3], source=direction(B, "[job error]"))), others=(good, bad, never))
    store = Store(tmp_path)
    with store.lock(), Recording(store) as records:
        store.write_plan(plan)
        Scheduler(plan, Board(plan), LocalPool(PoolOptions(worker=WORKER)), records).run()
    kinds = {one.id: one.failure.kind for one in failures_of(tmp_path).items}
    assert (kinds[bad.id], kinds[never.id]) == ("job", "upstream")
    assert good.id not in kinds
    history = read_history(tmp_path, bad.id)
    assert (history.state, history.item.name) == ("failed", "a measuring")
    assert read_history(tmp_path, good.id).state == "done"


def test_one_that_ends_its_task_is_tried_apart_from_the_others(tmp_path: Path) -> None:
    good, bad = Measuring(A, direction(A)), Measuring(A, direction(A), "[raise]")
    _, board = run(tmp_path, [bad, good])
    assert (board[good.id].state, board[bad.id].state) == (State.DONE, State.FAILED)
    assert (board[bad.id].attempt, board.cells(State.DONE)) == (2, len(CELLS))


def test_what_needs_a_lost_file_waits_until_it_is_made_again(tmp_path: Path) -> None:
    plan, _ = run(tmp_path, [])
    (spec,) = plan.directions
    (tmp_path / "directions" / f"{spec.id}.safetensors").write_bytes(b"damaged")
    _, board = run(tmp_path, [Measuring(A, spec)])
    assert not board.unfinished()
    assert board.cells(State.FAILED) == 0
