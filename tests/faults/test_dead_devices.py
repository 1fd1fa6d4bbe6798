"""A device that takes its context along: the worker ends, what it had in hand is nobody's fault, a bad machine is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import ray.exceptions
import torch
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from actors.boundary import Load, Task
from actors.errors import DeviceLostError
from actors.types import CellResult, Failure, GenerationJob, Resources
from orchestrator.pool import Event, WorkerLost
from orchestrator.scheduling.attempts import BAD_DEVICES, MAX_ATTEMPTS
from tests.faults.tiny_sweep import TinySweep
from tests.orchestrator.pool.fake_ray import FakeRay, fake, pool_of
from tests.orchestrator.pool.on_a_cluster import A100, load
from tests.orchestrator.test_scheduler import FakePool, MortalWorker, cells_of, model, plan_of, run

__all__ = ["fake"]

ILLEGAL = "CUDA error: an illegal memory access was encountered"
MANY = [step / 100 for step in range(1, 501)]


@dataclass
class DevicePool(FakePool):
    """Each worker stands on a machine of its own. ``dies``: whether a job that a worker begins takes its device along, after
    which every call on that worker raises; a new worker takes the place of one that ended."""

    dies: Callable[[str, GenerationJob], bool] = lambda worker, job: False
    bad_for_loads: frozenset[str] = frozenset()
    ended: list[str] = field(default_factory=list)
    placed: dict[str, str] = field(default_factory=dict)

    def capacity(self, resources: Resources, avoid: Any = ()) -> int:
        return len(set(self._machines()) - set(avoid))

    def _machines(self) -> list[str]:
        return [f"m{number}" for number in range(1, self.count + 1)]

    def submit(self, worker: str, task: Task) -> None:
        if isinstance(task, Load):
            free = [one for one in self._machines() if one not in task.avoid]
            own = worker.replace("w", "m")
            self.placed[worker] = own if own in free else free[0]
            self._workers.setdefault(worker, DeviceWorker(self, worker))
        super().submit(worker, task)

    def next_event(self, timeout: float | None) -> Event | None:
        worker = next(iter(self._running), "")
        try:
            return super().next_event(timeout)
        except DeviceLostError as error:
            self.ended.append(self.placed[worker])
            del self._workers[worker]
            return WorkerLost(worker, str(error), device_on=self.placed[worker], host=f"host-{self.placed[worker]}")


class DeviceWorker(MortalWorker):
    """On a device whose context, once dead, fails every call of the process."""

    def __init__(self, pool: DevicePool, name: str) -> None:
        super().__init__()
        self.pool, self.name, self.dead = pool, name, False

    def load(self, *arguments: Any) -> Any:
        self.dead = self.dead or self.pool.placed[self.name] in self.pool.bad_for_loads
        self.use()
        return super().load(*arguments)

    def generate(self, jobs: Sequence[GenerationJob], often: float = 0.0) -> Iterator[CellResult | Failure]:
        for job in jobs:
            self.dead = self.dead or self.pool.dies(self.pool.placed[self.name], job)
            self.use()
            yield from super().generate([job])

    def use(self) -> None:
        if self.dead:
            raise torch.AcceleratorError(ILLEGAL)


def once() -> Callable[[str, GenerationJob], bool]:
    left = [3]

    def dies(machine: str, job: GenerationJob) -> bool:
        left[0] -= 1
        return left[0] == 0

    return dies


@pytest.mark.parametrize("workers", [1, 2])
def test_a_context_that_dies_with_500_cells_left_costs_none_of_them(workers: int) -> None:
    pool = DevicePool(count=workers, dies=once())
    notebook, _ = run(plan_of(*cells_of(model("a"), [0, *MANY])), pool)
    assert notebook.failures == {}
    assert len(notebook.cells) == 501
    assert len(pool.ended) == 1, "the worker ended at once"
    assert any(f"its device can no longer be used by this process: {ILLEGAL}" in note for note in notebook.notes)


def test_a_cell_that_kills_every_context_fails_alone() -> None:
    pool = DevicePool(count=1, dies=lambda machine, job: job.steering is not None and job.steering.multiplier == MANY[0])
    notebook, _ = run(plan_of(*cells_of(model("a"), [0, *MANY])), pool)
    (failure,) = notebook.failures.values()
    assert (failure.kind, len(notebook.cells), len(pool.ended)) == ("poison", 500, MAX_ATTEMPTS)
    assert ILLEGAL in failure.message


def test_a_machine_whose_devices_die_again_and_again_is_left_alone() -> None:
    pool = DevicePool(count=2, dies=lambda machine, job: machine == "m1")
    more = [step / 100 for step in range(1, 1001)]
    notebook, _ = run(plan_of(*cells_of(model("a"), [0, *more])), pool)
    assert (len(notebook.cells), notebook.failures) == (1001, {})
    assert pool.ended == ["m1"] * BAD_DEVICES
    assert sum("have lost their device on host-m1" in note for note in notebook.notes) == 1


def test_a_load_that_loses_its_device_is_tried_on_another_machine() -> None:
    pool = DevicePool(count=2, bad_for_loads=frozenset({"m1"}))
    notebook, _ = run(plan_of(*cells_of(model("a"), [0, 1, 2])), pool)
    assert (len(notebook.cells), notebook.failures) == (3, {})
    assert pool.ended == ["m1"]


def test_on_the_only_machine_it_ends_with_the_reason() -> None:
    pool = DevicePool(count=1, bad_for_loads=frozenset({"m1"}))
    notebook, _ = run(plan_of(*cells_of(model("a"), [0])), pool)
    (failure,) = notebook.failures.values()
    assert (failure.kind, len(pool.ended)) == ("model_load", MAX_ATTEMPTS)
    assert ILLEGAL in failure.message


def test_the_ray_pool_ends_the_actor_and_names_the_machine(fake: FakeRay) -> None:
    pool = pool_of(resources=(A100,))
    pool.submit("worker-1", load(A100))
    fake.actors[0].start_on("m1")
    fake.actors[0].stream.answers = [ray.exceptions.RayTaskError("perform", "traceback", DeviceLostError(ILLEGAL))]
    lost = pool.next_event(1.0)
    assert lost == WorkerLost("worker-1", ILLEGAL, device_on="m1", host="host-m1")
    assert fake.actors[0].killed
    pool.submit("worker-1", load(A100))
    assert len(fake.actors) == 2


def test_any_other_error_that_escapes_is_ours(fake: FakeRay) -> None:
    pool = pool_of(resources=(A100,))
    pool.submit("worker-1", load(A100))
    fake.actors[0].start_on("m1")
    fake.actors[0].stream.answers = [ray.exceptions.RayTaskError("perform", "traceback", ZeroDivisionError())]
    with pytest.raises(ray.exceptions.RayTaskError):
        pool.next_event(1.0)


@pytest.fixture
def sweep(tmp_path: Path) -> TinySweep:
    found = TinySweep(tmp_path)
    found.model()
    return found.write()


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """After so many forwards of a block every one raises, as every call of a process does whose context is dead."""
    real, left = LlamaDecoderLayer.__call__, [10**9]

    def forward(self: LlamaDecoderLayer, *more: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise torch.AcceleratorError(ILLEGAL)
        return real(self, *more, **named)

    monkeypatch.setattr(LlamaDecoderLayer, "__call__", forward)
    return left


def forwards(sweep: TinySweep, device: list[int]) -> int:
    before = device[0]
    assert sweep.run("--results", str(sweep.folder / "whole")).exit_code == 0
    return before - device[0]


def test_in_process_the_run_ends_with_the_reason_and_goes_on_in_another(sweep: TinySweep, device: list[int]) -> None:
    needed = forwards(sweep, device)
    device[0] = needed - 2
    told = sweep.run()
    assert told.exit_code == 1, told.output
    assert ILLEGAL in " ".join(told.output.split())
    assert "the same `run` continues the sweep" in " ".join(told.output.split())
    assert sweep.failures() == {}
    device[0] = 10**9
    assert sweep.run().exit_code == 0
    assert len(sweep.store.done_cells()) == 3


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_no_check_of_a_model_takes_a_dead_device_for_a_verdict_on_it(sweep: TinySweep, device: list[int], share: float) -> None:
    device[0] = int(share * forwards(sweep, device))
    told = sweep.run()
    assert told.exit_code == 1
    assert sweep.failures() == {}, "nothing is recorded against the model"
