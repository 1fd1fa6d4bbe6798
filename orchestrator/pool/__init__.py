"""Pools of workers: one interface, in process or through Ray. A pool knows tasks and events, never a sweep or a file.

A worker is a named place that holds at most one model. Every submitted task ends in ``TaskDone`` or ``WorkerLost``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from actors.boundary import Outcome, Task
from actors.types import Resources


@dataclass(frozen=True)
class WorkerGave:
    """One outcome of the worker's task, as it left ``actors.boundary.perform``. ``machine``: an id of the machine that the worker
    is on, and ``host`` its name, where the pool knows of machines."""

    worker: str
    outcome: Outcome
    machine: str = ""
    host: str = ""


@dataclass(frozen=True)
class TaskDone:
    """The task has given all its outcomes; the worker is idle."""

    worker: str


@dataclass(frozen=True)
class WorkerLost:
    """The worker is gone with its model and its task, if it had one; a ``Load`` under the same name starts a new one.

    ``machine``: an id of the machine that went with it; empty when it is still there, or not known. ``placed``: False when it
    never began its ``Load``, as no machine had room for it. ``device_on``: an id of the machine whose device failed under it, and
    ``host`` its name, where the pool knows of machines.
    """

    worker: str
    message: str
    machine: str = ""
    placed: bool = True
    device_on: str = ""
    host: str = ""


class PoolLostError(Exception):
    """No worker of the pool can be reached any more; says why. What has arrived is kept."""


Event = WorkerGave | TaskDone | WorkerLost


class Pool(Protocol):
    """Where tasks run. Used by one thread."""

    def workers(self) -> tuple[str, ...]:
        """The names of the workers; may grow and shrink with the cluster."""
        ...

    def capacity(self, resources: Resources, avoid: Collection[str] = ()) -> int:
        """How many workers with ``resources`` fit at once on the machines that are not among ``avoid``, by their ids."""
        ...

    def wants(self, demand: Mapping[Resources, int]) -> None:
        """How many workers with each resources the open work could use, those that have them included. A pool whose machines
        come and go with the demand sees to it; others take no notice."""
        ...

    def submit(self, worker: str, task: Task) -> None:
        """Give an idle worker its next task; returns at once."""
        ...

    def next_event(self, timeout: float | None) -> Event | None:
        """Wait up to ``timeout`` seconds (None: no limit) for the next event; 0 gives only what has already arrived. Raises
        ``PoolLostError`` when nothing will come any more."""
        ...

    def release(self, worker: str) -> None:
        """Give back what an idle worker holds, its model included."""
        ...

    def close(self) -> None:
        """Stop every worker; safe to call twice."""
        ...


@dataclass(frozen=True)
class PoolOptions:
    """What a pool is made from.

    ``workers``: how many (None: as many as fit). ``resources``: what the models of the sweep need.
    ``worker``: the class to run, ``module:name``, imported only in the process that will hold the model.
    ``environment``: variables of the driver that workers get besides those that all need (``orchestrator.pool.environment``).
    """

    workers: int | None = None
    resources: tuple[Resources, ...] = (Resources(),)
    worker: str = "actors.worker:ModelWorker"
    environment: tuple[str, ...] = ()


def _ray(options: PoolOptions) -> Pool:
    from orchestrator.pool.ray import RayPool

    return RayPool(options)


def _local(options: PoolOptions) -> Pool:
    from orchestrator.pool.local import LocalPool

    return LocalPool(options)


POOLS: dict[str, Callable[[PoolOptions], Pool]] = {"ray": _ray, "local": _local}
"""Every pool by its name on the command line; each imports what it needs only when it is made."""
