"""The pool without a cluster: one worker in this process, for debugging, tests and machines where Ray is not wanted."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from functools import cache, partial

from actors.boundary import Outcome, Task, make_worker, perform
from actors.errors import DeviceLostError
from actors.library_settings import set_up_libraries
from actors.types import Resources
from actors.use import UseMeter
from orchestrator.pool import Event, PoolLostError, PoolOptions, TaskDone, WorkerGave

NAME = "local"

PAUSE_SECONDS = 0.5
"""How long to wait at once when there is no task: a driver that is paused does not spin."""


class LocalPool:
    """Runs its task inside ``next_event``, one outcome at a time, so Ctrl-C ends the task where it stands.

    Its worker uses the GPU that this process sees, whatever a model asks for. A GPU that fails ends the run, as its context lasts
    as long as the process.
    """

    def __init__(self, options: PoolOptions) -> None:
        set_up_libraries()
        self._worker = cache(partial(make_worker, options.worker))
        self._meter = UseMeter()
        self._outcomes: Iterator[Outcome] | None = None

    def workers(self) -> tuple[str, ...]:
        """One worker."""
        return (NAME,)

    def capacity(self, resources: Resources, avoid: Collection[str] = ()) -> int:
        """One of anything: in process nobody hands out GPUs."""
        return 1

    def wants(self, demand: Mapping[Resources, int]) -> None:
        """There is one worker whatever the demand."""

    def submit(self, worker: str, task: Task) -> None:
        """Note the task; it runs in ``next_event``."""
        if self._outcomes is not None:
            raise RuntimeError(f"worker {worker} is busy")
        self._outcomes = perform(self._worker, task, self._meter)

    def next_event(self, timeout: float | None) -> Event | None:
        """Compute the next outcome, however long it takes; with timeout 0 compute nothing, and without a task wait a moment."""
        if self._outcomes is None or timeout == 0:
            time.sleep(min(timeout or 0.0, PAUSE_SECONDS))
            return None
        outcomes, self._outcomes = self._outcomes, None  # an interrupt in here leaves no half-run task behind
        try:
            outcome = next(outcomes, None)
        except DeviceLostError as error:
            raise PoolLostError(f"{error}, which is the run's own") from error
        if outcome is None:
            return TaskDone(NAME)
        self._outcomes = outcomes
        return WorkerGave(NAME, outcome)

    def release(self, worker: str) -> None:
        """Forget the worker and its model."""
        self._worker.cache_clear()

    def close(self) -> None:
        """Forget the task, the worker and its model."""
        self._outcomes = None
        self._worker.cache_clear()
