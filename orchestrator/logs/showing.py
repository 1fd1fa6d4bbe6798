"""The log as lines to print: the last events, then what happens next, of everything, of one worker or of one item."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from orchestrator.duration import duration
from orchestrator.errors import InputError
from orchestrator.logs.entries import EntryReader, LogEntry
from orchestrator.planned_items import item_named, planned_items
from orchestrator.results.folder import Folder
from orchestrator.results.plan_file import PlannedCells, decode_plan
from orchestrator.storage import Place, StorageError

FETCH_SECONDS = 10.0
"""How often to look for what was copied from a driver elsewhere."""


class Feed:
    """The events in the results folder ``root``: those of ``worker`` and about the item ``word``, where they are given."""

    def __init__(self, root: Place, word: str | None, worker: str | None, as_json: bool) -> None:
        folder = Folder(root)
        planned = decode_plan(folder.plan)
        logs = folder.fetched_logs()
        if not logs.is_dir():
            raise InputError.because(f"{root} holds no logs: it was made by an earlier version, or no driver has run", "results")
        self._item = None if word is None else item_named(planned_items(planned), word).id
        self._worker, self._as_json = worker, as_json
        self._folder, self._fetched = folder, time.monotonic()
        self._reader = EntryReader(logs)
        self._names = names_of(planned)

    def last(self, count: int) -> list[str]:
        """The last ``count`` events that there are. InputError for a worker that never did anything."""
        known: set[str] = set()
        kept: deque[LogEntry] = deque(maxlen=count)
        for entry in self._reader.new():
            known.add(entry.worker)
            if self._wanted(entry):
                kept.append(entry)
        if self._worker is not None and self._worker not in known:
            allowed = ", ".join(sorted(known - {""})) or "none has done anything yet"
            raise InputError.because("no such worker in the log", "--worker", self._worker, allowed)
        return [self._shown(entry) for entry in kept]

    def more(self) -> Iterator[str]:
        """What has happened since, of a driver elsewhere as far as it was copied."""
        if time.monotonic() - self._fetched >= FETCH_SECONDS:
            self._fetched = time.monotonic()
            with suppress(StorageError):  # away for a moment: what is new comes later
                self._folder.fetched_logs()
        return (self._shown(entry) for entry in self._reader.new() if self._wanted(entry))

    def _wanted(self, entry: LogEntry) -> bool:
        of_worker = self._worker is None or entry.worker == self._worker
        return of_worker and (self._item is None or entry.concerns(self._item))

    def _shown(self, entry: LogEntry) -> str:
        if self._as_json:
            return json.dumps(entry_json(entry))
        about = entry.item or (entry.items[0] if len(entry.items) == 1 else "")
        return entry_line(entry, self._names.get(about, ""))


def entry_json(entry: LogEntry) -> dict[str, object]:
    """An entry for programs, as the log holds it."""
    known = {"time": entry.time, "event": entry.event, "worker": entry.worker, "item": entry.item, "items": list(entry.items)}
    return {**{key: value for key, value in known.items() if value}, "text": entry.text, **entry.details}


def entry_line(entry: LogEntry, name: str = "") -> str:
    """An entry in a line: local time, worker, event, what it is about, and what is said of it."""
    about = name or entry.item or (f"{len(entry.items)} items" if len(entry.items) > 1 else "".join(entry.items))
    text = (entry.text.strip().splitlines() or [""])[0]
    kind = str(entry.details.get("kind", entry.details.get("level", "")))
    seconds = entry.details.get("seconds")
    took = f"in {duration(float(seconds))}" if isinstance(seconds, int | float) else ""
    host = f"on {entry.details['host']}" if entry.event == "loaded" and "host" in entry.details else ""
    said = ", ".join(filter(None, (": ".join(filter(None, (kind, text))), took, host)))
    return "  ".join(filter(None, (_clock(entry.time), entry.worker or "driver", entry.event, about, said)))


def names_of(planned: PlannedCells) -> dict[str, str]:
    """Every item and model variant by its id, in a few words."""
    items = {one.id: f"{one.id} ({one.name})" for one in planned_items(planned)}
    return items | {model.variant: model.name for model in planned.models}


def _clock(time: str) -> str:
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%m-%d %H:%M:%S")
    except ValueError:
        return time
