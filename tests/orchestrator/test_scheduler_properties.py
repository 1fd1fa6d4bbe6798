"""Whatever dies, fails, joins or is slow: every item ends once, as a result or as a failure, and the run ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.types import CellResult, DirectionSet, Failure, Response
from benchmarks.simulation_cluster import Cluster, Fate, SimulatedPool
from benchmarks.simulation_workload import SIZES, Workload, make_workload
from orchestrator.cells import Cell, DirectionSpec
from orchestrator.pool import Event
from orchestrator.scheduler import Scheduler, Settings
from orchestrator.scheduling.board import Board, State
from orchestrator.scoring.score import Kept

KINDS = ("A100-80G", "L40S")
LONG_ENOUGH = 2e5
"""Virtual seconds after which a run counts as endless."""

FATES: tuple[Fate, ...] = ("fails", "out of memory", "kills")
KIND_OF = {"fails": ("job", 1), "out of memory": ("out_of_memory", 2), "kills": ("poison", 3)}
quick = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


class Watched(SimulatedPool):
    """Fails the test instead of going on for ever."""

    def next_event(self, timeout: float | None) -> Event | None:
        assert self.now < LONG_ENOUGH, "the run does not end"
        return super().next_event(timeout)


@dataclass
class Notebook:
    """Records that keep what a results folder would, and see what is written twice."""

    workload: Workload
    written: Counter[str] = field(default_factory=Counter)
    attempts: dict[str, int] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Failure] = field(default_factory=dict)
    threads: int = 0

    def direction(self, spec: DirectionSpec, found: DirectionSet) -> None:
        self.written[spec.id] += 1

    def read_direction(self, direction_id: str) -> DirectionSet | None:
        return self.workload.directions[direction_id] if self.written[direction_id] else None

    def begin(self, cell: Cell, result: CellResult, attempt: int) -> Future[Any]:
        raise AssertionError("without threads nothing is begun")

    def cell(self, cell: Cell, result: CellResult, attempt: int) -> None:
        assert result.cell_id == cell.id
        self.written[cell.id] += 1
        self.attempts[cell.id] = attempt

    def read_cell(self, cell_id: str) -> Sequence[Response] | None: ...

    def analysis(self, kind: str, item_id: str, content: bytes) -> None: ...

    def read_analysis(self, kind: str, item_id: str) -> bytes | None: ...

    def judgements(self, scorer: str) -> Kept:
        return {}

    def failure(self, failure: Failure) -> None:
        self.failed[failure.item_id] += 1
        self.failures[failure.item_id] = failure


@st.composite
def clusters(draw: st.DrawFn, deaths: bool = True) -> Cluster:
    """A few GPUs of each kind; some slow, some late, and with ``deaths`` lives of about a quarter of an hour or more."""
    return Cluster(
        gpus={kind: draw(st.integers(1, 4)) for kind in KINDS},
        deaths_per_hour=draw(st.sampled_from((0.0, 0.5, 4.0))) if deaths else 0.0,
        replacement_seconds=draw(st.sampled_from((0.0, 30.0, 900.0))),
        slow_share=draw(st.sampled_from((0.0, 0.3, 1.0))),
        joining={kind: draw(st.integers(0, 2)) for kind in KINDS},
    )


@st.composite
def fates_of(draw: st.DrawFn, workload: Workload, at_most: int = 4) -> Mapping[str, Fate]:
    """What goes wrong with some of the items."""
    names = [*(spec.id for spec in workload.plan.directions), *(cell.id for cell in workload.plan.cells)]
    return draw(st.dictionaries(st.sampled_from(names), st.sampled_from(FATES), max_size=at_most))


def small_workload(cells: int, seed: int, transfer: bool) -> Workload:
    return make_workload(cells, seed, transfer, sizes=(SIZES[0], SIZES[-1]))


def run(
    workload: Workload, cluster: Cluster, seed: int, notebook: Notebook | None = None
) -> tuple[Notebook, Board, SimulatedPool]:
    """Run what is not done yet."""
    kept, pool = notebook or Notebook(workload), Watched(workload, cluster, seed)
    board = Board(workload.plan, set(kept.written), list(kept.failures.values()))
    Scheduler(workload.plan, board, pool, kept, Settings(clock=lambda: pool.now)).run()
    return kept, board, pool


def check_every_item_ended_once(board: Board, notebook: Notebook) -> None:
    assert not board.unfinished()
    assert set(notebook.written) | set(notebook.failures) == set(board.items)
    assert not set(notebook.written) & set(notebook.failures)
    assert set(notebook.written.values()) <= {1}, "written twice"
    assert set(notebook.failed.values()) <= {1}, "failed twice"
    states = Counter(item.state for item in board.items.values())
    assert states == +Counter({State.DONE: len(notebook.written), State.FAILED: len(notebook.failures)})


def check_sums(board: Board) -> None:
    """The sums that the board keeps are those of its items."""
    for variant in board.variants():
        backlog, items = board.backlog(variant), board.of(variant)
        assert backlog.unfinished.items == sum(not item.finished for item in items)
        assert backlog.unfinished.budget == sum(item.budget for item in items if not item.finished)
        pending = (backlog.ready, backlog.needs_own, backlog.needs_other)
        assert sum(amount.items for amount in pending) == sum(item.state is State.PENDING for item in items)
        assert backlog.running == sum(item.budget for item in items if item.state is State.RUNNING)
        assert +backlog.cells == +Counter(item.state for item in items if item.counted)
        assert backlog.coming >= 0
        assert backlog.wanted_elsewhere >= 0


@quick
@given(data=st.data(), cells=st.integers(1, 60), seed=st.integers(0, 10**6), transfer=st.booleans())
def test_every_item_ends_once_whatever_happens(data: st.DataObject, cells: int, seed: int, transfer: bool) -> None:
    workload = small_workload(cells, seed, transfer)
    cluster = replace(data.draw(clusters()), fates=data.draw(fates_of(workload)))
    notebook, board, _ = run(workload, cluster, seed)
    check_every_item_ended_once(board, notebook)
    check_sums(board)
    for item_id, failure in notebook.failures.items():
        fate = cluster.fates.get(item_id)
        expected = {KIND_OF[fate][0]} if fate is not None else set()
        assert failure.kind in {*expected, "upstream", "poison", "model_load"}, "only what a fate or deaths explain"


@quick
@given(data=st.data(), cells=st.integers(1, 60), seed=st.integers(0, 10**6), transfer=st.booleans())
def test_where_no_machine_dies_exactly_what_is_to_blame_fails(data: st.DataObject, cells: int, seed: int, transfer: bool) -> None:
    workload = small_workload(cells, seed, transfer)
    cluster = replace(data.draw(clusters(deaths=False)), fates=data.draw(fates_of(workload)))
    notebook, board, _ = run(workload, cluster, seed)
    check_every_item_ended_once(board, notebook)
    directions = {one for one in cluster.fates if one.startswith("direction")}
    upstream = {cell.id for cell in workload.plan.cells if cell.steering is not None and cell.steering.direction.id in directions}
    assert set(notebook.failures) == upstream | set(cluster.fates)
    for item_id, failure in notebook.failures.items():
        if item_id in upstream:
            assert failure.kind == "upstream"
        else:
            kind, attempts = KIND_OF[cluster.fates[item_id]]
            assert failure.kind == kind
            assert failure.attempt >= attempts, "failures that were another's fault are counted too"


@quick
@given(data=st.data(), cells=st.integers(1, 40), seed=st.integers(0, 10**6), stop_after=st.integers(0, 120))
def test_a_run_that_is_interrupted_anywhere_goes_on_where_it_was(
    data: st.DataObject, cells: int, seed: int, stop_after: int
) -> None:
    workload = small_workload(cells, seed, transfer=True)
    cluster = replace(data.draw(clusters()), fates=data.draw(fates_of(workload)))
    notebook, pool, waits = Notebook(workload), Watched(workload, cluster, seed), iter(range(10**9))

    @contextmanager
    def interrupted() -> Iterator[None]:
        if next(waits) == stop_after:
            raise KeyboardInterrupt
        yield

    board = Board(workload.plan)
    first = Scheduler(workload.plan, board, pool, notebook, Settings(waiting=interrupted, clock=lambda: pool.now))
    try:
        first.run()
    except KeyboardInterrupt:
        check_sums(board)
    notebook.failed.clear()
    tried_anew = {
        one for one, failure in notebook.failures.items() if failure.retryable or failure.kind in ("upstream", "model_load")
    }
    for one in tried_anew:
        del notebook.failures[one]
    notebook, board, _ = run(workload, cluster, seed + 1, notebook)
    check_every_item_ended_once(board, notebook)


@quick
@given(data=st.data(), cells=st.integers(1, 60), seed=st.integers(0, 10**6), transfer=st.booleans())
def test_what_hangs_once_is_run_by_another_worker(data: st.DataObject, cells: int, seed: int, transfer: bool) -> None:
    workload = small_workload(cells, seed, transfer)
    names = [*(spec.id for spec in workload.plan.directions), *(cell.id for cell in workload.plan.cells)]
    gpus = {kind: data.draw(st.integers(2, 4)) for kind in KINDS}
    cluster = Cluster(gpus, slow_share=0.3, fates={data.draw(st.sampled_from(names)): "hangs once"})
    notebook, board, pool = run(workload, cluster, seed)
    check_every_item_ended_once(board, notebook)
    assert not notebook.failures
    undisturbed = run(workload, replace(cluster, fates={}), seed)[2].now
    assert pool.now < 3 * undisturbed + 2000, "found out within minutes"


@pytest.mark.parametrize("transfer", [False, True])
def test_on_one_gpu_each_variant_is_loaded_once_unless_a_transfer_needs_it_again(transfer: bool) -> None:
    workload = make_workload(120, 0, transfer, sizes=tuple(size for size in SIZES if size.accelerator == "L40S"))
    notebook, board, pool = run(workload, Cluster({"L40S": 1}, slow_share=0), 0)
    check_every_item_ended_once(board, notebook)
    loads = [pool.loads[variant] for variant in board.variants()]
    if not transfer:
        assert set(loads) == {1}
    else:
        assert max(loads) <= 2
        assert sum(loads) <= 2 * len(loads) - len(loads) // 3, "of each ring of three one has all it needs the first time"


def test_growing_the_board_goes_on_with_the_models_that_are_loaded() -> None:
    workload = small_workload(60, 0, transfer=False)
    early = replace(workload.plan, cells=workload.plan.cells[::2])
    pool, notebook, board = Watched(workload, Cluster(dict.fromkeys(KINDS, 3)), 0), Notebook(workload), Board(early)
    scheduler = Scheduler(early, board, pool, notebook, Settings(clock=lambda: pool.now))
    scheduler.run()
    assert sum(notebook.written.values()) == len(early.cells) + len(early.directions)
    loads = pool.loads.total()
    assert board.grow(workload.plan, set(notebook.written), []) == []
    scheduler.run()
    check_every_item_ended_once(board, notebook)
    check_sums(board)
    assert pool.loads.total() - loads < len(board.variants()), "models that are loaded are used"


def calls_of_the_driver(cells: int, gpus: int) -> float:
    """Python calls per cell that the scheduler makes: a measure of its work that is the same on every machine."""
    import sys

    workload = make_workload(cells, 0, False)
    pool, notebook, count = Watched(workload, Cluster(dict.fromkeys(KINDS, gpus // 2)), 0), Notebook(workload), 0

    def on_call(frame: object, event: str, _: object) -> None:
        nonlocal count
        count += event == "call" and "orchestrator" in frame.f_code.co_filename  # type: ignore[attr-defined]

    scheduler = Scheduler(workload.plan, Board(workload.plan), pool, notebook, Settings(clock=lambda: pool.now))
    sys.setprofile(on_call)
    try:
        scheduler.run()
    finally:
        sys.setprofile(None)
    return count / cells


def test_the_drivers_work_per_cell_does_not_grow_with_the_sweep() -> None:
    small, large = calls_of_the_driver(400, 20), calls_of_the_driver(1600, 80)
    assert large < 1.5 * small
    assert large < 1500
