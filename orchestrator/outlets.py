"""Standard output and standard error of the command line: what is written there is clean, and that nobody can read it any more
ends no run.

Whatever writes to ``sys.stdout`` and ``sys.stderr``, libraries and Python itself included, writes through these: control
characters are written out, secrets blanked. Only the project's own tables and bars are passed on as they are (``trusted``).
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from orchestrator.interrupts import EXIT_MACHINE
from orchestrator.redaction import redacted
from orchestrator.untrusted import visible

EXIT_UNREAD = 141
"""The reader of a pipe has gone (``| head``): as if SIGPIPE had ended the program."""

PATIENCE_SECONDS = 5.0
"""How long a run waits for a reader that does not read; then it goes on, and what it says meanwhile is lost."""

STDOUT, STDERR = "stdout", "stderr"


class _Losses:
    """What could not be written, of the whole process. ``spared``: it does something that is worth going on with; ``hurried``:
    and does it now; ``stalled``: and nobody read what it said meanwhile."""

    def __init__(self) -> None:
        self.spared = self.hurried = self.stalled = False
        self.over = False
        self.told: dict[str, str] = {}
        self.tell: Callable[[str], None] | None = None

    def note(self, name: str, error: OSError) -> None:
        """Once per outlet. SystemExit where all that the program does is to write."""
        self.stalled |= error.errno == errno.ETIMEDOUT
        if name in self.told:
            return
        self.told[name] = f"{name} cannot be written ({error.strerror}): the run goes on without it"
        gone = error.errno == errno.EPIPE
        if self.spared:
            self._say(name)
        elif name == STDOUT and not self.over and threading.current_thread() is threading.main_thread():
            if not gone:
                print(f"error: cannot write to {name}: {error.strerror}", file=sys.stderr)
            raise SystemExit(EXIT_UNREAD if gone else EXIT_MACHINE)

    def _say(self, name: str) -> None:
        if self.tell is not None:
            self.tell(self.told[name])
        if name == STDOUT:
            print(self.told[name], file=sys.stderr)


_LOSSES = _Losses()


class _Raw(io.RawIOBase):
    """The file descriptor ``number``, which nothing that is written makes fail."""

    def __init__(self, number: int, name: str, is_open: bool) -> None:
        self._number, self.name, self._open = number, name, is_open
        self._held_up = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return self._open and os.isatty(self._number)

    def write(self, data: Any) -> int:
        try:
            return self._written(memoryview(data))
        except OSError as error:
            _LOSSES.note(self.name, error)
            return len(data)

    def _written(self, data: memoryview) -> int:
        if not self._open:
            raise OSError(errno.EBADF, "it is closed")
        if _LOSSES.hurried:
            self._wait(0.0 if self._held_up else PATIENCE_SECONDS)
            return os.write(self._number, data[: select.PIPE_BUF])  # so much has room where there is any
        while True:
            try:
                return os.write(self._number, data)
            except BlockingIOError:  # another program has made a shared terminal non-blocking
                select.select([], [self._number], [])

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._number, select.POLLOUT)
        self._held_up = not poll.poll(1000 * seconds)
        if self._held_up:
            raise TimeoutError(errno.ETIMEDOUT, "nobody reads it")


class Outlet(io.TextIOWrapper):
    """A text stream as Python's own, but clean and without errors. ``trusted`` writes what it is given."""

    def __init__(self, raw: _Raw, encoding: str, lines: bool) -> None:
        super().__init__(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=lines, write_through=True)
        self.trusted = _Trusted(self)
        self.lines_to: Callable[[str], None] | None = None
        self._line = ""

    def write(self, text: str) -> int:
        """What a library says."""
        if self.lines_to is None:
            self.write_as_it_is(cleaned(text))
        else:
            *lines, self._line = (self._line + text).split("\n")
            for line in lines:
                self.lines_to(cleaned(line))
        return len(text)

    def write_as_it_is(self, text: str) -> None:
        """What is known to be clean."""
        super().write(text)

    def divert(self, lines_to: Callable[[str], None] | None) -> None:
        """From now on hand whole lines to ``lines_to``; None: no longer."""
        self.lines_to, rest, self._line = lines_to, self._line, ""
        if rest:
            self.write(rest)


class _Trusted(io.TextIOBase):
    """Hands on to an outlet what the project itself has made."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._outlet.encoding

    def write(self, text: str) -> int:
        self._outlet.write_as_it_is(text)
        return len(text)

    def flush(self) -> None:
        self._outlet.flush()

    def fileno(self) -> int:
        return self._outlet.fileno()

    def isatty(self) -> bool:
        return self._outlet.isatty()


def cleaned(text: str) -> str:
    """``text`` without secrets and without what could drive a terminal. Line feeds stay, and the return to the line's start with
    which a progress bar begins."""
    text = redacted(text)
    if all(line.isprintable() for line in text.split("\n")):
        return text
    start = "\r" if text.startswith("\r") else ""
    return start + visible(text[len(start) :].replace("\t", "    "), keep_lines=True)


def trusted(stream: TextIO) -> TextIO:
    """Where the project's own tables go that should go to ``stream``."""
    return stream.trusted if isinstance(stream, Outlet) else stream  # type: ignore[return-value]


def install() -> None:
    """Make ``sys.stdout`` and ``sys.stderr`` of this process outlets, once; what is closed becomes an outlet into nothing."""
    there = [stream is not None for stream in (sys.stdin, sys.stdout, sys.stderr)]
    _fill(there)
    for number, name in ((1, STDOUT), (2, STDERR)):
        stream = getattr(sys, name)
        if stream is None or stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _outlet(number, name, stream))


def spare() -> None:
    """From now on the process does something: what becomes of its words no longer decides how it ends."""
    _LOSSES.spared = True


def hurry() -> None:
    """From now on wait for no reader for long."""
    _LOSSES.spared = _LOSSES.hurried = True


def finish() -> int:
    """Write what is still held back; the exit code, 0 unless what the program was to write could not be written."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as unwritten:
        return int(str(unwritten.code))
    finally:
        _LOSSES.over = True
    return 0


@contextmanager
def losses_told(tell: Callable[[str], None]) -> Iterator[None]:
    """Whatever is lost, before or meanwhile, is told to ``tell``, once. Afterwards a reader that has read has time again."""
    spare()
    for text in _LOSSES.told.values():
        tell(text)
    _LOSSES.tell = tell
    try:
        yield
    finally:
        _LOSSES.tell, _LOSSES.hurried = None, _LOSSES.stalled


@contextmanager
def lines_above(show: Callable[[str], None]) -> Iterator[None]:
    """What others write to either outlet goes to ``show`` line by line: it draws something that moves."""
    outlets = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, Outlet)]
    for one in outlets:
        one.divert(show)
    try:
        yield
    finally:
        for one in outlets:
            one.divert(None)


def _outlet(number: int, name: str, stream: TextIO | None) -> Outlet:
    raw = _Raw(number, name, stream is not None)
    lines = name == STDERR or bool(getattr(stream, "write_through", False)) or raw.isatty()
    return Outlet(raw, "utf-8" if stream is None else stream.encoding, lines)


def _fill(there: list[bool]) -> None:
    """A file that is opened later must not get the number of a standard stream: a child would write into it."""
    for number, is_there in enumerate(there):
        if not is_there and not _is_open(number):
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
