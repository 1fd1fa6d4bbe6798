"""What a sweep is doing at this moment, from the events that its driver writes down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from orchestrator.logs.entries import EntryReader, LogEntry

Phase = Literal["starting", "load", "extract", "generate", "idle", "reporting"]
"""Of a worker: ``load`` to ``idle``; of a whole run also ``starting`` (nothing is handed out yet) and ``reporting``."""

BUSY: tuple[Phase, ...] = ("load", "extract", "generate")


@dataclass
class Doing:
    """One worker: what it does, what is left of that, and its process once it has loaded a model."""

    phase: Phase
    left: set[str] = field(default_factory=set)
    pid: int | None = None


class Watch:
    """Reads the log of ``results`` as it grows. ``done``: cells that were finished since the sweep was first started."""

    def __init__(self, results: Path, cells: int) -> None:
        self._reader, self._cells = EntryReader(results / "logs"), cells
        self.workers: dict[str, Doing] = {}
        self.done: set[str] = set()
        self.submitted = 0
        """Cells handed out, those that were handed out before included."""
        self.lost: list[tuple[Phase, int]] = []
        """What workers that died were doing, and how many items of theirs were open."""
        self.failed: list[str] = []
        self._handed_out = False

    def look(self) -> None:
        """Take in what has happened since the last look."""
        for entry in self._reader.new():
            self._take_in(entry)

    def driver_is_gone(self) -> None:
        """A driver was killed, or has ended: the next one begins anew."""
        self.look()
        self.workers, self._handed_out = {}, False

    @property
    def share_done(self) -> float:
        """Of the cells, 0 to 1."""
        return len(self.done) / self._cells

    def phases(self) -> set[Phase]:
        """Everything that goes on now."""
        if len(self.done) == self._cells:
            return {"reporting"}
        if not self._handed_out:
            return {"starting"}
        return {doing.phase for doing in self.workers.values()} or {"idle"}

    def phase_of(self, pid: int) -> Phase:
        """What the worker with that process does; one that has loaded nothing yet is loading."""
        return next((doing.phase for doing in self.workers.values() if doing.pid == pid), "load")

    def _take_in(self, entry: LogEntry) -> None:
        match entry.event:
            case "started":
                self.workers, self._handed_out = {}, False
            case "submitted":
                self._handed_out = True
                before = self.workers.get(entry.worker)
                phase: Phase = "load" if entry.text == "load" else "extract" if entry.text == "extract" else "generate"
                self.workers[entry.worker] = Doing(phase, set(entry.items), before.pid if before else None)
                self.submitted += len(entry.items) if phase == "generate" else 0
            case "loaded":
                self.workers[entry.worker] = Doing("idle", pid=int(str(entry.details["pid"])))
            case "lost":
                doing = self.workers.pop(entry.worker, Doing("idle"))
                self.lost.append((doing.phase, len(entry.items)))
            case "done" | "extracted" | "attempt failed" | "failed":
                self._item_ended(entry)

    def _item_ended(self, entry: LogEntry) -> None:
        if entry.event == "done":
            self.done.add(entry.item)
        if entry.event == "failed":
            self.failed.append(f"{entry.item}: {entry.text}")
        doing = self.workers.get(entry.worker)
        if doing is not None:
            doing.left.discard(entry.item)
            if not doing.left:
                doing.phase = "idle"
