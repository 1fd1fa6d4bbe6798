"""Ctrl-C, SIGTERM, SIGHUP, or another thread that asks: they end a wait at once, never a write; a second signal ends anything."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import ClassVar

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

EXIT_INTERRUPTED = 130
"""How a program ends that was interrupted, by whatever signal."""

EXIT_MACHINE = 3
"""How one ends that the machine does not let go on: its memory, its disk, or what its output goes to."""

AGAIN_SECONDS = 1.0
"""A signal that follows another one within this time is the same one: `timeout`, `make` and terminals send it to the process and
to its group."""


class Interrupts:
    """While entered, the first signal raises KeyboardInterrupt inside ``waiting``, or at the next ``waiting`` if it
    comes while something is being written; at the latest when this is left. The second one raises at once. Outside the main
    thread it does nothing. A SIGHUP that was ignored before (``nohup``) stays so."""

    _counted: ClassVar[float] = float("-inf")
    """When a signal last counted, whoever was entered then."""

    def __init__(self) -> None:
        self._asked = _program_was_asked()
        self._raised = False
        self._waiting = False
        self._previous: dict[signal.Signals, object] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> Interrupts:
        self._previous = self._installed()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._guard:  # no signal of ``ask`` may meet the handlers that are put back here
            previous, self._previous = self._previous, {}
        for number, handler in previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if kind is None and self._asked and not self._raised:
            raise KeyboardInterrupt

    def again(self) -> None:
        """Take the signals back from a library that has taken them: Ray takes SIGTERM when it starts, and has an alarm abort the
        process three seconds after one that comes before this."""
        if self._previous:
            self._installed()
            signal.alarm(0)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around whatever may be broken off."""
        before, self._waiting = self._waiting, True
        try:
            if self._asked:
                self._raise()
            yield
        finally:
            self._waiting = before

    def wait_no_more(self) -> None:
        """From now on whatever is done may be broken off: what is left can be made again from what is stored."""
        self._waiting = True
        if self._asked:
            self._raise()

    def hold(self) -> None:
        """From now on only ``waiting`` may be broken off again."""
        self._waiting = False

    def ask(self) -> None:
        """Do as a first signal does; may be called by another thread."""
        with self._guard:
            if self._previous and not self._asked:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # also wakes the main thread from a wait
            else:
                self._asked = True

    def _installed(self) -> dict[signal.Signals, object]:
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, self._on_signal) for number in SIGNALS if _heeded(number)}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked and _is_recent():
            return
        Interrupts._counted = time.monotonic()
        at_once, self._asked = self._asked or self._waiting, True
        if at_once:
            self._raise()

    def _raise(self) -> None:
        self._raised = True
        raise KeyboardInterrupt


class ProgramInterrupts(Interrupts):
    """Those of the whole program, from its first line on: whatever it does may be broken off, what has to be whole is protected
    by its own ``Interrupts``. Once ``over``, a signal only ends what still holds the process."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = True
        self._code: int | None = None

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._asked

    def over(self, code: int) -> None:
        """Everything is done and said: the process will end with ``code``, whatever comes."""
        self._code = code

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if _is_recent():
            return
        if self._code is not None:
            os._exit(self._code)
        super()._on_signal(number, frame)


_program: ProgramInterrupts | None = None


def program_interrupts() -> ProgramInterrupts:
    """Those of this process: from the first call on its signals are heeded."""
    global _program
    if _program is None:
        _program = ProgramInterrupts()
        _program.__enter__()
        atexit.register(_ignore)  # registered first, it runs last: Python gives signals back to the kernel when it ends
    return _program


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _is_recent() -> bool:
    return time.monotonic() - Interrupts._counted < AGAIN_SECONDS


def _program_was_asked() -> bool:
    return _program is not None and _program.asked


def _heeded(number: signal.Signals) -> bool:
    return number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
