"""Whole-file writes that survive a kill or a power cut: a reader sees the old file, the new file, or none.

The name of a temporary file starts with a dot and ends in ``.tmp``; whoever lists a folder skips dot files.
"""

from __future__ import annotations

import errno
import filecmp
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomic(path: Path, write: Callable[[BinaryIO], object], keep_equal: bool = False) -> bool:
    """Give ``write`` a temporary file beside ``path``, then fsync, rename over ``path`` and fsync the folder.

    Whatever fails on the way, ``path`` is untouched and the temporary file is removed (a kill leaves it; see ``clean``).
    With ``keep_equal`` a file that already holds the same bytes stays as it is. Says whether ``path`` was replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if keep_equal and path.is_file() and filecmp.cmp(temporary, path, shallow=False):
            return False
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically."""
    write_atomic(path, lambda file: file.write(content))


def write_if_changed(path: Path, content: bytes) -> bool:
    """Write ``content`` atomically unless ``path`` already holds exactly it; says whether it wrote."""
    if path.is_file() and path.read_bytes() == content:
        return False
    write_bytes(path, content)
    return True


def append_line(path: Path, line: bytes) -> None:
    """Put ``line`` behind what ``path`` holds and fsync; when that fails ``path`` is as it was. Half a line is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        content = line if not size or os.pread(handle, 1, size - 1) == b"\n" else b"\n" + line
        try:
            if os.write(handle, content) < len(content):
                raise OSError(errno.ENOSPC, "only half a line could be written")
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)
    if not size:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clean(folder: Path) -> int:
    """Remove the temporary files that a killed driver left in ``folder``; their number. Call it only under the lock."""
    left = [path for path in folder.glob(".*.tmp") if not path.is_dir() or path.is_symlink()] if folder.is_dir() else []
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)
