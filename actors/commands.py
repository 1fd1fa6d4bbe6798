"""A program in a process group of its own: ended, with all that it started, when it takes too long or its caller goes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from threading import Thread
from typing import IO

WORDS = 400
"""Characters of its last words that are told."""
_KEPT = 8 * WORDS
_GRACE = 5.0
"""Seconds until what it wrote last is read."""


class CommandError(Exception):
    """It could not be run, or did not end well; the text says why."""


class CommandTimeoutError(CommandError):
    """It took too long, and was ended."""


def run_command(command: Sequence[str], seconds: float) -> None:
    """Run ``command`` to its end without input; what it prints is thrown away but for its last words. ``CommandError``."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise CommandError(f"{command[0]}: {error.strerror or error}") from error
    said, complained = _Tail(process.stdout), _Tail(process.stderr)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired as error:
        raise CommandTimeoutError(f"it took more than {seconds:.0f} s, and was ended") from error
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code:
        raise CommandError(f"{_ending(code)}: {complained.last or said.last or 'no message'}")


def _ending(code: int) -> str:
    if code > 0:
        return f"it ended with code {code}"
    name = signal.Signals(-code).name
    return f"it was ended by {name}" + (", as where memory runs short" if -code == signal.SIGKILL else "")


class _Tail:
    """The end of what a pipe gives, read in a thread."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None, "it was asked for"
        self._pipe, self._end = pipe, b""
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), 65536):
                self._end = (self._end + chunk)[-_KEPT:]

    @property
    def last(self) -> str:
        """Its last line that says anything."""
        self._thread.join(_GRACE)
        lines = self._end.decode(errors="replace").splitlines()
        return next((line.strip()[:WORDS] for line in reversed(lines) if line.strip()), "")
