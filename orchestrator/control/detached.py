"""``run --detach``: a driver in a session of its own that outlives the terminal, writing to ``logs/driver.log``."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from orchestrator.control.heartbeat import ENDED, UNABLE, Beat, read_beat
from orchestrator.errors import InputError, Problem
from orchestrator.results.folder import Folder
from orchestrator.results.store import Store
from orchestrator.storage import Place, StorageError

PROGRAM: tuple[str, ...] = (sys.executable, "-m", "orchestrator")
"""What is started, before the words of the command line."""

PATIENCE_SECONDS = 60.0
"""How long to wait until the driver has its workers; it goes on starting without us."""

LOG_BYTES = 16 * 2**20
"""A larger ``driver.log`` of earlier runs becomes ``driver.old.log``."""

LINES_TOLD = 20


@dataclass(frozen=True)
class Detached:
    """A driver that was started, and the state that it was last heard in."""

    pid: int
    results: Place
    log: Path
    state: str

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {"pid": self.pid, "results": str(self.results), "log": str(self.log), "state": self.state}

    def lines(self) -> list[str]:
        """Where it is, and what to type next: an ended driver can be asked nothing."""
        if self.state in ENDED:
            return [
                f"started: process {self.pid}, results in {self.results}; it has ended already: {self.state}",
                f"how it stands: python -m orchestrator status {self.results}",
                f"what it said is in {self.log}",
            ]
        return [
            f"started: process {self.pid}, results in {self.results}; {self.state}",
            f"to follow:  python -m orchestrator status {self.results} --watch",
            f"its events: python -m orchestrator logs {self.results} --follow",
            f"to pause:   python -m orchestrator pause {self.results}",
            f"to stop:    python -m orchestrator cancel {self.results}",
            f"what it says goes to {self.log}",
        ]


def start(words: Sequence[str], store: Store, patience: float = PATIENCE_SECONDS) -> Detached:
    """Start ``PROGRAM`` with ``words`` as the driver of ``store``, and wait until it runs, or has ended.

    ``StoreLockedError`` when another driver has the folder; InputError with the driver's own words when it ends at once.
    """
    with store.lock():
        pass  # nobody has it; the driver itself takes it for good
    folder = store.folder
    log = folder.logs / "driver.log"
    with _opened(log) as file:
        began = file.tell()
        process = subprocess.Popen(
            [*PROGRAM, *words], stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, env=_environment()
        )
    beat = None
    with suppress(KeyboardInterrupt):  # it ends this waiting; the driver, in a session of its own, goes on
        beat = _awaited(process, folder, log, began, patience)
    return Detached(process.pid, store.place, log, beat.state if beat else "not heard of yet")


def _awaited(process: subprocess.Popen[bytes], folder: Folder, log: Path, began: int, patience: float) -> Beat | None:
    """Its beat once it runs, or the last one there is."""
    beat, deadline = None, time.monotonic() + patience
    while time.monotonic() < deadline:
        code = process.poll()
        beat = _beat_of(process.pid, folder)
        if beat is not None and beat.state not in ("starting", *UNABLE):
            break
        if code is not None:
            told = Problem("run --detach", None, f"the driver ended at once (exit code {code}):\n{_said(log, began)}")
            raise StorageError(told) if code == StorageError.exit_code else InputError(told)
        time.sleep(0.1)
    return beat


def _opened(log: Path) -> BinaryIO:
    """The log, for appending below a line that says when this driver began."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.is_file() and log.stat().st_size > LOG_BYTES:
            os.replace(log, log.with_name("driver.old.log"))
        if log.exists() and not log.is_file():
            raise OSError(errno.ENXIO, "it is no file")  # to open a pipe would wait for its reader
        file = log.open("ab")
        file.write(f"==> {datetime.now().astimezone().isoformat(timespec='seconds')}\n".encode())
        file.flush()
    except OSError as error:
        raise StorageError.of(error, f"write {log.name}", str(log.parent)) from error
    return file


def _beat_of(pid: int, folder: Folder) -> Beat | None:
    beat = read_beat(folder.driver)
    return beat if beat is not None and beat.pid == pid else None


def _environment() -> dict[str, str]:
    """Its words are to be in the log when they are said."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


def _said(log: Path, began: int) -> str:
    with log.open("rb") as file:
        file.seek(began)
        lines = file.read(LOG_BYTES).decode(errors="replace").splitlines()
    return "\n".join(line for line in lines[-LINES_TOLD:] if line.strip()) or "it said nothing"
