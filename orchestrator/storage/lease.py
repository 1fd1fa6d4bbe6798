"""One driver per place where nothing holds a lock for a process: a claim that its holder renews, in ``.lock/``.

To claim: put a claim, then list. Whoever sees no other live claim holds the place. Listings show every claim that was put
before them, so of two drivers at least one sees the other, and withdraws; no conditional write is needed. A claim that was not
renewed for ``LASTS`` seconds, by the server's clock, is nobody's; so is, at once, that of a dead process of this machine.

The holder renews in a thread, and before each write makes sure that it could: cut off for too long, it asks again. What this
cannot prevent: a write under way when the process is stopped for longer than ``LASTS`` and woken again. Such a write puts a whole
file with the content that its name stands for.
"""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import psutil

from orchestrator.errors import Problem
from orchestrator.storage.errors import StorageError, StoreLockedError
from orchestrator.storage.files import FileState

FOLDER = ".lock"
LASTS = 60.0
RENEWED = 10.0
"""Seconds between renewals."""
FENCE = 40.0
"""Seconds after the last renewal from which nothing is written before another one."""
TRIES = 4

_LOG = logging.getLogger(__name__)


class Claims(Protocol):
    """What of ``Files`` a lease needs, without the lease's own check."""

    def read(self, name: str, most: int | None = None) -> bytes:
        """A claim; FileNotFoundError."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Put a claim."""
        ...

    def states(self, folder: str) -> Mapping[str, FileState]:
        """All claims."""
        ...

    def delete(self, name: str) -> bool:
        """Withdraw a claim."""
        ...


class LeaseLostError(StorageError):
    """This driver was cut off for so long that another one has taken over."""


class Lease:
    """A claim on ``place``, held while entered: ``StoreLockedError`` when another driver holds it."""

    def __init__(self, claims: Claims, place: str) -> None:
        self._claims, self._place = claims, place
        self._name = uuid.uuid4().hex
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._renewed = 0.0
        self._guard = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew_now_and_then, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._claim()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        try:
            self._withdraw()
        except StorageError as error:
            _LOG.warning("the lock of %s stays for up to %.0f seconds: %s", self._place, LASTS, error)

    def check(self) -> None:
        """Make sure that this driver still holds the place: ``LeaseLostError``, or ``StorageError`` when nobody answers."""
        if time.monotonic() - self._renewed <= FENCE:
            return
        with self._guard:  # of many threads that come after a pause, one renews
            if time.monotonic() - self._renewed > FENCE:
                self._renew()

    def _claim(self) -> None:
        for _ in range(TRIES):
            self._put("asking")
            others = self._live_others()
            if not others:
                self._put("holding")
                return
            self._withdraw()
            held = [other for other in others if other.get("state") == "holding"]
            if held:
                raise self._locked(held[0])
            time.sleep(random.uniform(0.1, 1.0))
        raise self._locked(others[0])

    def _renew(self) -> None:
        with self._guard:
            if self._name not in self._claims.states(FOLDER):
                raise self._lost()
            self._put("holding")
            for _ in range(TRIES):
                others = self._live_others()
                if not others:
                    return
                if any(other.get("state") == "holding" for other in others):
                    break
                time.sleep(random.uniform(0.5, 1.0))
            raise self._lost()

    def _renew_now_and_then(self) -> None:
        while not self._over.wait(RENEWED):
            try:
                self._renew()
            except LeaseLostError as error:
                _LOG.error("%s", error)
                return
            except StorageError as error:
                _LOG.warning("%s: the lock could not be renewed: %s", self._place, error)

    def _put(self, state: Literal["asking", "holding"]) -> None:
        begun = time.monotonic()
        self._claims.put(f"{FOLDER}/{self._name}", json.dumps({**_me(), "started": self._started, "state": state}).encode())
        self._renewed = begun

    def _withdraw(self) -> None:
        self._claims.delete(f"{FOLDER}/{self._name}")

    def _live_others(self) -> list[dict[str, Any]]:
        """The other drivers' claims; those that are nobody's any more are removed."""
        states = self._claims.states(FOLDER)
        now = states[self._name].changed if self._name in states else 0
        live = []
        for name, state in states.items():
            if name == self._name:
                continue
            claim = self._read(name)
            if now - state.changed > LASTS * 1e9 or (claim is not None and _is_dead(claim)):
                self._claims.delete(f"{FOLDER}/{name}")
            elif claim is not None:
                live.append(claim)
        return live

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            claim = json.loads(self._claims.read(f"{FOLDER}/{name}"))
            return claim if isinstance(claim, dict) else {}
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            return {}

    def _locked(self, claim: Mapping[str, Any]) -> StoreLockedError:
        who = "its process is not known"
        if {"pid", "host", "started"} <= claim.keys():
            who = f"process {claim['pid']} on {claim['host']}, since {claim['started']}"
        told = f"another driver is working in {self._place} ({who}); wait until it ends or stop it"
        return StoreLockedError(Problem("results", None, f"{told}; if it was killed, its lock ends within {LASTS:.0f} seconds"))

    def _lost(self) -> LeaseLostError:
        told = f"{self._place} did not answer for so long that another driver has taken over; every finished cell is kept"
        return LeaseLostError(Problem("results", None, told))


def _me() -> dict[str, object]:
    process = psutil.Process()
    return {"pid": process.pid, "born": process.create_time(), "host": socket.gethostname(), "machine": _machine()}


def _machine() -> str | None:
    """What only processes that see each other have in common; None where that cannot be told."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _is_dead(claim: Mapping[str, Any]) -> bool:
    """Whether the claim's process ran on this machine and is gone."""
    machine = _machine()
    if machine is None or claim.get("machine") != machine or not isinstance(claim.get("pid"), int):
        return False
    try:
        found = psutil.Process(claim["pid"])
        return found.create_time() != claim.get("born") or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
