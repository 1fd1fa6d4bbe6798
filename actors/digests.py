"""SHA-256 of whole files, remembered from one start to the next, for what is cached under the content that it was made of."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

SETTLED_SECONDS = 5.0
"""A file that changed less than this before it was read may change again without a new time stamp: it is not remembered."""


def content_digest(files: Iterable[Path], memory: Path) -> str:
    """One SHA-256 over the names and all the bytes of ``files``. Digests are remembered in the folder ``memory``."""
    whole = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        whole.update(f"{path.name} {file_digest(path, memory)}\n".encode())
    return whole.hexdigest()


def file_digest(path: Path, memory: Path) -> str:
    """SHA-256 of all the bytes of ``path``.

    What is remembered holds for one state of one file: place, device, inode, size, and the times of the last change of its
    content and of its entry. The last of these no program can set back, so a file written anew under its old size and
    modification time is read again.
    """
    entry = memory / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"
    state = _state(path)
    remembered = _remembered(entry, state)
    if remembered is not None:
        return remembered
    started = time.time()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if _state(path) == state and started - path.stat().st_ctime > SETTLED_SECONDS:
        with suppress(OSError):  # a memory that cannot be written costs time, nothing else
            _remember(entry, {"state": state, "sha256": digest})
    return digest


def _state(path: Path) -> list[int]:
    now = path.stat()
    return [now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns]


def _remembered(entry: Path, state: list[int]) -> str | None:
    try:
        known = json.loads(entry.read_bytes())
        return str(known["sha256"]) if known["state"] == state else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(entry: Path, content: dict[str, object]) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=entry.parent, prefix=".")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(content, file)
        os.replace(temporary, entry)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
