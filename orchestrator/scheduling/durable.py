"""A pool that gives a finished cell only when it is stored: several threads store, while the workers and the scheduler go on.

Where every write takes a moment (object storage), storing cells one by one would hold up all workers. What a worker gives is
passed on in its order, so nobody hears that a task is over, or that its worker died, before what it finished is on the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from typing import Any

from actors.types import CellResult
from orchestrator.cells import Cell
from orchestrator.pool import CellDone, Event, Pool
from orchestrator.pool.around import PoolAround
from orchestrator.scheduling.board import Board, State

PER_THREAD = 4
"""Events that may wait for each thread; then no more are taken from the pool until some are stored."""

SLICE_SECONDS = 0.01
"""How long to wait at once while something is being stored."""

PROMPT_SECONDS = 0.1
"""So long a pool that computes when it is asked for an event is not asked, so that a cell is told of before the next is made."""

Begin = Callable[[Cell, CellResult, int], "Future[Any]"]
"""Starts to store a cell, finished at its n-th attempt."""


@dataclass(eq=False)
class _Held:
    """An event that is passed on when ``stored`` is over, with or without an error; None: as soon as it is its turn."""

    event: Event
    stored: Future[Any] | None = None
    since: float = field(default_factory=time.monotonic)

    @property
    def ready(self) -> bool:
        return self.stored is None or self.stored.done()


class DurablePool(PoolAround):
    """``pool``, whose finished cells of ``board`` are stored by ``begin`` before anybody hears of them, ``threads`` at once."""

    def __init__(self, pool: Pool, board: Board, begin: Begin, threads: int) -> None:
        super().__init__(pool)
        self._board, self._begin = board, begin
        self._most = PER_THREAD * threads
        self._held: list[_Held] = []

    def next_event(self, timeout: float | None) -> Event | None:
        """The next event whose cell is stored. With 0, what has arrived; it waits until that is stored."""
        if timeout == 0:
            return self._next_arrived()
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

    def _listen(self, seconds: float) -> None:
        """To the pool, and to the threads that store."""
        full = len(self._held) >= self._most
        if not full and self._take(0):
            return
        if full or time.monotonic() - self._held[0].since < PROMPT_SECONDS:
            self._wait(seconds)
        else:
            self._take(seconds)

    def _next_arrived(self) -> Event | None:
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
        event = self._pool.next_event(timeout)
        if event is None:
            return False
        self._held.append(_Held(event, self._stored(event)))
        return True

    def _stored(self, event: Event) -> Future[Any] | None:
        if not isinstance(event, CellDone):
            return None
        item = self._board[event.result.cell_id]
        if item.state is not State.RUNNING or not isinstance(item.spec, Cell):
            return None  # another worker was first
        for one in self._held:
            if isinstance(one.event, CellDone) and one.event.result.cell_id == item.id:
                return one.stored  # the same
        signed = replace(event.result, provenance={**event.result.provenance, "worker": event.worker})
        return self._begin(item.spec, signed, item.attempt + 1)

    def _wait(self, timeout: float | None) -> None:
        wait([held.stored for held in self._held if held.stored is not None and not held.ready], timeout, FIRST_COMPLETED)
