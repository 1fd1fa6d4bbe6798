"""Paths that the user gave: whether a file can have them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from orchestrator.errors import InputError, MachineError

LONGEST_NAME = 255
LONGEST_PATH = 4096
"""Bytes; Linux allows no more in any filesystem."""


def expanded(written: str | Path) -> Path:
    """With ``~`` as the home folder; InputError where nobody knows which that is."""
    try:
        return Path(written).expanduser()
    except RuntimeError:
        told = "nobody knows the home folder that this begins with"
        raise InputError.because(told, value=str(written), allowed="the whole path, or HOME set") from None


def checked(path: Path, field: str = "") -> Path:
    """The same path; InputError for one that no file can have."""
    text = os.fsencode(path)
    if b"\0" in text:
        raise InputError.because("no file can have a NUL in its name", field, str(path), "a name without it")
    if len(text) >= LONGEST_PATH or any(len(part) > LONGEST_NAME for part in text.split(b"/")):
        allowed = f"names of at most {LONGEST_NAME} bytes, paths of {LONGEST_PATH}"
        raise InputError.because("no file can have so long a name", field, str(path), allowed)
    return path


def unreadable(paths: Iterable[Path]) -> str:
    """Why the first of ``paths`` that cannot be read cannot, with its name; empty when all can. Opens none: a pipe would wait."""
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            return f"{path.name} cannot be read: {error.strerror}"
        if not stat.S_ISREG(mode):
            return f"{path.name} is {'a folder' if stat.S_ISDIR(mode) else 'a pipe or a device'}, not a file"
        if not os.access(path, os.R_OK):
            return f"{path.name} cannot be read: Permission denied"
    return ""


def require_cache(pool: str) -> None:
    """Make the folder for what is converted and merged unless others do that. ``MachineError`` where it cannot be made."""
    if pool != "local" and os.environ.get("RAY_ADDRESS", "local") not in ("local", ""):
        return
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else expanded("~/.cache")) / "activation-steering-sweeps"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        advice = "set XDG_CACHE_HOME to a folder that may be written"
        raise MachineError.because(
            f"{folder}, the cache of converted models, cannot be made: {error.strerror}; {advice}"
        ) from error
