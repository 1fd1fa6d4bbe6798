"""The claim on a place in object storage: renewed, lost, and taken from the dead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.storage import FileState, S3Url, StorageError, StoreLockedError, lease, open_files
from orchestrator.storage.lease import Lease, LeaseLostError
from tests.orchestrator.storage.s3_server import wait_until

ROOT = Path(__file__).parents[3]


class Claims:
    """Claims in memory, on a server with a clock of its own that tests move."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, int]] = {}
        self.clock = 10**18
        self.away = False

    def _answer(self) -> None:
        if self.away:
            raise StorageError.of(OSError("no network"), "ask", "here")

    def read(self, name: str, most: int | None = None) -> bytes:
        self._answer()
        if name not in self.kept:
            raise FileNotFoundError(name)
        return self.kept[name][0]

    def put(self, name: str, content: bytes) -> None:
        self._answer()
        self.kept[name] = (content, self.clock)

    def states(self, folder: str) -> Mapping[str, FileState]:
        self._answer()
        return {name.rsplit("/", 1)[-1]: FileState(len(content), at) for name, (content, at) in self.kept.items()}

    def delete(self, name: str) -> bool:
        self._answer()
        return self.kept.pop(name, None) is not None

    def stranger(self, seconds_ago: float = 0.0, **more: Any) -> None:
        """The claim of a driver on another machine."""
        claim = {"pid": 17, "host": "far-away", "machine": "another", "started": "2026-11-20", "state": "holding", **more}
        self.kept[".lock/stranger"] = (json.dumps(claim).encode(), self.clock - int(seconds_ago * 1e9))


@pytest.fixture
def claims() -> Claims:
    return Claims()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    monkeypatch.setattr("random.uniform", lambda *_: 0.01)


def later(monkeypatch: pytest.MonkeyPatch, claims: Claims, seconds: float) -> None:
    """Time passes, here and at the server."""
    now = time.monotonic
    monkeypatch.setattr("time.monotonic", lambda: now() + seconds)
    claims.clock += int(seconds * 1e9)


def test_it_is_renewed_and_withdrawn(claims: Claims) -> None:
    with Lease(claims, "s3://a/b") as held:
        (name,) = claims.kept
        claims.clock += 10**9
        wait_until(lambda: claims.kept[name][1] == claims.clock)
        held.check()
        assert json.loads(claims.kept[name][0])["state"] == "holding"
    assert claims.kept == {}


def test_another_live_claim_is_respected(claims: Claims) -> None:
    claims.stranger(seconds_ago=lease.LASTS - 1)
    with pytest.raises(StoreLockedError, match=r"process 17 on far-away, since 2026-11-20.*ends within 60 s"), Lease(claims, "p"):
        pytest.fail("two drivers")
    assert list(claims.kept) == [".lock/stranger"]


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b"\xff", b"[" * 100_000])
def test_a_claim_that_cannot_be_read_is_one_all_the_same(claims: Claims, content: bytes) -> None:
    claims.kept[".lock/odd"] = (content, claims.clock)
    with pytest.raises(StoreLockedError, match="process is not known"), Lease(claims, "p"):
        pytest.fail("two drivers")
    claims.clock += int(2e9 * lease.LASTS)
    with Lease(claims, "p"):
        assert ".lock/odd" not in claims.kept


def test_a_claim_that_was_not_renewed_is_nobodys(claims: Claims) -> None:
    claims.stranger(seconds_ago=lease.LASTS + 1)
    with Lease(claims, "p"):
        assert ".lock/stranger" not in claims.kept


def test_a_dead_process_of_this_machine_holds_nothing(claims: Claims) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    me: dict[str, Any] = lease._me()
    born = psutil.Process(process.pid).create_time()
    claims.stranger(**{**me, "pid": process.pid, "born": born})
    with pytest.raises(StoreLockedError), Lease(claims, "p"):
        pytest.fail("two drivers")
    process.kill()
    process.wait()
    with Lease(claims, "p"):
        assert len(claims.kept) == 1
    claims.stranger(**{**me, "born": 1.0})  # this process, but another that had its number before
    with Lease(claims, "p"):
        assert len(claims.kept) == 1


def test_a_driver_that_was_cut_off_goes_on_when_nobody_took_over(claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lease(claims, "p") as held:
        claims.away = True
        later(monkeypatch, claims, 3 * lease.LASTS)
        with pytest.raises(StorageError, match="no network"):
            held.check()
        claims.away = False
        held.check()
        assert len(claims.kept) == 1


def test_a_driver_that_was_cut_off_stops_when_another_took_over(claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lease(claims, "p") as held:
        claims.away = True
        later(monkeypatch, claims, 3 * lease.LASTS)
        claims.kept.clear()
        claims.stranger()
        claims.away = False
        with pytest.raises(LeaseLostError, match="another driver has taken over"):
            held.check()
    assert list(claims.kept) == [".lock/stranger"]


def test_a_driver_whose_claim_is_back_beside_anothers_stops(claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its renewal crossed the other one's claim on the way."""
    with Lease(claims, "p") as held:
        later(monkeypatch, claims, 3 * lease.LASTS)
        claims.stranger()
        with pytest.raises(LeaseLostError):
            held.check()


def test_a_short_cut_costs_nothing(claims: Claims) -> None:
    with Lease(claims, "p") as held:
        claims.away = True
        held.check()
        claims.away = False


def test_a_withdrawal_that_fails_is_told(claims: Claims, caplog: pytest.LogCaptureFixture) -> None:
    with Lease(claims, "p"):
        claims.away = True
    assert "stays for up to 60 seconds" in caplog.text


HOLDER = """
import sys, time
from orchestrator.storage import open_files, place_of
with open_files(place_of(sys.argv[1])).exclusive():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_after_kill_dash_9_the_next_driver_starts_at_once(bucket: S3Url) -> None:
    files: Any = open_files(bucket)
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(bucket)], stdout=-1, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(StoreLockedError, match=f"process {process.pid} on"), files.exclusive():
            pytest.fail("two drivers")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with files.exclusive():
            files.write("a", b"1")
    assert files.names(".lock") == set()
