"""Machines that come, go and are full, as the scheduler takes them: what is asked for, what is given back, who is to blame."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from actors.boundary import Generate, Load, Task, as_failure
from actors.errors import ModelLoadError, NotHereError, OutOfMemoryError, UnfitDeviceError, UnsupportedModelError
from actors.types import Failure, Resources
from orchestrator.cells import Cell
from orchestrator.pool import Event, TaskDone, WorkerGave, WorkerLost
from orchestrator.scheduler import ASK_SECONDS, Scheduler, Settings
from orchestrator.scheduling.attempts import MAX_ATTEMPTS, MAX_MACHINES
from orchestrator.scheduling.board import Board
from orchestrator.scheduling.fleet import CROWDED_SECONDS
from orchestrator.scheduling.pace import Pace
from orchestrator.scheduling.placement import LET_GO_SECONDS, MACHINE_SECONDS
from tests.orchestrator.test_scheduler import FakePool, Notebook, cells_of, model, plan_of, run

BIG, SMALL = Resources(gpus=1, accelerator="A100"), Resources(gpus=1, accelerator="L4")
MANY = [step / 100 for step in range(1, 2001)]


@dataclass
class EventfulPool(FakePool):
    """Loads end as ``fates`` says, by worker, before the model is there; time passes only when nothing happens."""

    fates: list[WorkerLost | None] = field(default_factory=list)
    now: float = 0.0
    starts: list[tuple[float, str, str]] = field(default_factory=list)
    _ends: dict[str, WorkerLost] = field(default_factory=dict)

    def submit(self, worker: str, task: Task) -> None:
        super().submit(worker, task)
        if isinstance(task, Load):
            self.starts.append((self.now, worker, task.spec.location))
            fate = self.fates.pop(0) if self.fates else None
            if fate is not None:
                self._ends[worker] = WorkerLost(worker, fate.message, fate.machine, fate.placed)

    def next_event(self, timeout: float | None) -> Event | None:
        if timeout and self._ends:
            worker, lost = next(iter(self._ends.items()))
            del self._ends[worker], self._running[worker]
            self.now += 1
            return lost
        event = super().next_event(timeout)
        if event is None:
            self.now += timeout or 0
        return event


NO_ROOM = WorkerLost("", "no machine had room", placed=False)


def gone(machine: str) -> WorkerLost:
    return WorkerLost("", "its machine is gone", machine)


def scheduled(pool: EventfulPool, *sweep: Sequence[Cell], resources: dict[str, Resources] | None = None) -> Notebook:
    """Run these cells by the pool's clock."""
    plan = plan_of(*(cell for cells in sweep for cell in cells), resources=resources)
    notebook = Notebook()
    Scheduler(plan, Board(plan), pool, notebook, Settings(clock=lambda: pool.now, tell=notebook.hear)).run()
    return notebook


def test_a_load_without_room_is_no_failed_load_however_often() -> None:
    pool = EventfulPool(fates=[NO_ROOM] * 10)
    notebook = scheduled(pool, cells_of(model("a"), [0, 1]))
    assert (len(notebook.cells), notebook.failures) == (2, {})
    assert len(pool.starts) == 11
    assert sum("no machine had room" in note for note in notebook.notes) == 1, "told once, not ten times"


def test_another_model_is_tried_while_one_finds_no_room() -> None:
    """Both kinds would fit by what the machines have, but somebody else holds the GPUs of one."""
    pool = EventfulPool(count=1, fates=[NO_ROOM])
    notebook = scheduled(pool, cells_of(model("a"), [0, 1, 2]), cells_of(model("b"), [0, 1]), resources={"a": BIG, "b": SMALL})
    assert len(notebook.cells) == 5
    assert [name for _, _, name in pool.starts] == ["a", "b", "a"]


def test_no_second_worker_of_a_kind_is_started_right_after_one_found_no_room() -> None:
    pool = EventfulPool(count=2, fates=[None, NO_ROOM])
    scheduled(pool, cells_of(model("a"), MANY), resources={"a": BIG})
    refused = pool.starts[1][0]
    assert all(when >= refused + CROWDED_SECONDS for when, _, _ in pool.starts[2:])


def test_one_machine_that_takes_eight_loads_with_it_is_not_eight_failures() -> None:
    pool = EventfulPool(count=8, fates=[gone("m1")] * 8)
    notebook = scheduled(pool, *(cells_of(model("a"), MANY) for _ in range(1)))
    assert notebook.failures == {}
    assert len(notebook.cells) == len(MANY)


def test_a_model_whose_loads_take_machine_after_machine_is_given_up() -> None:
    pool = EventfulPool(fates=[gone(f"m{number}") for number in range(20)])
    notebook = scheduled(pool, cells_of(model("a"), [0]))
    assert [failure.kind for failure in notebook.failures.values()] == ["model_load"]
    assert len(pool.starts) == 5, "two machines are forgiven, then three attempts count"


def test_workers_that_die_alone_while_loading_still_count() -> None:
    pool = EventfulPool(fates=[WorkerLost("", "killed")] * 20)
    notebook = scheduled(pool, cells_of(model("a"), [0]))
    assert len(notebook.failures) == 1
    assert len(pool.starts) == 3


@dataclass
class DoomedPool(FakePool):
    """The first ``losses`` tasks with cells take their worker's machine along, each another machine."""

    losses: int = 0

    def next_event(self, timeout: float | None) -> Event | None:
        worker = next(iter(self._running), None)
        task = next((task for name, task in reversed(self.tasks) if name == worker), None)
        if timeout and worker is not None and isinstance(task, Generate) and self.losses:
            self.losses -= 1
            del self._running[worker], self._workers[worker]
            return WorkerLost(worker, "its machine is gone", f"m{self.losses}")
        return super().next_event(timeout)


def test_cells_survive_the_loss_of_many_machines_and_stay_together() -> None:
    pool = DoomedPool(losses=MAX_MACHINES)
    notebook, _ = run(plan_of(*cells_of(model("a"), [0, 1, 2])), pool)
    assert notebook.failures == {}
    assert {attempt for _, attempt in notebook.cells.values()} == {MAX_MACHINES + 1}
    assert {len(batch) for batch in pool.batches()} == {3}, "none of them is suspected"


def test_a_cell_that_takes_one_machine_after_the_other_is_poison_in_the_end() -> None:
    pool = DoomedPool(losses=10_000)
    notebook, _ = run(plan_of(*cells_of(model("a"), [0])), pool)
    assert [failure.kind for failure in notebook.failures.values()] == ["poison"]
    assert len(pool.batches()) == MAX_MACHINES + MAX_ATTEMPTS


def test_every_model_with_open_work_is_wanted_and_nothing_at_the_end() -> None:
    pool = FakePool(count=1)
    run(plan_of(*cells_of(model("a"), [0, 1]), *cells_of(model("b"), [0]), resources={"a": BIG, "b": SMALL}), pool)
    assert pool.demands[0] == {BIG: 1, SMALL: 1}


def test_models_of_one_kind_add_up_and_more_work_asks_for_more_workers() -> None:
    pool = FakePool(count=1)
    plan = plan_of(*cells_of(model("a"), MANY), *cells_of(model("b"), [0]), resources={"a": BIG, "b": BIG})
    run(plan, pool)
    pace = Pace(plan, Board(plan))
    variant = next(one.variant for one in plan.models if one.name == "a")
    seconds = pace.seconds(variant, sum(item.budget for item in Board(plan).of(variant)))
    each = seconds / (pool.demands[0][BIG] - 1)
    assert pool.demands[0][BIG] > 2
    assert each >= pace.load_seconds(variant) + MACHINE_SECONDS, "each has enough to do to be worth a machine"
    assert seconds / pool.demands[0][BIG] < pace.load_seconds(variant) + MACHINE_SECONDS, "and one more would not"


def test_the_demand_shrinks_with_the_work_and_is_told_now_and_then_only() -> None:
    pool = EventfulPool(count=2)

    def ticking() -> Iterator[None]:
        while True:
            pool.now += 3
            yield

    ticks = ticking()
    original = pool.next_event

    def slowly(timeout: float | None) -> Event | None:
        next(ticks)
        return original(timeout)

    pool.next_event = slowly  # type: ignore[method-assign]
    scheduled(pool, cells_of(model("a"), MANY))
    sizes = [sum(demand.values()) for demand in pool.demands]
    assert sizes[0] > sizes[-1] == 1
    assert len(sizes) <= pool.now / ASK_SECONDS + 1


def test_a_worker_without_use_gives_its_model_back_after_a_while_and_no_sooner() -> None:
    """One worker is done with its model; the other's last cell takes long."""

    class LongLast(EventfulPool):
        """The larger model's worker is silent for ten minutes once the other is done."""

        released_at: list[float]

        def next_event(self, timeout: float | None) -> Event | None:
            if timeout and list(self._running) == ["w1"] and self.now < 600:
                self.now += timeout
                return None
            return super().next_event(timeout)

        def release(self, worker: str) -> None:
            super().release(worker)
            self.released_at.append(self.now)

    pool = LongLast(count=2, fits=lambda resources: 2)
    pool.released_at = []
    notebook = scheduled(pool, cells_of(model("a"), [0]), cells_of(model("b"), [0, 1, 2, 3]))
    assert len(notebook.cells) == 5
    assert len(pool.released) == 1
    assert LET_GO_SECONDS <= pool.released_at[0] < LET_GO_SECONDS + 60


@dataclass
class PoolOfMachines(FakePool):
    """As many machines as workers, for each a worker; a load ends on a machine of ``bad`` with the failure given there."""

    bad: dict[str, Failure] = field(default_factory=dict)
    placed: list[tuple[str, str]] = field(default_factory=list)
    _failing: list[Event] = field(default_factory=list)

    def capacity(self, resources: Resources, avoid: Collection[str] = ()) -> int:
        return len({f"m{number}" for number in range(self.count)} - set(avoid))

    def submit(self, worker: str, task: Task) -> None:
        super().submit(worker, task)
        if isinstance(task, Load):
            machine = next(f"m{number}" for number in range(self.count) if f"m{number}" not in task.avoid)
            self.placed.append((task.spec.location, machine))
            if machine in self.bad:
                del self._running[worker]
                failure = replace(self.bad[machine], item_id=task.variant)
                self._failing += [WorkerGave(worker, failure, machine, f"host-{machine}"), TaskDone(worker)]

    def next_event(self, timeout: float | None) -> Event | None:
        return self._failing.pop(0) if self._failing else super().next_event(timeout)


def failure(error: Exception) -> Failure:
    return as_failure("", error)


def caused(message: str, cause: Exception) -> Exception:
    """As the loader tells of what it met."""
    error = ModelLoadError(message)
    error.__cause__ = cause
    return error


FULL = OSError(errno.ENOSPC, "No space left on device")
OF_A_MACHINE = [
    caused("cannot load 'a'", FULL),
    caused("cannot load 'a'", ImportError("bitsandbytes")),
    caused("cannot load 'a'", FileNotFoundError("model-00002-of-00004.safetensors")),
    NotHereError("model folder 'a' does not exist on this machine"),
    OSError(errno.EIO, "Input/output error"),
    ModuleNotFoundError("torch"),
    RuntimeError("CUDA error: no kernel image is available for execution on the device"),
    OutOfMemoryError("the device is full"),
]


@pytest.mark.parametrize("error", OF_A_MACHINE, ids=lambda error: type(error.__cause__ or error).__name__)
def test_what_may_be_a_machine_s_fault_is_tried_on_another(error: Exception) -> None:
    pool = PoolOfMachines(count=2, bad={"m0": failure(error)})
    notebook, _ = run(plan_of(*cells_of(model("a"), [0, 1, 2])), pool)
    assert (len(notebook.cells), notebook.failures) == (3, {})
    assert pool.placed[:2] == [("a", "m0"), ("a", "m1")]
    assert not [one for one in pool.placed[2:] if one == ("a", "m0")], "it is remembered"
    assert any("cannot be loaded on host-m0" in note and str(error) in note for note in notebook.notes)


def test_a_machine_that_is_bad_for_one_model_is_good_for_another() -> None:
    class BadForA(PoolOfMachines):
        def submit(self, worker: str, task: Task) -> None:
            self.bad = {"m0": failure(FULL)} if isinstance(task, Load) and task.spec.location == "a" else {}
            super().submit(worker, task)

    pool = BadForA(count=2)
    notebook, _ = run(plan_of(*cells_of(model("a"), [0, 1, 2]), *cells_of(model("b"), [0])), pool)
    assert (len(notebook.cells), notebook.failures) == (4, {})
    assert ("b", "m0") in pool.placed


def test_what_fails_on_two_machines_is_the_model_s_fault_and_both_are_named() -> None:
    pool = PoolOfMachines(count=3, bad={f"m{number}": failure(FULL) for number in range(3)})
    notebook, _ = run(plan_of(*cells_of(model("a"), [0, 1])), pool)
    assert pool.placed == [("a", "m0"), ("a", "m1")]
    one, *_ = notebook.failures.values()
    assert one.kind == "model_load"
    assert one.message.endswith("(on host-m0, host-m1)")


def test_on_the_only_machine_it_fails_at_once() -> None:
    pool = PoolOfMachines(count=1, bad={"m0": failure(FULL)})
    notebook, _ = run(plan_of(*cells_of(model("a"), [0])), pool)
    assert (pool.placed, len(notebook.failures)) == ([("a", "m0")], 1)


def test_machines_without_the_gpu_that_is_asked_for_are_passed_over_however_many() -> None:
    small = UnfitDeviceError("the model asks for GPUs of 80 GB (gpu_memory), this worker's A100 has 42 GB")
    pool = PoolOfMachines(count=4, bad={f"m{number}": failure(small) for number in range(3)})
    notebook, _ = run(plan_of(*cells_of(model("a"), [0, 1])), pool)
    assert (len(notebook.cells), notebook.failures) == (2, {})
    assert pool.placed == [("a", "m0"), ("a", "m1"), ("a", "m2"), ("a", "m3")]


@pytest.mark.parametrize(
    "error",
    [ModelLoadError("the files lack 3 weights"), UnsupportedModelError("no blocks"), caused("a", ValueError("config"))],
)
def test_a_verdict_on_the_model_is_not_asked_for_twice(error: Exception) -> None:
    pool = PoolOfMachines(count=3, bad={f"m{number}": failure(error) for number in range(3)})
    notebook, _ = run(plan_of(*cells_of(model("a"), [0])), pool)
    assert (pool.placed, len(notebook.failures)) == ([("a", "m0")], 1)
