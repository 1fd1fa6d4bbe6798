"""The scheduler over fake workers: what runs where, what is retried, what a failure takes with it, how it stops."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from actors.boundary import Answered, Extract, Generate, Load, Outcome, Task, perform
from actors.types import (
    Action,
    CellResult,
    Decoding,
    DirectionSet,
    EngineOptions,
    Failure,
    FiredCheck,
    ModelSpec,
    Prompt,
    Resources,
    Response,
)
from orchestrator.cells import Cell, CellLabels, DirectionSpec, SteeringSpec, variant_id
from orchestrator.models.files import ModelShape
from orchestrator.news import ModelLoaded, News, Noted
from orchestrator.plan import Plan, PlannedModel
from orchestrator.planning.estimate import Estimate
from orchestrator.pool import Event, TaskDone, WorkerGave, WorkerLost
from orchestrator.scheduler import Scheduler, Settings, TooManyFailuresError
from orchestrator.scheduling import placement
from orchestrator.scheduling.attempts import MaxFailures
from orchestrator.scheduling.backlog import Amount
from orchestrator.scheduling.board import Board, State
from orchestrator.scoring.score import Kept
from tests.fakes import D_MODEL, N_LAYERS, SLOTS, FakeWorker


class Died(BaseException):
    """What a fake worker's death is in process."""


class MortalWorker(FakeWorker):
    """Dies by an exception that the boundary lets through, as it lets through a real death."""

    def die(self) -> None:
        raise Died


@dataclass
class FakePool:
    """Workers of which each gives one outcome in turn; remembers every task by worker."""

    count: int = 1
    fits: Callable[[Resources], int] | None = None
    tasks: list[tuple[str, Task]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    demands: list[dict[Resources, int]] = field(default_factory=list)
    waits_with: list[str] = field(default_factory=list)
    _workers: dict[str, MortalWorker] = field(default_factory=dict)
    _running: dict[str, Iterator[Outcome]] = field(default_factory=dict)

    def workers(self) -> tuple[str, ...]:
        return tuple(f"w{number}" for number in range(1, self.count + 1))

    def capacity(self, resources: Resources, avoid: Collection[str] = ()) -> int:
        return self.fits(resources) if self.fits else self.count

    def wants(self, demand: Mapping[Resources, int]) -> None:
        self.demands.append(dict(demand))

    def submit(self, worker: str, task: Task) -> None:
        assert worker not in self._running, f"{worker} is busy"
        self.tasks.append((worker, task))
        made = self._workers.setdefault(worker, MortalWorker())
        self._running[worker] = perform(lambda: made, task)

    def next_event(self, timeout: float | None) -> Event | None:
        if timeout == 0 or not self._running:
            return None
        worker = next(iter(self._running))
        outcomes = self._running.pop(worker)
        try:
            outcome = next(outcomes, None)
        except Died:
            del self._workers[worker]
            return WorkerLost(worker, "killed")
        if outcome is None:
            return TaskDone(worker)
        self._running[worker] = outcomes  # to the end of the queue: workers take turns
        return WorkerGave(worker, outcome)

    def release(self, worker: str) -> None:
        self.released.append(worker)

    def close(self) -> None:
        self._running.clear()

    def loads(self) -> list[tuple[str, str]]:
        return [(worker, task.spec.location) for worker, task in self.tasks if isinstance(task, Load)]

    def batches(self) -> list[list[str]]:
        return [[job.cell_id for job in task.jobs] for _, task in self.tasks if isinstance(task, Generate)]


@dataclass
class Notebook:
    """Records and listener that keep everything in memory, in order."""

    threads = 0

    directions: dict[str, DirectionSet] = field(default_factory=dict)
    cells: dict[str, tuple[CellResult, int]] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def hear(self, news: News) -> None:
        match news:
            case Noted(text):
                self.notes.append(text)
            case ModelLoaded(variant, worker, _):
                self.notes.append(f"{variant} on {worker}")

    def direction(self, spec: DirectionSpec, found: DirectionSet) -> None:
        assert spec.id not in self.directions
        self.directions[spec.id] = found

    def read_direction(self, direction_id: str) -> DirectionSet | None:
        return self.directions.get(direction_id)

    def begin(self, cell: Cell, result: CellResult, attempt: int) -> Future[Any]:
        raise AssertionError("without threads nothing is begun")

    def cell(self, cell: Cell, result: CellResult, attempt: int) -> None:
        assert cell.id not in self.cells, "a cell must be written once"
        assert result.cell_id == cell.id
        self.cells[cell.id] = (result, attempt)

    def read_cell(self, cell_id: str) -> Sequence[Response] | None: ...

    def analysis(self, kind: str, item_id: str, content: bytes) -> None: ...

    def read_analysis(self, kind: str, item_id: str) -> bytes | None: ...

    def judgements(self, scorer: str) -> Kept:
        return {}

    def failure(self, failure: Failure) -> None:
        self.failures[failure.item_id] = failure


def model(name: str) -> ModelSpec:
    return ModelSpec("hub", name, revision="main")


def direction(spec: ModelSpec, positive: str = "how to harm", method: str = "dim") -> DirectionSpec:
    return DirectionSpec(spec, (Prompt("h1", positive),), (Prompt("g1", "how to bake"),), method)


def cells_of(
    spec: ModelSpec, multipliers: Sequence[float], source: DirectionSpec | None = None, layer: int = 3, text: str = "hi"
) -> tuple[Cell, ...]:
    """A baseline for multiplier 0, steered cells for the others."""
    labels = CellLabels(spec.location, "refusal")
    found = source or direction(spec)
    return tuple(
        Cell(
            spec,
            (Prompt("p1", text if multiplier else "baseline"), Prompt("p2", "again")),
            Decoding(8),
            SteeringSpec(found, layer, (layer, layer + 1), Action(multiplier)) if multiplier else None,
            labels,
        )
        for multiplier in multipliers
    )


def plan_of(*cells: Cell, resources: dict[str, Resources] | None = None) -> Plan:
    """A plan of these cells with the directions and models that they need."""
    directions = {cell.steering.direction.id: cell.steering.direction for cell in cells if cell.steering is not None}
    specs = {variant_id(spec): spec for spec in [*(cell.target for cell in cells), *(one.model for one in directions.values())]}
    shape = ModelShape(N_LAYERS, D_MODEL, 2, 2, 2, 8, 100, "fake", "fake", 1000)
    models = tuple(
        PlannedModel(spec.location, spec, variant, shape, (resources or {}).get(spec.location, Resources()))
        for variant, spec in specs.items()
    )
    return Plan("test", cells, tuple(directions.values()), models, EngineOptions(), (), (), Estimate(()))


def run(plan: Plan, pool: FakePool, notebook: Notebook | None = None, **settings: float) -> tuple[Notebook, Board]:
    """Run the plan with whatever the notebook already holds."""
    kept = notebook or Notebook()
    board = Board(plan, {*kept.directions, *kept.cells}, list(kept.failures.values()))
    Scheduler(plan, board, pool, kept, Settings(MaxFailures(settings.get("max_failures")), tell=kept.hear)).run()
    return kept, board


def test_a_sweep_runs_extraction_first_and_every_cell_once() -> None:
    cells = cells_of(model("a"), [0, 1, 2, 4])
    pool = FakePool()
    notebook, board = run(plan_of(*cells), pool)
    assert [type(task) for _, task in pool.tasks] == [Load, Extract, Generate]
    assert set(notebook.cells) == {cell.id for cell in cells}
    assert not board.unfinished()
    assert notebook.failures == {}
    steered = pool.tasks[-1][1]
    assert isinstance(steered, Generate)
    by_id = {job.cell_id: job.steering for job in steered.jobs}
    assert by_id[cells[0].id] is None
    strongest = by_id[cells[3].id]
    assert strongest is not None
    assert (strongest.layers, strongest.multiplier, strongest.vectors.shape) == ((3, 4), 4.0, (2, D_MODEL))


def test_equal_vectors_are_one_array_in_a_task() -> None:
    pool = FakePool()
    run(plan_of(*cells_of(model("a"), [1, 2])), pool)
    task = pool.tasks[-1][1]
    assert isinstance(task, Generate)
    first, second = (job.steering for job in task.jobs)
    assert first is not None
    assert second is not None
    assert first.vectors is second.vectors


def test_each_variant_is_loaded_once_on_one_worker_and_the_largest_first() -> None:
    cells = [*cells_of(model("small"), [0, 1]), *cells_of(model("large"), [0, 1, 2, 3]), *cells_of(model("mid"), [0, 1, 2])]
    pool = FakePool()
    run(plan_of(*cells), pool)
    assert [name for _, name in pool.loads()] == ["large", "mid", "small"]


def test_a_transfer_uses_the_source_models_direction_and_reloads_only_when_it_must() -> None:
    a, b = model("a"), model("b")
    pool = FakePool()
    notebook, _ = run(plan_of(*cells_of(a, [0, 1]), *cells_of(b, [1], source=direction(a))), pool)
    assert [name for _, name in pool.loads()] == ["a", "b"]
    assert len(notebook.cells) == 3
    assert len(notebook.directions) == 1


def test_resume_runs_only_what_is_missing_and_growing_the_grid_only_what_is_new() -> None:
    spec = model("a")
    notebook, _ = run(plan_of(*cells_of(spec, [0, 1])), FakePool())
    before = dict(notebook.cells)

    again = FakePool()
    run(plan_of(*cells_of(spec, [0, 1])), again, notebook)
    assert again.tasks == []

    grown, cells = FakePool(), cells_of(spec, [0, 1, 2])
    run(plan_of(*cells), grown, notebook)
    assert [type(task) for _, task in grown.tasks] == [Load, Generate]
    assert grown.batches() == [[cells[2].id]]
    assert {cell_id: notebook.cells[cell_id] for cell_id in before} == before


def test_a_lost_direction_file_is_extracted_again() -> None:
    cells = cells_of(model("a"), [1])
    plan, notebook = plan_of(*cells), Notebook()
    board = Board(plan, {plan.directions[0].id})
    Scheduler(plan, board, FakePool(), notebook).run()
    assert set(notebook.directions) == {plan.directions[0].id}
    assert set(notebook.cells) == {cells[0].id}


def test_a_failing_cell_is_recorded_once_and_the_others_go_on() -> None:
    good, bad = cells_of(model("a"), [0, 1, 2]), cells_of(model("a"), [3], text="[job error]")
    pool = FakePool()
    notebook, board = run(plan_of(*good, *bad), pool)
    assert set(notebook.cells) == {cell.id for cell in good}
    failure = notebook.failures[bad[0].id]
    assert (failure.kind, failure.attempt) == ("job", 1)
    assert board[bad[0].id].state is State.FAILED

    again = FakePool()
    run(plan_of(*good, *bad), again, notebook)
    assert again.tasks == [], "a deterministic failure waits for `retry`"


def test_an_error_that_ends_a_batch_is_pinned_on_the_cell_that_raises() -> None:
    good, bad = cells_of(model("a"), [1, 2, 3]), cells_of(model("a"), [4], text="[raise]")
    notebook, _ = run(plan_of(*bad, *good), FakePool())
    assert set(notebook.cells) == {cell.id for cell in good}
    assert {kind.kind for kind in notebook.failures.values()} == {"ZeroDivisionError"}
    assert set(notebook.failures) == {bad[0].id}
    assert notebook.failures[bad[0].id].attempt == 2


def test_out_of_memory_is_tried_once_more_alone() -> None:
    bad = cells_of(model("a"), [4], text="[memory]")
    pool = FakePool()
    notebook, _ = run(plan_of(*bad), pool)
    assert pool.batches() == [[bad[0].id], [bad[0].id]]
    assert (notebook.failures[bad[0].id].kind, notebook.failures[bad[0].id].attempt) == ("out_of_memory", 2)


def test_a_dead_worker_is_replaced_and_its_cells_run_again(tmp_path: Path) -> None:
    cells = cells_of(model("a"), [1, 2, 3], text=f"[die once {tmp_path / 'died'}]")
    pool = FakePool()
    notebook, _ = run(plan_of(*cells), pool)
    assert set(notebook.cells) == {cell.id for cell in cells}
    assert [attempt for _, attempt in notebook.cells.values()] == [2, 2, 2]
    assert len(pool.loads()) == 2
    assert notebook.failures == {}
    assert any("died" in note for note in notebook.notes)


def test_a_cell_that_kills_its_worker_three_times_is_recorded_and_the_others_go_on() -> None:
    good, bad = cells_of(model("a"), [1, 2]), cells_of(model("a"), [3], text="[die]")
    pool = FakePool()
    notebook, _ = run(plan_of(*bad, *good), pool)
    assert set(notebook.cells) == {cell.id for cell in good}
    assert set(notebook.failures) == {bad[0].id}
    failure = notebook.failures[bad[0].id]
    assert (failure.kind, failure.attempt, failure.retryable) == ("poison", 3, False)
    assert failure.message == "its worker died 3 times, at last while it ran alone: killed"
    first, second, *alone = pool.batches()
    assert (len(first), len(second)) == (3, 2), "in small company after the first death: two cells fill the slots"
    assert [len(batch) for batch in alone] == [1, 1, 1]
    assert [bad[0].id] in alone, "alone after the second"
    assert len(pool.loads()) == 4, "the first and one after each death"

    again = FakePool()
    run(plan_of(*bad, *good), again, notebook)
    assert again.tasks == [], "poison stays where it is until `retry`"


def test_a_failed_extraction_fails_its_cells_and_no_others() -> None:
    broken = direction(model("a"), positive="[job error]")
    dependents, others = cells_of(model("a"), [1, 2], source=broken), cells_of(model("a"), [0, 3])
    notebook, _ = run(plan_of(*dependents, *others), FakePool())
    assert set(notebook.cells) == {cell.id for cell in others}
    assert notebook.failures[broken.id].kind == "job"
    for cell in dependents:
        assert notebook.failures[cell.id].kind == "upstream"
        assert notebook.failures[cell.id].message.startswith(f"needs direction {broken.id}")
        assert "no difference between the classes" in notebook.failures[cell.id].message


def test_cells_failed_upstream_run_when_the_direction_is_no_longer_failed() -> None:
    broken = direction(model("a"), positive="[job error]")
    plan = plan_of(*cells_of(model("a"), [1], source=broken))
    notebook, _ = run(plan, FakePool())
    del notebook.failures[broken.id]  # what `retry` does, were the filter only this direction
    board = Board(plan, (), list(notebook.failures.values()))
    assert board.unfinished()
    assert board[plan.cells[0].id].state is State.PENDING


def test_a_model_that_does_not_load_fails_its_items_and_not_other_models() -> None:
    good, bad = cells_of(model("good"), [0, 1]), cells_of(model("broken"), [0, 1])
    transfer = cells_of(model("good"), [5], source=direction(model("broken")))
    notebook, _ = run(plan_of(*bad, *good, *transfer), FakePool())
    assert set(notebook.cells) == {cell.id for cell in good}
    kinds = {item: failure.kind for item, failure in notebook.failures.items()}
    assert kinds == {
        bad[0].id: "model_load",
        bad[1].id: "model_load",
        direction(model("broken")).id: "model_load",
        transfer[0].id: "upstream",
    }
    assert "no such model" in notebook.failures[bad[0].id].message


def test_a_worker_that_dies_while_loading_is_tried_three_times() -> None:
    cells = cells_of(model("[die]"), [0])
    pool = FakePool()
    notebook, _ = run(plan_of(*cells), pool)
    assert len(pool.loads()) == 3
    assert (notebook.failures[cells[0].id].kind, notebook.failures[cells[0].id].attempt) == ("model_load", 3)


def test_a_method_without_a_direction_at_the_layer_fails_that_cell_only() -> None:
    good, bad = cells_of(model("a"), [1]), cells_of(model("a"), [1], layer=N_LAYERS)
    notebook, _ = run(plan_of(*bad, *good), FakePool())
    assert set(notebook.cells) == {good[0].id}
    assert f"no direction at layer {N_LAYERS}" in notebook.failures[bad[0].id].message


def test_max_failures_stops_a_hopeless_sweep() -> None:
    bad = cells_of(model("a"), range(1, 40), text="[job error]")
    with pytest.raises(TooManyFailuresError, match="max_failures: 3"):
        run(plan_of(*bad), FakePool(), max_failures=3)


def test_max_failures_as_a_share_counts_cells_that_fail_with_their_direction() -> None:
    broken = direction(model("a"), positive="[job error]")
    good, lost = cells_of(model("a"), range(8)), cells_of(model("a"), [1, 2], source=broken)
    plan = plan_of(*good, *lost)
    with pytest.raises(TooManyFailuresError, match="2 of 10 cells failed, more than max_failures"):
        run(plan, FakePool(), max_failures=0.15)
    notebook, _ = run(plan, FakePool(), max_failures=0.2)
    assert set(notebook.cells) == {cell.id for cell in good}, "not more than the share"
    notebook, _ = run(plan, FakePool(), max_failures=1)
    assert len(notebook.failures) == 3, "as a count, a direction with all its cells is one failure"


@pytest.mark.parametrize("limit", [1.0, 0.0, -1, 2.5, float("nan")])
def test_max_failures_must_make_sense(limit: float) -> None:
    with pytest.raises(ValueError, match="max_failures"):
        MaxFailures(limit)


def test_what_failed_on_one_worker_is_tried_on_another() -> None:
    cells = cells_of(model("a"), [1 + step / 100 for step in range(200)])
    bad = cells_of(model("a"), [4], text="[memory]")
    pool = FakePool(count=2)
    notebook, _ = run(plan_of(*cells, *bad), pool)
    assert notebook.failures[bad[0].id].attempt == 2
    where = [
        worker for worker, task in pool.tasks if isinstance(task, Generate) and bad[0].id in {job.cell_id for job in task.jobs}
    ]
    assert sorted(where) == ["w1", "w2"]


def test_a_death_and_a_memory_failure_are_counted_apart() -> None:
    cells = cells_of(model("a"), [1])
    board = Board(plan_of(*cells), {direction(model("a")).id})
    died, memory = (
        Failure(cells[0].id, "worker_died", "", "", retryable=True),
        Failure(cells[0].id, "oom", "", "", retryable=True),
    )
    assert [board.fail(failure) for failure in (died, memory, died)] == [[], [], []]
    (recorded,) = board.fail(memory)
    assert (recorded.kind, recorded.attempt) == ("oom", 4)


def test_no_item_is_poison_before_it_ran_alone() -> None:
    """Two workers that ran the same piece die: that is one suspicion, though two deaths."""
    cells = cells_of(model("a"), [0])
    board = Board(plan_of(*cells))
    item, died = board[cells[0].id], Failure(cells[0].id, "worker_died", "", "", retryable=True)
    assert board.fail(died) == []
    board.start([item], "w1")
    board.start([item], "w2")
    assert [board.fail(replace(died, worker=worker)) for worker in ("w1", "w2")] == [[], []]
    assert item.alone
    board.start([item], "w1")
    assert [one.kind for one in board.fail(replace(died, worker="w1"))] == ["poison"]


def test_an_item_that_runs_twice_fails_only_when_both_fail() -> None:
    cells = cells_of(model("a"), [0])
    board = Board(plan_of(*cells))
    item, died = board[cells[0].id], Failure(cells[0].id, "worker_died", "", "", retryable=True, worker="w1")
    board.start([item], "w1")
    board.start([item], "w2")
    assert board.fail(died) == []
    assert (item.state, board.running_on("w1"), board.running_on("w2")) == (State.RUNNING, [], [item])
    board.finish(item.id)
    assert not board.unfinished()


def test_only_as_many_workers_as_there_are_gpus_of_the_kind_load() -> None:
    """Two variants share two GPUs; a third worker's name stands for a machine of another kind."""
    needs = Resources(gpus=1, accelerator="A100")
    pool = FakePool(count=3, fits=lambda resources: 2)
    cells = [
        *cells_of(model("a"), [step / 100 for step in range(1, 200)]),
        *cells_of(model("b"), [step / 100 for step in range(1, 200)]),
    ]
    notebook, _ = run(plan_of(*cells, resources={"a": needs, "b": needs}), pool)
    assert len(notebook.cells) == len(cells)
    assert {worker for worker, _ in pool.loads()} == {"w1", "w2"}


def test_directions_that_others_wait_for_come_first_and_a_model_that_needs_them_last() -> None:
    source, target, other = model("source"), model("target"), model("other")
    cells = [
        *cells_of(target, [1, 2, 3, 4, 5, 6], source=direction(source)),
        *cells_of(target, [0]),
        *cells_of(source, [0]),
        *cells_of(other, [0, 1, 2]),
    ]
    pool = FakePool()
    run(plan_of(*cells), pool)
    assert [name for _, name in pool.loads()] == ["source", "target", "other"]


def test_two_workers_take_different_models_before_replicas() -> None:
    pool = FakePool(count=2)
    run(plan_of(*cells_of(model("a"), [0, 1]), *cells_of(model("b"), [0, 1])), pool)
    assert sorted(pool.loads()) == [("w1", "a"), ("w2", "b")]


def test_an_idle_worker_loads_a_replica_when_the_work_outlasts_a_load() -> None:
    few, many = cells_of(model("a"), [0, 1]), cells_of(model("a"), [1 + step / 100 for step in range(200)])
    lone, shared = FakePool(count=2), FakePool(count=2)
    run(plan_of(*few), lone)
    assert len(lone.loads()) == 1
    notebook, _ = run(plan_of(*many), shared)
    assert {worker for worker, _ in shared.loads()} == {"w1", "w2"}
    assert len(notebook.cells) == 200
    assert {worker for worker, task in shared.tasks if isinstance(task, Generate)} == {"w1", "w2"}


def test_no_more_replicas_than_fit() -> None:
    pool = FakePool(count=2, fits=lambda resources: 1)
    run(plan_of(*cells_of(model("a"), [1 + step / 100 for step in range(200)])), pool)
    assert len(pool.loads()) == 1


def test_an_idle_worker_makes_room_for_a_model_that_needs_more() -> None:
    class Cramped(FakePool):
        """The big model's worker does not start before the other one is released."""

        def next_event(self, timeout: float | None) -> Event | None:
            if not self.released and "w1" in self._running:
                self._running["w1"] = self._running.pop("w1")  # back to the end of the queue
                if len(self._running) == 1:
                    return None
            return super().next_event(timeout)

    pool = Cramped(count=2, fits=lambda resources: 1 if resources.gpus == 4 else 2)
    cells = [*cells_of(model("small"), [0]), *cells_of(model("big"), [0, 1, 2, 3])]
    notebook, _ = run(plan_of(*cells, resources={"big": Resources(gpus=4)}), pool)
    assert pool.loads() == [("w1", "big"), ("w2", "small")]
    assert pool.released == ["w2"]
    assert len(notebook.cells) == 5


@pytest.mark.parametrize(
    ("seconds_per_row", "ready", "holders", "rows"),
    [
        (None, 10_000, 1, 4 * 32),  # nothing measured yet: a few fills
        (0.1, 10_000, 1, 600),  # a minute's worth
        (10.0, 10_000, 1, 4 * 32),  # slow: still enough to keep the slots full
        (0.1, 300, 2, 75),  # the end is shared, twice
        (0.1, 100, 2, 32),  # but one fill where a whole share has as much
        (0.1, 20, 2, 10),  # and the very end evenly
        (0.1, 300, 1, 300),  # alone there is nobody to share with
    ],
)
def test_piece_sizes(seconds_per_row: float | None, ready: int, holders: int, rows: int) -> None:
    tokens = 100
    amount = Amount(items=ready, rows=ready, budget=tokens * ready)
    speed = placement.Speed(None if seconds_per_row is None else seconds_per_row / tokens)
    size = placement.piece_size(32, speed, amount, holders)
    assert max(size.rows, round(size.budget / tokens)) == rows
    assert size.fill == 32


def test_batches_fill_the_slots_and_do_not_take_everything() -> None:
    cells = cells_of(model("a"), [1 + step / 100 for step in range(60)])
    pool = FakePool()
    run(plan_of(*cells), pool)
    sizes = [len(batch) for batch in pool.batches()]
    assert sum(sizes) == 60
    assert sizes[0] == 4 * SLOTS / 2  # two prompts a cell


def test_an_interrupt_leaves_finished_cells_written_and_nothing_half_done() -> None:
    cells = cells_of(model("a"), [1, 2, 3, 4])
    plan, notebook, pool, waits = plan_of(*cells), Notebook(), FakePool(), iter(range(100))

    @contextmanager
    def interrupted_later() -> Iterator[None]:
        if next(waits) == 6:  # after the model, TaskDone, a direction, TaskDone and two cells
            raise KeyboardInterrupt
        yield

    board = Board(plan)
    with pytest.raises(KeyboardInterrupt):
        Scheduler(plan, board, pool, notebook, Settings(waiting=interrupted_later)).run()
    assert list(notebook.cells) == [cells[0].id, cells[1].id]
    assert notebook.failures == {}

    resumed = FakePool()
    run(plan, resumed, notebook)
    assert resumed.batches() == [[cells[2].id, cells[3].id]]


def test_an_interrupt_still_writes_what_had_already_arrived() -> None:
    cells = cells_of(model("a"), [0])
    result = CellResult(cells[0].id, (), FiredCheck(None), None, seconds=1.0, new_tokens=1)

    class Late(FakePool):
        """Everything stops in the second task; a result is then found in the queue."""

        late = iter([WorkerGave("w1", Answered(result.cell_id, result)), None])

        def next_event(self, timeout: float | None) -> Event | None:
            if timeout == 0:
                return next(self.late)
            if any(isinstance(task, Generate) for _, task in self.tasks):
                raise KeyboardInterrupt
            return super().next_event(timeout)

    notebook = Notebook()
    with pytest.raises(KeyboardInterrupt):
        run(plan_of(*cells), Late(), notebook)
    assert set(notebook.cells) == {cells[0].id}
