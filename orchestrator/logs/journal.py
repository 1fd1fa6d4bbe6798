"""Writes the log of a driver: one JSON line per event, in files of bounded size of which only the last are kept."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType

from orchestrator.logs.entries import LogEntry, log_files
from orchestrator.news import (
    AttemptFailed,
    CellScored,
    CellStored,
    ItemFailed,
    ItemStored,
    ModelLoaded,
    News,
    Noted,
    Submitted,
    WorkerDied,
    WorkerSaid,
)
from orchestrator.progress import label_shares

FILE_BYTES = 16 * 2**20
FILES_KEPT = 8
"""About 300,000 cells' worth of events; older ones are dropped."""

TRACEBACK_CHARACTERS = 4_000
"""Of each attempt's traceback the log keeps the end; the failure's own file has all of it."""

LOGGER = "orchestrator"


class Journal:
    """Appends to the log in ``folder``; may be used by several threads. A listener.

    A disk that is full costs lines of the log, never a cell: what could not be written is counted and told once it can.
    ``fresh``: begin a new file, whatever room there is in the newest.
    """

    def __init__(self, folder: Path, fresh: bool = False) -> None:
        self.folder = folder
        self._fresh = fresh
        self.retries = 0
        self._guard = threading.Lock()
        self._handle: int | None = None
        self._size = 0
        self._lost = 0
        self._failed_attempts: Counter[str] = Counter()
        self._from_code = _FromCode(self)

    def __enter__(self) -> Journal:
        logging.getLogger(LOGGER).addHandler(self._from_code)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        logging.getLogger(LOGGER).removeHandler(self._from_code)
        with self._guard:
            self._close()

    def write(self, entry: LogEntry) -> None:
        """Append ``entry``."""
        with self._guard:
            try:
                if self._lost:
                    self._append(LogEntry("note", f"{self._lost} lines of this log could not be written").line())
                    self._lost = 0
                self._append(entry.line())
            except OSError:
                self._close()
                self._lost += 1

    def hear(self, news: News) -> None:
        """Write it down, as one entry or as two."""
        match news:
            case Submitted():
                self._submitted(news)
            case ModelLoaded():
                self.write(_loaded(news))
            case ItemStored():
                self.write(LogEntry(news.event, "", news.worker, news.item_id))
            case CellStored():
                self.write(_done(news, self._failed_attempts.pop(news.cell.id, 0) + 1))
            case CellScored():
                self.write(LogEntry("scored", label_shares(news.labels), item=news.axes.cell_id))
            case AttemptFailed(failure):
                self._failed_attempts[failure.item_id] += 1
                trace = failure.traceback[-TRACEBACK_CHARACTERS:]
                details = {"kind": failure.kind, "retryable": failure.retryable, "traceback": trace}
                self.write(LogEntry("attempt failed", failure.message, failure.worker, failure.item_id, details=details))
            case ItemFailed(failure):
                self._failed_attempts.pop(failure.item_id, None)
                details = {"kind": failure.kind, "attempt": failure.attempt}
                self.write(LogEntry("failed", failure.message, failure.worker, failure.item_id, details=details))
            case WorkerDied():
                self._failed_attempts.update(news.items)
                self.write(LogEntry("lost", news.message, news.worker, items=news.items))
            case WorkerSaid(worker, remark):
                details = {"level": remark.level, "source": remark.source, "logged": remark.seconds}
                self.write(LogEntry("log", remark.text, worker, details=details))
            case Noted():
                self.write(LogEntry("note", news.text))

    def _submitted(self, news: Submitted) -> None:
        for item in (one for one in news.items if self._failed_attempts[one]):
            attempt = self._failed_attempts[item] + 1
            self.write(LogEntry("retried", f"attempt {attempt}", news.worker, item, details={"attempt": attempt}))
            self.retries += 1
        self.write(LogEntry("submitted", news.what, news.worker, items=news.items))

    # ---- files -------------------------------------------------------------------------------------------------

    def _append(self, line: bytes) -> None:
        if self._handle is None or self._size + len(line) > FILE_BYTES:
            self._open_next(len(line))
        assert self._handle is not None
        written = os.write(self._handle, line)
        self._size += written
        if written < len(line):
            raise OSError(errno.ENOSPC, "only half a line could be written")

    def _open_next(self, needed: int) -> None:
        """The newest file while there is room in it, else a new one; the oldest go."""
        self._close()
        self.folder.mkdir(parents=True, exist_ok=True)
        there = log_files(self.folder)
        number = int(there[-1].stem.removeprefix("events-")) if there else 1
        if there and (self._fresh or there[-1].stat().st_size + needed > FILE_BYTES):
            number += 1
        self._fresh = False
        self._handle = os.open(self.folder / f"events-{number:06d}.jsonl", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._size = os.lseek(self._handle, 0, os.SEEK_END)
        self._end_the_last_line()
        for path in log_files(self.folder)[:-FILES_KEPT]:
            path.unlink(missing_ok=True)

    def _end_the_last_line(self) -> None:
        """A killed driver, or a full disk, may have left half a line."""
        assert self._handle is not None
        if self._size and os.pread(self._handle, 1, self._size - 1) != b"\n":
            self._size += os.write(self._handle, b"\n")

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _loaded(news: ModelLoaded) -> LogEntry:
    info = news.info
    where = {name: info.provenance[name] for name in ("host", "pid") if name in info.provenance}
    details = {"seconds": round(info.load_seconds, 3), "slots": info.slots, "device": info.device, **where}
    return LogEntry("loaded", f"on {info.device}, {info.slots} slots", news.worker, news.variant, details=details)


def _done(news: CellStored, attempt: int) -> LogEntry:
    result = news.result
    details = {"seconds": round(result.seconds, 3), "new_tokens": result.new_tokens, "attempt": attempt}
    return LogEntry("done", "", result.provenance.get("worker", ""), news.cell.id, details=details)


class _FromCode(logging.Handler):
    """Passes the driver's own warnings on to the journal, and to where they would have gone without it."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        details = {"level": record.levelname, "source": record.name}
        self._journal.write(LogEntry("log", record.getMessage(), details=details))
        if not logging.getLogger().handlers and logging.lastResort is not None:
            logging.lastResort.handle(record)
