"""Digests of whole files are remembered only for a file that cannot have changed since."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from actors import digests
from actors.digests import content_digest, file_digest


def test_it_is_the_sha256_and_is_read_once_only_when_the_file_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, memory = tmp_path / "model.safetensors", tmp_path / "memory"
    path.write_bytes(b"weights")
    assert file_digest(path, memory) == hashlib.sha256(b"weights").hexdigest()
    assert not memory.exists(), "it was written a moment ago, and may be again within the clock's step"
    monkeypatch.setattr(digests, "SETTLED_SECONDS", -1.0)  # as if it were old
    file_digest(path, memory)
    (entry,) = memory.iterdir()
    entry.write_text(entry.read_text().replace(hashlib.sha256(b"weights").hexdigest(), "f" * 64))
    assert file_digest(path, memory) == "f" * 64
    entry.write_text("not JSON")
    assert file_digest(path, memory) == hashlib.sha256(b"weights").hexdigest()


def test_new_content_under_the_old_size_and_time_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "SETTLED_SECONDS", -1.0)
    path, memory = tmp_path / "model.safetensors", tmp_path / "memory"
    path.write_bytes(b"one")
    times = path.stat()
    assert file_digest(path, memory) == hashlib.sha256(b"one").hexdigest()
    while path.stat().st_ctime_ns == times.st_ctime_ns:  # until the file system's clock has moved on
        path.write_bytes(b"two")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    assert file_digest(path, memory) == hashlib.sha256(b"two").hexdigest()


def test_names_count_and_the_order_does_not(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    both = content_digest([one, two], tmp_path / "memory")
    assert content_digest([two, one], tmp_path / "memory") == both
    one.rename(tmp_path / "c")
    assert content_digest([tmp_path / "c", two], tmp_path / "memory") != both
