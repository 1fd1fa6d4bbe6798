"""A pool that writes down what is handed out and what comes back, and knows what each worker does now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from actors.boundary import Extract, Load, Task, item_ids
from actors.remarks import Remark
from actors.types import Failure
from actors.use import Use
from orchestrator.logs.entries import LogEntry
from orchestrator.logs.journal import Journal
from orchestrator.pool import CellDone, Event, Extracted, Failed, Loaded, Pool, Remarked, TaskDone, Used, WorkerLost
from orchestrator.pool.around import PoolAround
from orchestrator.redaction import redacted

IDLE_SECONDS = 1.0
"""How long to wait at once when nothing runs."""


@dataclass
class Doing:
    """What a worker does: ``what`` is ``load``, ``extract``, ``generate`` or ``idle``; ``left``: items without an outcome yet;
    ``variant``: the model that it holds or loads; ``since``: seconds of ``time.time``; ``where``: its machine;
    ``use``: what its process uses, as it said last."""

    what: str = "idle"
    left: dict[str, None] = field(default_factory=dict)
    variant: str = ""
    since: float = field(default_factory=time.time)
    where: str = ""
    use: Use | None = None


class WatchedPool(PoolAround):
    """``pool``, with every task and event in ``journal``. No secret of a worker's message gets past it. ``tell``: says to the
    person who watches what a worker logged."""

    def __init__(self, pool: Pool, journal: Journal, tell: Callable[[str], None]) -> None:
        super().__init__(pool)
        self._journal, self._tell = journal, tell
        self.doing: dict[str, Doing] = {}
        """Per worker; read by the thread that tells how the driver is."""
        self.heard = time.time()
        """When something last came back."""
        self._told: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether any worker has a task."""
        return any(one.what != "idle" for one in list(self.doing.values()))

    def submit(self, worker: str, task: Task) -> None:
        """As the pool, written down."""
        items, before = item_ids(task), self.doing.get(worker, Doing())
        variant = task.variant if isinstance(task, Load) else before.variant
        what = "load" if isinstance(task, Load) else "extract" if isinstance(task, Extract) else "generate"
        self._journal.submitted(worker, what, items)
        self._pool.submit(worker, task)
        self.doing[worker] = Doing(what, dict.fromkeys(items), variant, where=before.where, use=before.use)

    def next_event(self, timeout: float | None) -> Event | None:
        """As the pool, written down; what workers log and use stays here. When no worker has a task it waits a moment, so that a
        driver that is paused, or that waits for machines, does not spin."""
        if not self.busy and timeout:
            time.sleep(min(timeout, IDLE_SECONDS))
        event = self._pool.next_event(timeout)
        while isinstance(event, Remarked | Used):
            self._heard(event)
            event = self._pool.next_event(0 if timeout == 0 else timeout)
        return None if event is None else self._noted(event)

    def release(self, worker: str) -> None:
        """As the pool."""
        self.doing.pop(worker, None)
        self._pool.release(worker)

    def close(self) -> None:
        """As the pool."""
        self.doing.clear()
        self._pool.close()

    def _noted(self, event: Event) -> Event:
        self.heard = time.time()
        now = self.doing.setdefault(event.worker, Doing())
        match event:
            case Loaded():
                now.left, now.where = {}, event.info.provenance.get("host", "")
            case Extracted():
                now.left.pop(event.job_id, None)
                self._journal.write(LogEntry("extracted", "", event.worker, event.job_id))
            case CellDone():
                now.left.pop(event.result.cell_id, None)
            case Failed():
                event = replace(event, failure=_clean(event.failure))
                now.left.pop(event.failure.item_id, None)
                self._journal.attempt_failed(event.worker, event.failure)
            case TaskDone():
                self.doing[event.worker] = Doing(variant=now.variant, where=now.where, use=now.use)
            case WorkerLost():
                event = replace(event, message=redacted(event.message))
                self._journal.lost(event.worker, event.message, tuple(now.left))
                self.doing.pop(event.worker, None)
        return event

    def _heard(self, event: Remarked | Used) -> None:
        if isinstance(event, Remarked):
            self._remarked(event.worker, event.remark)
        else:
            self.doing.setdefault(event.worker, Doing()).use = event.use

    def _remarked(self, worker: str, remark: Remark) -> None:
        text = redacted(remark.text)
        details = {"level": remark.level, "source": remark.source, "logged": remark.seconds}
        self._journal.write(LogEntry("log", text, worker, details=details))
        if text not in self._told:  # every worker that loads a model says the same of it
            self._told.add(text)
            self._tell(f"{worker}: {text}")


def _clean(failure: Failure) -> Failure:
    return replace(failure, message=redacted(failure.message), traceback=redacted(failure.traceback))
