"""A head that hangs: noticed in time, and no call waits for it for ever. Over a server that stands for it, without Ray itself."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import ray

from orchestrator.pool import PoolLostError, ray_head
from orchestrator.pool.ray_head import LEAST_MISSES
from orchestrator.pool.ray_head import Head as WatchedHead
from tests.orchestrator.pool import wrong_addresses
from tests.orchestrator.pool.wrong_addresses import Head, says_nothing


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_head, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(ray_head, "LOST_SECONDS", 0.5)


@pytest.fixture
def hung() -> Iterator[WatchedHead]:
    with wrong_addresses.server(says_nothing) as address:
        head = WatchedHead(address)
        yield head
        head.close()


def until_lost(head: WatchedHead) -> None:
    ends = time.monotonic() + 60
    while not head.lost:
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_one_that_answers_is_not_lost_and_questions_are_answered() -> None:
    with wrong_addresses.head(Head(ray.__version__)) as address:
        head = WatchedHead(address)
        time.sleep(1.0)
        head.check()
        assert head.answers()
        assert head.ask(lambda: 3) == 3
        with pytest.raises(ZeroDivisionError):
            head.ask(lambda: 1 // 0)
        head.close()


def test_one_that_wants_another_token_lives() -> None:
    with wrong_addresses.head(Head(ray.__version__, "changed meanwhile")) as address:
        assert ray_head.answers(address, 2.0)


def test_one_that_hangs_is_lost_in_words(hung: WatchedHead) -> None:
    until_lost(hung)
    with pytest.raises(PoolLostError, match=r"the head of the Ray cluster \(127.0.0.1:\d+\) has not answered for"):
        hung.check()


def test_a_question_that_waits_for_it_is_given_up(hung: WatchedHead) -> None:
    with pytest.raises(PoolLostError):
        hung.ask(threading.Event().wait)


def test_a_driver_that_was_stopped_for_a_while_has_missed_nothing(hung: WatchedHead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_head, "LEAST_MISSES", 10_000)
    time.sleep(1.0)
    hung.check()
    assert LEAST_MISSES > 1


def test_a_process_that_cannot_say_goodbye_ends_at_once() -> None:
    code = (
        "import atexit, sys, time; atexit.register(time.sleep, 100)\n"
        "from orchestrator.pool.ray_head import leave_without_a_word\n"
        "leave_without_a_word(); print('told'); sys.exit(0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "told\n")
