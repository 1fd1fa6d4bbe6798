"""Writes what the workers return.

Where writing takes long, threads write: ``begin`` starts to store a cell, and ``cell`` waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TypeVar

from actors.types import CellResult, DirectionSet, Response
from orchestrator.cells import Cell
from orchestrator.results.judgements import Judgements
from orchestrator.results.store import Store, UnreadableFileError
from orchestrator.storage import StorageError

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)


class Recorder:
    """The scheduler's ``Records`` over a results folder. Leaving it waits until all that was begun is stored; after an
    interrupt, or when the storage refuses, until what is under way has ended. ``threads``: how many store what was begun; 0: what
    is not begun, ``cell`` stores itself."""

    def __init__(self, store: Store, threads: int = 0) -> None:
        self._store, self.threads = store, threads
        self.direction, self.analysis, self.failure = store.write_direction, store.write_analysis, store.write_failure
        self._pool = ThreadPoolExecutor(max(1, threads), "store")
        self._begun: dict[str, Future[None]] = {}

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        begun = self._begun.values()
        gives_up = kind is not None and issubclass(kind, StorageError | KeyboardInterrupt)
        if gives_up and not all(one.done() for one in begun):
            self._store.hurry()
        self._pool.shutdown(wait=True, cancel_futures=gives_up)
        lost = sum(one.cancelled() or isinstance(one.exception(), StorageError) for one in begun)
        if lost:
            _LOG.warning("%d cells that were generated could not be stored; they run again", lost)

    def read_direction(self, direction_id: str) -> DirectionSet | None:
        """A stored direction set; None when its file is gone or damaged, so that it has to be extracted anew."""
        return _unless_lost(self._store.kept_direction, direction_id)

    def read_cell(self, cell_id: str) -> Sequence[Response] | None:
        """The responses of a stored cell; None when they are gone or damaged."""
        return _unless_lost(self._store.read_responses, cell_id)

    def cell(self, cell: Cell, result: CellResult, attempt: int) -> None:
        """Store a cell; ValueError when the result is not one of this cell's prompts."""
        begun = self._begun.get(cell.id)
        if begun is None:
            self._write(cell, result, attempt)
        else:
            begun.result()
        self._begun.pop(cell.id, None)  # one with an error stays, to be counted

    def begin(self, cell: Cell, result: CellResult, attempt: int) -> Future[None]:
        """Start to store a cell; ``cell`` with the same arguments waits until that is over."""
        self._begun[cell.id] = self._pool.submit(self._write, cell, result, attempt)
        return self._begun[cell.id]

    def _write(self, cell: Cell, result: CellResult, attempt: int) -> None:
        self._store.write_responses(cell, result, attempt)

    def read_analysis(self, kind: str, item_id: str) -> bytes | None:
        """The content of such a file; None when it is gone or damaged."""
        return _unless_lost(partial(self._store.read_analysis, kind), item_id)

    def judgements(self, scorer: str) -> Judgements:
        """What a judge replied so far."""
        return self._store.judgements(scorer)


def _unless_lost(read: Callable[[str], _T], item_id: str) -> _T | None:
    try:
        return read(item_id)
    except (FileNotFoundError, UnreadableFileError):
        return None
