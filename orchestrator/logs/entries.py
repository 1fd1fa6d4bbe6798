"""One line of the log, and reading the lines back: in order, over all files, also while a driver is writing.

The files are ``events-000001.jsonl`` and so on; the highest number is the one being written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast, get_args

from orchestrator.redaction import redacted, redacted_values

EventName = Literal[
    "started",
    "submitted",
    "retried",
    "loaded",
    "extracted",
    "done",
    "scored",
    "attempt failed",
    "failed",
    "lost",
    "log",
    "note",
    "paused",
    "resumed",
    "cancelled",
    "ended",
]
"""``failed``: for good, for now; ``attempt failed``: it may be tried again, which ``retried`` then says. ``lost``: a worker died.
``log``: something the code itself logged. ``started``, ``ended``: a driver."""

EVENTS: tuple[str, ...] = get_args(EventName)
_OWN = ("time", "event", "worker", "item", "items", "text")
_PATTERN = "events-*.jsonl"


@dataclass(frozen=True)
class LogEntry:
    """One event. ``time``: UTC, ISO 8601 (empty: now, when it is written). ``item``: the cell, direction or model variant that
    it is about; ``items``: those of a whole piece. ``details``: what else is known, for programs."""

    event: EventName
    text: str = ""
    worker: str = ""
    item: str = ""
    items: tuple[str, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)
    time: str = ""

    def concerns(self, item_id: str) -> bool:
        """Whether it is about that item."""
        return self.item == item_id or item_id in self.items

    def line(self) -> bytes:
        """As a line of JSON, without secrets."""
        known = {"time": self.time or now(), "event": self.event, "worker": self.worker, "item": self.item, "items": self.items}
        kept = {key: value for key, value in known.items() if value}
        content = {**kept, "text": redacted(self.text), **cast("dict[str, object]", redacted_values(dict(self.details)))}
        return (json.dumps(content, ensure_ascii=True, default=str) + "\n").encode()


def now() -> str:
    """The time as entries hold it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def parse(line: bytes) -> LogEntry | None:
    """The entry that a line holds; None for one that is damaged, or of a later version's event."""
    try:
        content = json.loads(line)
        if content["event"] not in EVENTS:
            return None
        details = {key: value for key, value in content.items() if key not in _OWN}
        words = {key: str(content.get(key, "")) for key in ("time", "worker", "item", "text")}
        return LogEntry(event=content["event"], items=tuple(map(str, content.get("items", ()))), details=details, **words)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def log_files(folder: Path) -> list[Path]:
    """The files of a log, oldest first."""
    return sorted(folder.glob(_PATTERN))


class EntryReader:
    """Reads the log in ``folder`` from its beginning; each ``new`` gives what was added since the one before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}

    def new(self) -> Iterator[LogEntry]:
        """Whole lines that were not read yet, oldest first. A file that is removed meanwhile is passed over."""
        for path in log_files(self._folder):
            try:
                yield from self._rest(path)
            except FileNotFoundError:
                continue

    def _rest(self, path: Path) -> Iterator[LogEntry]:
        start = self._read.get(path.name, 0)
        if path.stat().st_size <= start:
            return
        with path.open("rb") as file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read[path.name] = self._read.get(path.name, 0) + len(line)
                entry = parse(line)
                if entry is not None:
                    yield entry
