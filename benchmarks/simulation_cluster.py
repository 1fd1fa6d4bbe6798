"""A pool in virtual time: GPUs that are slow, die and are replaced, and workers that take as long as they are told.

Like Ray's pool, a worker is a name that gets a GPU of the right kind with its first load; a load for which there is no GPU waits.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal

from actors.boundary import Answered, Extract, Load, Task, as_failure
from actors.errors import JobError, OutOfMemoryError
from actors.types import CellResult, FiredCheck, Resources, Response
from benchmarks.simulation_workload import Workload
from orchestrator.pool import Event, TaskDone, WorkerGave, WorkerLost

Fate = Literal["fails", "out of memory", "kills", "hangs once"]
"""What an item does when it runs: fail for good, fail in a way that may be tried again, take its worker along; or never end the
first time."""


@dataclass(frozen=True)
class Cluster:
    """What a cluster is like. ``gpus``: how many of each kind at the start.

    ``deaths_per_hour``: share of the GPUs that die in an hour (exponential lifetimes); another takes a dead one's place after
    ``replacement_seconds``. ``slow_share`` of all GPUs take ``slow_factor`` (uniform between the two) times as long for all
    they do. ``joining``: so many GPUs of each kind come later, evenly over ``joining_seconds``. ``handover_seconds``: what
    passes between two tasks of a worker: the way to the driver and back. ``emptying``: what an engine that runs empty at the
    end of a task costs more, as a part of the time of one fill. ``answer_bytes``: size of each result, so that a driver that
    kept them would be seen to grow. ``fates``: items that go wrong.
    """

    gpus: Mapping[str, int]
    deaths_per_hour: float = 0.0
    replacement_seconds: float = 120.0
    slow_share: float = 0.02
    slow_factor: tuple[float, float] = (1.5, 4.0)
    joining: Mapping[str, int] = field(default_factory=dict)
    joining_seconds: float = 600.0
    handover_seconds: float = 1.0
    emptying: float = 0.0
    answer_bytes: int = 0
    fates: Mapping[str, Fate] = field(default_factory=dict)


@dataclass(eq=False)
class Gpu:
    """One device. ``slowness``: how many times longer everything takes on it."""

    kind: str
    slowness: float
    worker: Worker | None = None


@dataclass(eq=False)
class Worker:
    """One name. ``tasks`` counts what it was given, so that what a dead one still had to say is dropped."""

    name: str
    gpu: Gpu | None = None
    variant: str = ""
    busy: bool = False
    tasks: int = 0


Action = Callable[[], Event | None]


class SimulatedPool:
    """The ``Pool`` of a simulated cluster. ``now``: virtual seconds, which pass only inside ``next_event``."""

    def __init__(self, workload: Workload, cluster: Cluster, seed: int) -> None:
        self.now = 0.0
        self.loads: Counter[str] = Counter()
        self.deaths = 0
        self._workload, self._cluster, self._draw = workload, cluster, random.Random(seed)
        self._kinds = {model.variant: model.resources.accelerator or "" for model in workload.plan.models}
        self._free: dict[str, deque[Gpu]] = defaultdict(deque)
        self._waiting: dict[str, deque[tuple[Worker, Load]]] = defaultdict(deque)
        self._alive: Counter[str] = Counter()
        self._workers: dict[str, Worker] = {}
        self._agenda: list[tuple[float, int, Action]] = []
        self._entries = 0
        self._hung: set[str] = set()
        for kind, count in cluster.gpus.items():
            for _ in range(count):
                self._join(kind)
        self.power = {kind: sum(1 / gpu.slowness for gpu in gpus) for kind, gpus in self._free.items()}
        """Kind -> its GPUs at the start, each counted by its speed."""
        for kind, count in cluster.joining.items():
            for number in range(1, count + 1):
                self._after(cluster.joining_seconds * number / count, lambda kind=kind: self._join(kind))  # type: ignore[misc]

    # ---- the pool's interface ----------------------------------------------------------------------------------

    def workers(self) -> tuple[str, ...]:
        """As many names as GPUs are alive, and whoever is busy."""
        names = dict.fromkeys(f"worker-{number}" for number in range(1, self._alive.total() + 1))
        return (*names, *(one.name for one in self._workers.values() if one.busy and one.name not in names))

    def capacity(self, resources: Resources, avoid: Collection[str] = ()) -> int:
        """How many GPUs of the kind are alive."""
        return self._alive[resources.accelerator or ""]

    def wants(self, demand: Mapping[Resources, int]) -> None:
        """The cluster does not grow with the demand."""

    def submit(self, worker: str, task: Task) -> None:
        """Put what will happen on the agenda."""
        one = self._workers.setdefault(worker, Worker(worker))
        assert not one.busy, f"{worker} is busy"
        one.busy, one.tasks = True, one.tasks + 1
        if isinstance(task, Load):
            self._load(one, task)
        elif one.gpu is None:
            self._tell(one, 0.0, lambda: self._lost(one, "its GPU is gone"))
        elif isinstance(task, Extract):
            self._run(one, [task.job.job_id])
        else:
            self._run(one, [job.item_id for job in task.jobs])

    def next_event(self, timeout: float | None) -> Event | None:
        """Let time pass until something happens that concerns the driver."""
        end = self.now + (math.inf if timeout is None else timeout)
        while self._agenda and self._agenda[0][0] <= end:
            self.now, _, action = heappop(self._agenda)
            event = action()
            if event is not None:
                return event
        self.now = max(self.now, end)
        return None

    def release(self, worker: str) -> None:
        """Free the worker's GPU for whoever waits for one."""
        one = self._workers.pop(worker, None)
        if one is not None and one.gpu is not None:
            self._put_back(one.gpu)

    def close(self) -> None:
        """Nothing to stop."""

    # ---- machines ----------------------------------------------------------------------------------------------

    def _join(self, kind: str) -> None:
        slow = self._draw.random() < self._cluster.slow_share
        gpu = Gpu(kind, self._draw.uniform(*self._cluster.slow_factor) if slow else 1.0)
        self._alive[kind] += 1
        self._put_back(gpu)
        if self._cluster.deaths_per_hour:
            self._after(3600 * self._draw.expovariate(self._cluster.deaths_per_hour), lambda: self._die(gpu))

    def _put_back(self, gpu: Gpu) -> None:
        gpu.worker = None
        self._free[gpu.kind].append(gpu)
        while self._waiting[gpu.kind] and self._free[gpu.kind]:
            self._place(*self._waiting[gpu.kind].popleft())

    def _die(self, gpu: Gpu) -> Event | None:
        self.deaths += 1
        self._alive[gpu.kind] -= 1
        self._after(self._cluster.replacement_seconds, lambda: self._join(gpu.kind))
        worker = gpu.worker
        if worker is None:
            self._free[gpu.kind].remove(gpu)
            return None
        worker.gpu = None
        return self._lost(worker, "its GPU died") if worker.busy else None

    def _lost(self, worker: Worker, message: str) -> Event:
        if worker.gpu is not None:
            self._put_back(worker.gpu)
        del self._workers[worker.name]
        worker.tasks += 1
        return WorkerLost(worker.name, message)

    # ---- tasks -------------------------------------------------------------------------------------------------

    def _load(self, worker: Worker, task: Load) -> None:
        kind = self._kinds[task.variant]
        if worker.gpu is not None and worker.gpu.kind != kind:
            self._put_back(worker.gpu)
            worker.gpu = None
        self.loads[task.variant] += 1
        if worker.gpu is None and not self._free[kind]:
            self._waiting[kind].append((worker, task))
        else:
            self._place(worker, task)

    def _place(self, worker: Worker, task: Load) -> None:
        if worker.gpu is None:
            worker.gpu = self._free[self._kinds[task.variant]].popleft()
            worker.gpu.worker = worker
        worker.variant = task.variant
        seconds = self._workload.loads[task.variant] * worker.gpu.slowness
        info = self._workload.infos[task.variant]
        self._tell(worker, seconds, lambda: WorkerGave(worker.name, info))
        self._tell(worker, seconds, lambda: self._done(worker))

    def _run(self, worker: Worker, item_ids: list[str]) -> None:
        assert worker.gpu is not None
        ends = 0.0
        for item_id in item_ids:
            fate = self._cluster.fates.get(item_id)
            if fate == "hangs once" and item_id not in self._hung:
                self._hung.add(item_id)
                return
            took = self._workload.seconds[item_id] * worker.gpu.slowness
            ends += took
            self._tell(worker, ends, lambda item_id=item_id, took=took, fate=fate: self._outcome(worker, item_id, took, fate))  # type: ignore[misc]
        emptying = self._cluster.emptying * self._workload.fills[worker.variant] * worker.gpu.slowness
        self._tell(worker, ends + self._cluster.handover_seconds + emptying, lambda: self._done(worker))

    def _outcome(self, worker: Worker, item_id: str, took: float, fate: Fate | None) -> Event:
        if fate == "kills":
            return self._lost(worker, "killed by what it ran")
        if fate in ("fails", "out of memory"):
            error = JobError("fails whenever it runs") if fate == "fails" else OutOfMemoryError("always too large")
            return WorkerGave(worker.name, as_failure(item_id, error))
        if item_id.startswith("direction"):
            return WorkerGave(worker.name, Answered(item_id, self._workload.directions[item_id]))
        answer = Response("p", "", "x" * self._cluster.answer_bytes, (), 0, "length")
        result = CellResult(item_id, (answer,), FiredCheck(None), None, took, 1)
        return WorkerGave(worker.name, Answered(item_id, result))

    def _done(self, worker: Worker) -> Event:
        worker.busy = False
        return TaskDone(worker.name)

    def _tell(self, worker: Worker, seconds: float, action: Action) -> None:
        """Happens unless the worker has died, or was lost, by then."""
        task = worker.tasks
        self._after(seconds, lambda: action() if worker.tasks == task else None)

    def _after(self, seconds: float, action: Action) -> None:
        self._entries += 1
        heappush(self._agenda, (self.now + seconds, self._entries, action))
