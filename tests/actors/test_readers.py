"""A copy of a model may be read by exactly those who may read what it was made of."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.embedded import build_once
from actors.errors import ModelLoadError
from actors.readers import Readers


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Path]:
    """A folder that everybody can get to."""
    changed = {folder: folder.stat().st_mode for folder in (tmp_path, *tmp_path.parents) if folder.stat().st_uid == os.getuid()}
    for folder, mode in changed.items():
        folder.chmod(stat.S_IMODE(mode) | 0o011)
    yield tmp_path
    for folder, mode in changed.items():
        folder.chmod(stat.S_IMODE(mode))


def original(folder: Path, file_mode: int, folder_mode: int = 0o755) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "model.safetensors").chmod(file_mode)
    folder.chmod(folder_mode)
    return folder


def fill(target: Path) -> None:
    (target / "sub").mkdir()
    (target / "sub" / "config.json").touch(mode=0o600)
    (target / "model.safetensors").touch(mode=0o666)


def modes(folder: Path) -> tuple[int, int, int]:
    return tuple(stat.S_IMODE((folder / name).stat().st_mode) for name in (".", "model.safetensors", "sub/config.json"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "expected"),
    [
        (0o644, 0o755, (0o755, 0o644, 0o644)),
        (0o640, 0o755, (0o750, 0o640, 0o640)),
        (0o600, 0o755, (0o700, 0o600, 0o600)),
        (0o644, 0o750, (0o750, 0o640, 0o640)),
        (0o644, 0o700, (0o700, 0o600, 0o600)),
        (0o666, 0o777, (0o755, 0o644, 0o644)),
    ],
)
def test_a_copy_lets_in_whom_the_original_does(
    file_mode: int, folder_mode: int, expected: tuple[int, int, int], public: Path
) -> None:
    made = build_once(public / "cache" / "copy", fill, (original(public / "original", file_mode, folder_mode),))
    assert modes(made) == expected


def test_the_more_private_of_two_originals_decides(public: Path) -> None:
    base, adapter = original(public / "base", 0o644), original(public / "adapter", 0o600)
    assert modes(build_once(public / "copy", fill, (base, adapter)))[0] == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files to any group")
def test_the_group_is_the_originals(public: Path) -> None:
    base = original(public / "base", 0o640)
    os.chown(base / "model.safetensors", -1, 12345)
    made = build_once(public / "copy", fill, (base,))
    assert modes(made)[:2] == (0o750, 0o640)
    assert {path.stat().st_gid for path in (made, made / "sub" / "config.json")} == {12345}
    adapter = original(public / "adapter", 0o640)
    os.chown(adapter / "model.safetensors", -1, 12346)
    assert Readers.of((base, adapter)) == Readers(None, False), "nobody may read both but their owner"


def test_a_link_counts_as_what_it_leads_to(public: Path) -> None:
    """As in the hub's cache."""
    private, links = original(public / "blobs", 0o600), public / "snapshot"
    links.mkdir()
    (links / "model.safetensors").symlink_to(private / "model.safetensors")
    assert Readers.of((links,)) == Readers(None, False)


def test_a_cache_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelLoadError, match="XDG_CACHE_HOME"):
        build_once(tmp_path / "file" / "copy", fill)


def test_a_copy_that_is_there_needs_no_lock(tmp_path: Path) -> None:
    """Another user's, in a cache that a group shares, has a lock file that is not ours."""
    made = build_once(tmp_path / "copy", fill)
    (tmp_path / "copy.lock").unlink(missing_ok=True)
    assert build_once(tmp_path / "copy", fill) == made
    assert not (tmp_path / "copy.lock").exists()
