"""A write that stops anywhere leaves the old file or none, never half of one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from orchestrator.storage.atomic import clean, write_atomic, write_bytes, write_if_changed

STEPS = ("write", "fsync file", "replace")


class Stopped(Exception):
    """What the patched step raises."""


def stop_at(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise Stopped(step)

    if step != "write":
        monkeypatch.setattr(os, {"fsync file": "fsync", "replace": "replace"}[step], stop)


def half_then(step: str, content: bytes) -> object:
    def write(file: BinaryIO) -> None:
        file.write(content[: len(content) // 2])
        if step == "write":
            raise Stopped(step)
        file.write(content[len(content) // 2 :])

    return write


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("old", [None, b"old"])
def test_an_error_at_any_step_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, old: bytes | None
) -> None:
    path = tmp_path / "part.parquet"
    if old is not None:
        path.write_bytes(old)
    stop_at(step, monkeypatch)
    with pytest.raises(Stopped):
        write_atomic(path, half_then(step, b"new content"))  # type: ignore[arg-type]
    assert [entry.name for entry in tmp_path.iterdir()] == ([] if old is None else ["part.parquet"])
    assert old is None or path.read_bytes() == old


KILLED = """
import os, signal, sys
from pathlib import Path
from orchestrator.storage import atomic
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
step, path = sys.argv[1], Path(sys.argv[2])
if step == "fsync folder":
    atomic.sync_folder = die
elif step != "write":
    setattr(os, {"fsync file": "fsync", "replace": "replace"}[step], die)
def write(file):
    file.write(b"new "); file.flush()
    if step == "write": die()
    file.write(b"content")
atomic.write_atomic(path, write)
"""


@pytest.mark.parametrize("step", [*STEPS, "fsync folder"])
def test_a_kill_at_any_step_leaves_a_whole_file(tmp_path: Path, step: str) -> None:
    path = tmp_path / "part.parquet"
    path.write_bytes(b"old")
    ended = subprocess.run([sys.executable, "-c", KILLED, step, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_bytes() == (b"new content" if step == "fsync folder" else b"old")
    left = [entry.name for entry in tmp_path.iterdir() if entry != path]
    assert len(left) == (0 if step == "fsync folder" else 1)
    assert all(name.startswith(".") and name.endswith(".tmp") for name in left)
    assert clean(tmp_path) == len(left)
    assert [entry.name for entry in tmp_path.iterdir()] == ["part.parquet"]


def test_file_then_rename_then_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        order.append("fsync folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "fsync file")
        fsync(handle)

    def noted_replace(source: Path, target: Path) -> None:
        assert source.parent == target.parent
        order.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_bytes(tmp_path / "new folder" / "a", b"x")
    assert order == ["fsync file", "replace", "fsync folder"]


def test_equal_content_keeps_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert write_if_changed(path, b"x")
    before = path.stat()
    assert not write_if_changed(path, b"x")
    assert not write_atomic(path, lambda file: file.write(b"x"), keep_equal=True)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert write_if_changed(path, b"y")
    assert write_atomic(path, lambda file: file.write(b"z"), keep_equal=True)
    assert path.read_bytes() == b"z"
    assert list(tmp_path.iterdir()) == [path]


def test_clean_keeps_everything_else(tmp_path: Path) -> None:
    for name in (".lock", "a.tmp", ".a.1.tmp"):
        (tmp_path / name).touch()
    assert clean(tmp_path) == 1
    assert clean(tmp_path / "missing") == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".lock", "a.tmp"]
