"""Where events come in: one place takes them from the pool, takes secrets out of them, has cells stored and gives them on.

Where every write takes a moment (object storage), storing cells one by one would hold up all workers: several threads store,
while the workers and the scheduler go on. What a worker gives is passed on in its order, so nobody hears that a task is over, or
that its worker died, before what it finished is on the disk.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from typing import Any

from actors.boundary import Answered
from actors.remarks import Remark
from actors.types import CellResult, Failure, Underway
from actors.use import Use
from orchestrator.news import Tell, WorkerSaid, WorkerUnderway
from orchestrator.pool import Event, Pool, WorkerGave, WorkerLost
from orchestrator.redaction import redacted
from orchestrator.scheduling.board import Board, State, WorkerSlot
from orchestrator.scheduling.kinds import KINDS
from orchestrator.scheduling.work import Records

PER_THREAD = 4
"""Events that may wait for each thread; then no more are taken from the pool until some are stored."""

SLICE_SECONDS = 0.01
"""How long to wait at once while something is being stored."""

PROMPT_SECONDS = 0.1
"""So long a pool that computes when it is asked for an event is not asked, so that a cell is told of before the next is made."""


@dataclass(eq=False)
class _Held:
    """An event that is passed on when ``stored`` is over, with or without an error; None: as soon as it is its turn."""

    event: Event
    stored: Future[Any] | None = None
    since: float = field(default_factory=time.monotonic)

    @property
    def ready(self) -> bool:
        return self.stored is None or self.stored.done()


class Intake:
    """The events of ``pool`` on the items of ``board``. With ``records.threads``, cells are stored by them before anybody hears
    of them; without, by whoever gets the event. What workers log is told at once, and what they use goes to their slots."""

    def __init__(self, pool: Pool, board: Board, records: Records, tell: Tell) -> None:
        self._pool, self._board, self._records, self._tell = pool, board, records, tell
        self._most = PER_THREAD * records.threads
        self._held: list[_Held] = []

    def next(self, timeout: float | None) -> Event | None:
        """The next event whose cell is stored. With 0, what has arrived; it waits until that is stored."""
        if not self._most:
            return self._arrived(timeout)
        if timeout == 0:
            return self._next_of_all()
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            event = self._next_stored()
            if event is not None or (left is not None and left <= 0):
                return event
            if self._held:
                self._listen(SLICE_SECONDS if left is None else min(left, SLICE_SECONDS))
            elif not self._take(left):
                return None

    # ---- from the pool -----------------------------------------------------------------------------------------

    def _arrived(self, timeout: float | None) -> Event | None:
        while (event := self._pool.next_event(timeout)) is not None:
            slot = self._board.slots.get(event.worker)
            if slot is not None:
                slot.heard = time.time()
            if not isinstance(event, WorkerGave):
                return replace(event, message=redacted(event.message)) if isinstance(event, WorkerLost) else event
            match event.outcome:
                case Answered(item_id, CellResult() as result):
                    return WorkerGave(event.worker, Answered(item_id, _signed(result, event.worker, slot)))
                case Failure() as failure:
                    return replace(event, outcome=_clean(failure, event.worker))
                case Remark() as remark:
                    self._tell(WorkerSaid(event.worker, replace(remark, text=redacted(remark.text))))
                case Use() as use:
                    if slot is not None:
                        slot.use = use
                case Underway() as underway:
                    if slot is not None:
                        slot.underway = underway
                        self._tell(WorkerUnderway(event.worker, underway))
                case _:
                    return event
        return None

    # ---- while threads store -----------------------------------------------------------------------------------

    def _listen(self, seconds: float) -> None:
        """To the pool, and to the threads that store."""
        full = len(self._held) >= self._most
        if not full and self._take(0):
            return
        if full or time.monotonic() - self._held[0].since < PROMPT_SECONDS:
            self._wait(seconds)
        else:
            self._take(seconds)

    def _next_of_all(self) -> Event | None:
        while self._take(0):
            pass
        while self._held:
            event = self._next_stored()
            if event is not None:
                return event
            self._wait(None)
        return None

    def _next_stored(self) -> Event | None:
        """The first event that is ready and has none of its worker's before it."""
        behind: set[str] = set()
        for held in self._held:
            if held.ready and held.event.worker not in behind:
                self._held.remove(held)
                return held.event
            behind.add(held.event.worker)
        return None

    def _take(self, timeout: float | None) -> bool:
        """Hold the pool's next event; whether there was one."""
        event = self._arrived(timeout)
        if event is None:
            return False
        self._held.append(_Held(event, self._begun(event)))
        return True

    def _begun(self, event: Event) -> Future[Any] | None:
        if not (isinstance(event, WorkerGave) and isinstance(event.outcome, Answered)):
            return None
        item = self._board[event.outcome.item_id]
        if item.state is not State.RUNNING:
            return None  # another worker was first
        for one in self._held:
            match one.event:
                case WorkerGave(_, Answered(item_id, _)) if item_id == item.id:
                    return one.stored  # the same
        return KINDS[item.spec.kind].begin(self._records, item.spec, event.outcome.content, item.attempt + 1)

    def _wait(self, timeout: float | None) -> None:
        wait([held.stored for held in self._held if held.stored is not None and not held.ready], timeout, FIRST_COMPLETED)


def _clean(failure: Failure, worker: str) -> Failure:
    return replace(failure, message=redacted(failure.message), traceback=redacted(failure.traceback), worker=worker)


def _signed(result: CellResult, worker: str, slot: WorkerSlot | None) -> CellResult:
    """With who made it, and what the load of its model took."""
    info = None if slot is None else slot.info
    load = {} if info is None else {"load_seconds": f"{info.load_seconds:.2f}", "slots": str(info.slots)}
    return replace(result, provenance={**load, **result.provenance, "worker": worker})
