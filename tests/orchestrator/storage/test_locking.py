"""One driver per folder, with a real second process."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.storage import StorageError
from orchestrator.storage.locking import StoreLockedError, exclusive

HOLDER = """
import sys, time
from pathlib import Path
from orchestrator.storage.locking import exclusive
with exclusive(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@contextmanager
def held(lock: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def test_the_second_driver_is_told_who_is_there(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with held(lock) as process:
        with pytest.raises(StoreLockedError) as told, exclusive(lock):
            pytest.fail("two drivers in one folder")
        assert isinstance(told.value, InputError)
        for word in (f"process {process.pid}", socket.gethostname(), str(tmp_path), "since 20"):
            assert word in str(told.value)


def test_a_killed_driver_leaves_no_lock(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with held(lock) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert str(process.pid) in lock.read_text()
        with exclusive(lock):
            assert str(os.getpid()) in lock.read_text()
    assert lock.read_text() == ""


def test_a_lock_whose_words_are_garbage(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with exclusive(lock):
        lock.write_text("\xff not json")
        with pytest.raises(StoreLockedError, match="process is not known"), exclusive(lock):
            pytest.fail("two drivers in one folder")


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with pytest.raises(KeyError), exclusive(lock):
        raise KeyError("inside")
    with exclusive(lock):
        pass


def test_a_filesystem_without_locks_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    entered = False
    with exclusive(tmp_path / ".lock"):
        entered = True
    assert entered
    assert "no locks" in caplog.text
    assert str(tmp_path) in caplog.text


def test_another_error_of_the_lock_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output"), exclusive(tmp_path / ".lock"):
        pytest.fail("locked without a lock")


def test_a_pipe_in_place_of_the_lock_file_is_told_with_advice(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    with (
        pytest.raises(StorageError, match=r"it is a pipe or a device.*move away what lies under the name"),
        exclusive(tmp_path / ".lock"),
    ):
        pass
