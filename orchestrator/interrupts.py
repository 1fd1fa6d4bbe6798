"""Ctrl-C, SIGTERM, and being asked by another thread: end a wait at once, never a write; a second signal ends anything."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While entered, the first signal raises KeyboardInterrupt inside ``waiting``, or at the next ``waiting`` if it
    comes while something is being written. The second one raises at once. Outside the main thread it does nothing."""

    def __init__(self) -> None:
        self._asked = False
        self._waiting = False
        self._previous: dict[signal.Signals, object] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._guard:  # no signal of ``ask`` may meet the handlers that are put back here
            previous, self._previous = self._previous, {}
        for number, handler in previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around whatever may be broken off."""
        self._waiting = True
        try:
            if self._asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._waiting = False

    def ask(self) -> None:
        """Do as a first signal does; may be called by another thread."""
        with self._guard:
            if self._previous and not self._asked:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # also wakes the main thread from a wait
            else:
                self._asked = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        at_once, self._asked = self._asked or self._waiting, True
        if at_once:
            raise KeyboardInterrupt
