"""Being asked by another thread acts as a signal does: at once in a wait, else at the next one."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

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
        for _ in range(600):  # a signal that comes just before a sleep begins does not end that one
            time.sleep(0.1)


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


def write_twice(number: signal.Signals) -> str:
    signal.raise_signal(number)
    written = "once"
    signal.raise_signal(number)
    return f"{written} and again"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.interrupts.AGAIN_SECONDS", 0.0)


@pytest.fixture
def heard() -> Iterator[None]:
    """As in a terminal, also where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_waits_for_what_is_written_and_no_second_one_does(number: signal.Signals, quick: None, heard: None) -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts():
        assert write_twice(number) == "never"


def test_the_same_signal_to_process_and_group_counts_once() -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), interrupts.waiting():
            pass


def test_a_signal_that_no_wait_met_is_not_forgotten() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts():
        signal.raise_signal(signal.SIGTERM)


def test_a_library_that_takes_a_signal_gives_it_back() -> None:
    with Interrupts() as interrupts:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        interrupts.again()
        with pytest.raises(KeyboardInterrupt), interrupts.waiting():
            signal.raise_signal(signal.SIGTERM)


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts, interrupts.waiting():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
