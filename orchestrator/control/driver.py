"""The driver's side: a thread that says every few seconds how it is, and does what is asked of it."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Protocol, TypedDict

from actors.use import Use
from orchestrator.control.heartbeat import (
    BEAT_SECONDS,
    Beat,
    DriverState,
    Rate,
    WorkerNow,
    encode_beat,
    process_memory,
    process_start,
)
from orchestrator.control.requests import ControlRequest, Requests
from orchestrator.errors import InputError, as_told
from orchestrator.interrupts import EXIT_MACHINE
from orchestrator.logs import Journal, LogEntry
from orchestrator.logs.journal import TRACEBACK_CHARACTERS
from orchestrator.news import Noted, Tell, nobody
from orchestrator.plan import Plan
from orchestrator.progress import progress_of, time_left
from orchestrator.redaction import redacted
from orchestrator.results.folder import Folder
from orchestrator.scheduling.board import Board, WorkerSlot

POLL_SECONDS = 0.5
"""How often to look for requests."""

_LOG = logging.getLogger(__name__)


class Running(Protocol):
    """What runs: a plan and its board, both of which may grow."""

    @property
    def plan(self) -> Plan:
        """What is to be done."""
        ...

    @property
    def board(self) -> Board:
        """Where it stands."""
        ...


class Driver:
    """While entered, beats in ``driver.json`` and obeys the requests in ``folder``. Needs the folder's lock.

    ``cancel`` is what ends the run as Ctrl-C does; it is called once, from another thread. A full disk stops no sweep: then
    there is no beat until there is room again.
    """

    def __init__(self, folder: Folder, sweep: str, journal: Journal, cancel: Callable[[], None]) -> None:
        self._folder, self._journal, self._cancel = folder, journal, cancel
        self._requests = Requests(folder.requests)
        now, pid = time.time(), os.getpid()
        self._beat = Beat(pid, socket.gethostname(), now, now, "starting", sweep, process_started=process_start(pid))
        self._watched: Running | None = None
        self._tell: Tell = nobody
        self._pause: ControlRequest | None = None
        self._cancelled: ControlRequest | None = None
        self._end: tuple[DriverState, str] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Driver:
        self._journal.write(LogEntry("started", self._beat.sweep, details={"pid": self._beat.pid, "host": self._beat.host}))
        for request in self._withdraw():
            _LOG.warning("%s was meant for an earlier run: it is withdrawn", request)
        self._write()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        state, message = self._end or ("finished", "")
        if kind is not None:
            state, message = _broken_off(kind, error)
        why = message or self.why_cancelled
        last = replace(self._beat, **self._findings())
        self._beat = replace(last, state=state, message=why, workers=(), seconds_left=None)
        self._withdraw()
        self._write()
        self._journal.write(LogEntry("ended", ": ".join(filter(None, (state, why))), details=_trace(error)))

    def watch(self, watched: Running, tell: Tell) -> None:
        """From now on, tell of its progress and its workers; what is asked of the driver goes to ``tell`` too."""
        self._watched, self._tell = watched, tell

    def uses(self) -> Mapping[str, Use]:
        """What each worker said last that it uses."""
        return {one.name: one.use for one in self._slots() if one.use is not None}

    def paused(self) -> bool:
        """Whether nothing new may be handed out."""
        return self._pause is not None

    @property
    def why_cancelled(self) -> str:
        """Who asked for it; empty when nobody did."""
        return str(self._cancelled or "")

    def ended(self, state: DriverState, message: str = "") -> None:
        """How the run ended; the last beat will say it."""
        self._end = (state, message)

    def _run(self) -> None:
        told = 0.0
        while not self._over.wait(POLL_SECONDS):
            self._obey()
            if self._state() != self._beat.state or time.monotonic() - told >= BEAT_SECONDS:
                self._beat = replace(self._beat, state=self._state(), **self._findings())
                self._write()
                told = time.monotonic()

    def _obey(self) -> None:
        try:
            cancel, pause = self._requests.asked("cancel"), self._requests.asked("pause")
        except OSError as error:  # cut off from the folder: what was asked before still holds
            _LOG.debug("no requests: %s", error)
            return
        if cancel is not None and self._cancelled is None:
            self._cancelled = cancel
            self._say(LogEntry("cancelled", str(cancel)))
            self._cancel()
        if (pause is None) != (self._pause is None):
            self._say(
                LogEntry("resumed")
                if pause is None
                else LogEntry("paused", f"{pause}: what runs is finished, nothing new begins")
            )
        self._pause = pause

    def _withdraw(self) -> list[ControlRequest]:
        try:
            return self._requests.withdraw_all()
        except OSError as error:
            _LOG.warning("requests to the driver cannot be withdrawn: %s", error)
            return []

    def _say(self, entry: LogEntry) -> None:
        self._journal.write(entry)
        self._tell(Noted(": ".join(filter(None, (entry.event, entry.text)))))

    def _slots(self) -> list[WorkerSlot]:
        """The workers that hold a model, or are about to."""
        slots = () if self._watched is None else list(self._watched.board.slots.values())
        return sorted((one for one in slots if one.variant is not None), key=lambda one: one.name)

    def _state(self) -> DriverState:
        if self._pause is not None:
            return "pausing" if any(one.busy for one in self._slots()) else "paused"
        return "starting" if self._watched is None else "running"

    def _findings(self) -> _Findings:
        message = str(self._cancelled or self._pause or "")
        found: _Findings = {"message": message, "retries": self._journal.retries, "memory": process_memory()}
        if self._watched is None:
            return found
        plan, board, slots, now = self._watched.plan, self._watched.board, self._slots(), time.time()
        progress = [(model.variant, progress_of(board, model.variant, model.name)) for model in plan.models]
        return {
            **found,
            "heard": max((one.heard for one in slots if one.heard is not None), default=self._beat.heard),
            "seconds_left": time_left(plan, board),
            "rates": tuple(Rate(variant, one.tokens_per_second, one.seconds_left) for variant, one in progress),
            "workers": tuple(_worker_now(one, now) for one in slots),
        }

    def _write(self) -> None:
        self._beat = replace(self._beat, time=time.time())
        try:
            self._folder.driver.write_bytes(encode_beat(self._beat))
        except OSError as error:
            _LOG.debug("no heartbeat: %s", error)


def _broken_off(kind: type[BaseException], error: BaseException | None) -> tuple[DriverState, str]:
    """How a run ends that an error has ended, and its first reason."""
    if issubclass(kind, KeyboardInterrupt):
        return "interrupted", ""
    told = as_told(error) if isinstance(error, Exception) else None
    lines = redacted(str(told or error or "")).strip().splitlines()
    if told is None:
        return "crashed", ": ".join([kind.__name__, *lines[:1]])
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return "stopped" if told.exit_code == EXIT_MACHINE else "refused", "".join([*lines[:1], more])


def _trace(error: BaseException | None) -> dict[str, object]:
    """The traceback of what nobody foresaw: the command line tells the rest in a line."""
    if error is None or isinstance(error, KeyboardInterrupt | InputError):
        return {}
    return {"traceback": "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]}


class _Findings(TypedDict, total=False):
    """The fields of a beat that change."""

    message: str
    retries: int
    memory: int
    heard: float | None
    seconds_left: float | None
    rates: tuple[Rate, ...]
    workers: tuple[WorkerNow, ...]


def _worker_now(slot: WorkerSlot, now: float) -> WorkerNow:
    left, host = slot.left, "" if slot.info is None else slot.info.provenance.get("host", "")
    seconds = round(now - slot.begun, 1)
    return WorkerNow(slot.name, slot.task, slot.variant or "", len(left), left[0] if left else "", seconds, host, slot.use)
