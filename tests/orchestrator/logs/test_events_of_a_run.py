"""What a run writes down as it goes, and what its worker slots say meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.cells import Cell
from orchestrator.logs import EntryReader, Journal
from orchestrator.pool import PoolOptions
from orchestrator.pool.local import LocalPool
from orchestrator.scheduler import Scheduler, Settings
from orchestrator.scheduling.board import Board
from tests.orchestrator.test_scheduler import FakePool, Notebook, cells_of, model, plan_of

Seen = list[tuple[object, ...]]


def run(root: Path, cells: tuple[Cell, ...], pool: FakePool | LocalPool) -> tuple[Seen, Seen]:
    """The events with the number of their items; and between them, each time that it changes, what the slot says."""
    plan, seen = plan_of(*cells), Seen()
    board = Board(plan)

    @contextmanager
    def looking() -> Iterator[None]:
        for slot in board.slots.values():
            now = (slot.task, len(slot.left), bool(slot.info))
            seen.extend([now] if now not in seen[-1:] else [])
        yield

    with Journal(root) as journal:
        Scheduler(plan, board, pool, Notebook(), Settings(waiting=looking, tell=journal.hear)).run()
    return [(entry.event, len(entry.items) or bool(entry.item)) for entry in EntryReader(root).new()], seen


def test_what_is_handed_out_and_comes_back_is_written_down(tmp_path: Path) -> None:
    cells = (*cells_of(model("a"), [1, 2]), *cells_of(model("a"), [3], text="[job error]"))
    events, seen = run(tmp_path, cells, LocalPool(PoolOptions(worker="tests.fakes:FakeWorker")))
    assert events == [
        ("submitted", 1),
        ("loaded", 1),
        ("submitted", 1),
        ("extracted", 1),
        ("submitted", 3),
        ("done", 1),
        ("done", 1),
        ("attempt failed", 1),
        ("failed", 1),
    ]
    assert seen == [
        ("load", 1, False),
        ("load", 0, True),
        ("extract", 1, True),
        ("extract", 0, True),
        *(("generate", left, True) for left in (3, 2, 1)),
    ]


def test_a_lost_worker_takes_what_it_had_along(tmp_path: Path) -> None:
    cells = cells_of(model("a"), [1, 2], text=f"[die once {tmp_path / 'died'}]")
    events, _ = run(tmp_path / "logs", cells, FakePool())
    after = events[events.index(("lost", 2)) :]
    assert after[:5] == [("lost", 2), ("note", 0), ("submitted", 1), ("loaded", 1), ("retried", 1)]
    assert after.count(("done", 1)) == 2


def test_what_a_worker_logs_is_written_down(tmp_path: Path) -> None:
    cells = cells_of(model("a"), [1], text="[warn out of memory: going on with 16 slots]")
    run(tmp_path, cells, LocalPool(PoolOptions(worker="tests.fakes:FakeWorker")))
    (logged,) = (entry for entry in EntryReader(tmp_path).new() if entry.event == "log")
    assert (logged.worker, logged.text) == ("local", "out of memory: going on with 16 slots")
    assert logged.details["level"] == "WARNING"
