"""Where events come in: secrets are taken out, and a cell is given on only when it is stored. The order of each worker is kept,
and no worker waits for another's cell."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.boundary import Answered, Task
from actors.remarks import Remark
from actors.types import CellResult, DirectionSet, Failure, Resources, Response
from actors.use import Use
from orchestrator.cells import Cell, DirectionSpec
from orchestrator.errors import Problem
from orchestrator.news import CellStored, News, WorkerSaid, nobody
from orchestrator.pool import Event, TaskDone, WorkerGave, WorkerLost
from orchestrator.results.store import Store
from orchestrator.scheduler import Scheduler, Settings
from orchestrator.scheduling.board import Board
from orchestrator.scheduling.intake import PER_THREAD, Intake
from orchestrator.scoring.score import Kept
from orchestrator.storage import StorageError
from tests.orchestrator.recording import Recording
from tests.orchestrator.samples import cell, plan_of, result_of
from tests.orchestrator.test_scheduler import FakePool

CELLS = [cell(None), *(cell(layer, 2.0) for layer in range(2, 8)), *(cell(layer, 4.0) for layer in range(2, 8))]
BOARD = Board(plan_of(CELLS))


class Given:
    """A pool that gives what is put into it."""

    def __init__(self, *events: Event) -> None:
        self.events = deque(events)
        self.asked = 0

    def workers(self) -> tuple[str, ...]:
        return ("w1", "w2")

    def capacity(self, resources: Resources, avoid: Collection[str] = ()) -> int:
        return 2

    def wants(self, demand: Mapping[Resources, int]) -> None: ...

    def submit(self, worker: str, task: Task) -> None: ...

    def next_event(self, timeout: float | None) -> Event | None:
        self.asked += 1
        return self.events.popleft() if self.events else None

    def release(self, worker: str) -> None: ...

    def close(self) -> None: ...


class Writers:
    """Records with threads that store what they are told to, when they are told to."""

    def __init__(self, threads: int = 2) -> None:
        self.threads = threads
        self.begun: dict[str, Future[Any]] = {}
        self.attempts: list[tuple[str, int, str]] = []

    def begin(self, cell: Cell, result: CellResult, attempt: int) -> Future[Any]:
        assert cell.id not in self.begun, "a cell is stored once"
        self.attempts.append((cell.id, attempt, result.provenance["worker"]))
        self.begun[cell.id] = Future()
        return self.begun[cell.id]

    def stored(self, *cells: Cell) -> None:
        for one in cells:
            self.begun[one.id].set_result(None)

    def cell(self, cell: Cell, result: CellResult, attempt: int) -> None: ...

    def direction(self, spec: DirectionSpec, found: DirectionSet) -> None: ...

    def read_direction(self, direction_id: str) -> DirectionSet | None: ...

    def read_cell(self, cell_id: str) -> Sequence[Response] | None: ...

    def analysis(self, kind: str, item_id: str, content: bytes) -> None: ...

    def read_analysis(self, kind: str, item_id: str) -> bytes | None: ...

    def judgements(self, scorer: str) -> Kept:
        return {}

    def failure(self, failure: Failure) -> None: ...


@pytest.fixture
def board() -> Board:
    board = Board(plan_of(CELLS), done=[item.id for item in BOARD.of(None) if not item.counted])
    board.start([board[one.id] for one in CELLS], "w1")
    return board


def done(one: Cell, worker: str = "w1") -> WorkerGave:
    result = result_of(one)
    return WorkerGave(worker, Answered(one.id, replace(result, provenance={**result.provenance, "worker": worker})))


def test_a_cell_is_given_when_it_is_stored_and_not_before(board: Board) -> None:
    writers = Writers()
    intake = Intake(Given(done(CELLS[0])), board, writers, nobody)
    assert intake.next(0.05) is None
    assert writers.attempts == [(CELLS[0].id, 1, "w1")]
    writers.stored(CELLS[0])
    assert intake.next(0.05) == done(CELLS[0])
    assert intake.next(0.05) is None


FAILED = WorkerGave("w1", Failure("x", "job", "no", "", worker="w1"))


@pytest.mark.parametrize("last", [TaskDone("w1"), WorkerLost("w1", "killed"), FAILED])
def test_what_a_worker_says_later_is_heard_later_and_others_are_not_kept_waiting(board: Board, last: Event) -> None:
    writers = Writers()
    intake = Intake(Given(done(CELLS[0]), done(CELLS[1]), last, done(CELLS[2], "w2"), TaskDone("w2")), board, writers, nobody)
    assert intake.next(0.05) is None
    writers.stored(CELLS[2], CELLS[1])
    assert [intake.next(0.05) for _ in range(3)] == [done(CELLS[2], "w2"), TaskDone("w2"), None]
    writers.stored(CELLS[0])
    assert [intake.next(0.05) for _ in range(4)] == [done(CELLS[0]), done(CELLS[1]), last, None]


def test_a_cell_of_two_workers_is_stored_once(board: Board) -> None:
    writers = Writers()
    intake = Intake(Given(done(CELLS[0]), done(CELLS[0], "w2")), board, writers, nobody)
    assert intake.next(0.05) is None
    writers.stored(CELLS[0])
    assert [intake.next(0.05) for _ in range(3)] == [done(CELLS[0]), done(CELLS[0], "w2"), None]
    board.finish(CELLS[0].id)
    late = Intake(Given(done(CELLS[0], "w2")), board, writers, nobody)
    assert late.next(0.05) == done(CELLS[0], "w2")
    assert len(writers.attempts) == 1


def test_no_more_is_taken_than_can_be_stored(board: Board) -> None:
    writers = Writers()
    given = Given(*map(done, CELLS))
    intake = Intake(given, board, writers, nobody)
    assert intake.next(0.05) is None
    assert len(writers.begun) == 2 * PER_THREAD < len(CELLS)
    writers.stored(CELLS[0])
    assert intake.next(0.05) == done(CELLS[0])
    assert intake.next(0.05) is None
    assert len(writers.begun) == 2 * PER_THREAD + 1


def test_what_has_arrived_is_waited_for(board: Board) -> None:
    writers = Writers()
    intake = Intake(Given(done(CELLS[0]), TaskDone("w1")), board, writers, nobody)
    later = threading.Timer(0.1, lambda: writers.stored(CELLS[0]))
    later.start()
    assert [intake.next(0) for _ in range(3)] == [done(CELLS[0]), TaskDone("w1"), None]
    later.join()


def test_a_pool_without_events_is_not_held_up(board: Board) -> None:
    given = Given(TaskDone("w2"))
    intake = Intake(given, board, Writers(), nobody)
    assert [intake.next(2.0), intake.next(None), intake.next(0)] == [TaskDone("w2"), None, None]
    assert given.asked == 3


class SlowStore(Store):
    """Every write takes a moment, longer for the first ones; counts how many are under way at once, and can refuse."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.refuse_from = 1_000
        self.now = self.most = self.count = 0
        self._guard = threading.Lock()

    def write_responses(self, cell: Cell, result: CellResult, attempt: int) -> None:
        with self._guard:
            self.count, self.now = self.count + 1, self.now + 1
            self.most, number = max(self.most, self.now), self.count
        time.sleep(0.2 / number)
        with self._guard:
            self.now -= 1
        if number >= self.refuse_from:
            raise StorageError(Problem("results", None, "the disk is full"))
        super().write_responses(cell, result, attempt)


class Told:
    """A listener: at every word, the cell that it hears of must be stored with its labels."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.cells: list[str] = []

    def hear(self, news: News) -> None:
        if isinstance(news, CellStored):
            assert news.cell.id in self._store.done_cells()
            self.cells.append(news.cell.id)


def run(store: SlowStore) -> list[str]:
    plan, told = plan_of(CELLS), Told(store)
    board = Board(plan)
    recorder = Recording(store, 4)
    store.write_plan(plan)
    with store.lock(), recorder:
        Scheduler(plan, board, FakePool(3), recorder, Settings(tell=told.hear)).run()
    return told.cells


def test_a_sweep_is_stored_by_several_threads_and_told_of_only_then(tmp_path: Path) -> None:
    store = SlowStore(tmp_path)
    told = run(store)
    assert sorted(told) == sorted(store.done_cells()) == sorted(one.id for one in CELLS)
    assert 2 <= store.most <= 4
    assert {store.read_responses(one.id)[0].prompt_id for one in CELLS} == {"p0"}


def test_a_refusal_ends_the_run_and_what_was_told_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SlowStore(tmp_path)
    store.refuse_from = 6
    with pytest.raises(StorageError, match="the disk is full"):
        run(store)
    assert 1 <= len(store.done_cells()) <= 5
    assert "could not be stored; they run again" in caplog.text
    store.refuse_from = 1_000
    left = {one.id for one in CELLS} - store.done_cells()
    board = Board(plan_of(CELLS), done=store.done_cells() | store.done_directions())
    recorder = Recording(store, 4)
    with store.lock(), recorder:
        Scheduler(plan_of(CELLS), board, FakePool(3), recorder).run()
    assert len(left) >= len(CELLS) - 5
    assert store.done_cells() == {one.id for one in CELLS}


def test_a_result_that_cannot_be_right_is_the_cell_s_failure(tmp_path: Path) -> None:
    """As without threads: a ValueError of the store becomes a failure row, and the others are stored."""

    class Refusing(SlowStore):
        def write_responses(self, cell: Cell, result: CellResult, attempt: int) -> None:
            if cell.id == CELLS[3].id:
                raise ValueError("not finite")
            super().write_responses(cell, result, attempt)

    store = Refusing(tmp_path)
    assert len(run(store)) == len(CELLS) - 1
    (failure,) = store.failures()
    assert (failure.item_id, failure.kind, failure.message) == (CELLS[3].id, "ValueError", "not finite")


def test_an_interrupt_stores_and_tells_of_all_that_has_arrived(tmp_path: Path) -> None:
    arrived: list[str] = []

    class Counting(FakePool):
        def next_event(self, timeout: float | None) -> Event | None:
            event = super().next_event(timeout)
            match event:
                case WorkerGave(_, Answered(item_id, CellResult())):
                    arrived.append(item_id)
            return event

    @contextmanager
    def waiting() -> Iterator[None]:
        if len(arrived) >= 5:
            raise KeyboardInterrupt
        yield

    store, plan = SlowStore(tmp_path), plan_of(CELLS)
    store.write_plan(plan)
    told, board = Told(store), Board(plan)
    recorder = Recording(store, 4)
    scheduler = Scheduler(plan, board, Counting(3), recorder, Settings(waiting=waiting, tell=told.hear))
    with pytest.raises(KeyboardInterrupt), store.lock(), recorder:
        scheduler.run()
    assert 5 <= len(arrived) < len(CELLS)
    assert sorted(told.cells) == sorted(arrived) == sorted(store.done_cells())


def test_what_a_worker_uses_stays_with_its_slot_and_what_it_logs_is_told(board: Board) -> None:
    remark = Remark("WARNING", "actors.fake", "hf_AbCdEfGhIjKl", 1.0)
    given = Given(*(WorkerGave("w1", one) for one in (Use(100), remark, Use(200, gpu_allocated=7))), TaskDone("w1"))
    told: list[News] = []
    intake = Intake(given, board, Writers(0), told.append)
    assert intake.next(1) == TaskDone("w1")
    assert board.slots["w1"].use == Use(200, gpu_allocated=7)
    assert board.slots["w1"].heard is not None
    assert told == [WorkerSaid("w1", replace(remark, text="[HF_TOKEN]"))]


def test_no_failure_brings_a_secret_home(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret-of-the-node")
    failure = Failure(CELLS[0].id, "job", "no: secret-of-the-node", "Traceback: secret-of-the-node", worker="w1")
    intake = Intake(Given(WorkerGave("w1", failure), WorkerLost("w1", "killed: secret-of-the-node")), board, Writers(), nobody)
    clean = replace(failure, message="no: [HF_TOKEN]", traceback="Traceback: [HF_TOKEN]")
    assert [intake.next(1), intake.next(1)] == [WorkerGave("w1", clean), WorkerLost("w1", "killed: [HF_TOKEN]")]
