"""Being asked by another thread acts as a signal does: at once in a wait, else at the next one."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from orchestrator.interrupts import Interrupts


def asker(interrupts: Interrupts, ready: threading.Event) -> threading.Thread:
    def ask() -> None:
        ready.wait(60)
        interrupts.ask()

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def wait(interrupts: Interrupts, ready: threading.Event) -> None:
    with interrupts.waiting():
        ready.set()
        time.sleep(60)


def test_it_ends_a_wait() -> None:
    ready = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        thread = asker(interrupts, ready)
        with pytest.raises(KeyboardInterrupt):
            wait(interrupts, ready)
        thread.join()
    assert signal.getsignal(signal.SIGINT) is before


def test_it_never_ends_what_is_being_written() -> None:
    ready = threading.Event()
    with Interrupts() as interrupts:
        thread = asker(interrupts, ready)
        ready.set()
        thread.join()
        written = sum(range(1000))
        with pytest.raises(KeyboardInterrupt), interrupts.waiting():
            pass
    assert written == 499500


def test_asked_before_it_is_entered_or_twice() -> None:
    interrupts = Interrupts()
    interrupts.ask()
    with interrupts:
        interrupts.ask()
        with pytest.raises(KeyboardInterrupt), interrupts.waiting():
            pass


def test_asked_after_it_was_left_it_harms_nobody() -> None:
    with Interrupts() as interrupts:
        pass
    interrupts.ask()
