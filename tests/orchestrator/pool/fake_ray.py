"""As much of Ray as the pool uses, without processes: nodes, actors whose answers come when the test says, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import ray.exceptions

from actors.boundary import Task
from actors.remote import Setup
from orchestrator.pool import PoolOptions
from orchestrator.pool import ray as pool_module
from orchestrator.pool import ray_actor as actor_module
from orchestrator.pool.ray import RayPool
from orchestrator.pool.ray_join import Connection

Answer = object | Exception


@dataclass(eq=False)
class Ref:
    """What a call will give; None: nothing yet."""

    answer: Answer | None = None

    @property
    def ready(self) -> bool:
        return self.answer is not None


@dataclass(eq=False)
class Stream:
    """What a task tells, as far as it is there; ``ended`` after that."""

    task: Task
    answers: list[Answer] = field(default_factory=list)
    ended: bool = False

    @property
    def ready(self) -> bool:
        return self.ended or bool(self.answers)

    def __next__(self) -> Ref:
        if not self.answers:
            raise StopIteration
        return Ref(self.answers.pop(0))


class Actor:
    """One actor with its latest stream and the answers to where it is."""

    def __init__(self, setup: Setup, options: Mapping[str, object]) -> None:
        self.setup, self.resources, self.killed = setup, dict(options), False
        self.streams: list[Stream] = []
        self.asked: list[Ref] = []
        self.where: Answer | None = None
        self.perform = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._perform))
        self.machine = SimpleNamespace(remote=self._machine)

    @property
    def stream(self) -> Stream:
        return self.streams[-1]

    def start_on(self, machine: Answer) -> None:
        """It runs, or cannot, and says so to whoever asked."""
        self.where = machine
        for ref in self.asked:
            ref.answer = machine

    def _perform(self, task: Task) -> Stream:
        self.streams.append(Stream(task))
        return self.stream

    def _machine(self) -> Ref:
        self.asked.append(Ref(self.where))
        return self.asked[-1]


class LeavesFake(Connection):
    """Of a fake cluster."""

    def __init__(self, fake: FakeRay) -> None:
        super().__init__("head:6379")
        self._fake = fake

    def close(self) -> None:
        self._fake.shutdown()


class FakeHead:
    """Of a fake cluster: it lives."""

    lost = False

    def __init__(self, address: str) -> None:
        self.address = address

    def check(self) -> None:
        """It does."""

    def answers(self) -> bool:
        return True

    def ask(self, question: Callable[[], object]) -> object:
        return question()

    def close(self) -> None:
        """There is nothing to end."""


class FakeRay:
    """Stands for the module ``ray`` in the pool. ``now``: seconds, which pass only in waits and sleeps."""

    exceptions = ray.exceptions

    def __init__(self) -> None:
        self.now = 1000.0
        self.machines: dict[str, dict[str, float]] = {}
        self.actors: list[Actor] = []
        self.waits: list[int] = []
        self.slept = 0.0
        self.connected = True
        self.on_wait: Callable[[], None] = lambda: None

    def is_initialized(self) -> bool:
        return self.connected

    def connect(self, environment: Sequence[str] = ()) -> Connection:
        """Join a cluster that was there before."""
        self.connected = True
        return LeavesFake(self)

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": name, "NodeManagerHostname": f"host-{name}", "Resources": resources, "Alive": True}
            for name, resources in self.machines.items()
        ]

    def wait(self, refs: Sequence[Any], num_returns: int = 1, timeout: float | None = None) -> tuple[list[Any], list[Any]]:
        assert len({id(ref) for ref in refs}) == len(refs)
        assert 1 <= num_returns <= len(refs)
        if isinstance(refs[0], Stream):
            self.waits.append(len(refs))
            self.on_wait()
        ready = [ref for ref in refs if ref.ready][:num_returns]
        if not ready:
            assert timeout is not None, "nothing would ever come"
            self.now += timeout
        return ready, [ref for ref in refs if ref not in ready]

    def get(self, ref: Ref) -> object:
        if isinstance(ref.answer, Exception):
            raise ref.answer
        return ref.answer

    def kill(self, actor: Actor) -> None:
        actor.killed = True

    def shutdown(self) -> None:
        self.connected = False

    def start(self, setup: Setup, options: Mapping[str, object]) -> Actor:
        self.actors.append(Actor(setup, options))
        return self.actors[-1]

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.now += seconds


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    """The pool's modules see a fake Ray with one machine of eight GPUs."""
    made = FakeRay()
    made.machines["m1"] = {"CPU": 96.0, "GPU": 8.0, "accelerator_type:A100": 1.0}
    clock = SimpleNamespace(monotonic=lambda: made.now, sleep=made.sleep)
    for module in (pool_module, actor_module):
        monkeypatch.setattr(module, "ray", made)
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(actor_module, "start", made.start)
    monkeypatch.setattr(pool_module, "connect", made.connect)
    monkeypatch.setattr(pool_module, "Head", FakeHead)
    return made


def pool_of(**options: Any) -> RayPool:
    """A pool over the fake Ray, which was connected before."""
    return RayPool(PoolOptions(**options))


def joining_pool(fake: FakeRay, **options: Any) -> RayPool:
    """A pool that joins the fake Ray as a cluster."""
    fake.connected = False
    return pool_of(**options)
