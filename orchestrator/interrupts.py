"""Ctrl-C and SIGTERM: end a wait at once, never a write; a second signal ends anything."""

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

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
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

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        at_once, self._asked = self._asked or self._waiting, True
        if at_once:
            raise KeyboardInterrupt
