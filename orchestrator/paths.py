"""Paths that the user gave: whether a file can have them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from orchestrator.errors import InputError, MachineError

WEIGHT_SUFFIXES = (".safetensors", ".gguf")
NEEDED_FILES = ("config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
"""Besides weights, what is read of a model or an adapter wherever it is there."""

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


def check_readable(folder: Path, field: str) -> None:
    """InputError when a file of a model or an adapter in ``folder`` is none, or cannot be read: a folder, a pipe (which is not
    waited for), a link to nowhere, no permission, a bad sector."""
    if not folder.is_dir():
        return  # told by those who need it
    for path in sorted(folder.iterdir()):
        if (path.suffix in WEIGHT_SUFFIXES or path.name in NEEDED_FILES) and (why := _unreadable(path)):
            raise InputError.because(f"{path.name} {why}", field, str(folder), "files that can be read")


def _unreadable(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return f"is {'a folder' if stat.S_ISDIR(mode) else 'a pipe or a device'}, not a file"
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def on_this_machine(pool: str) -> bool:
    """Whether the workers of ``pool`` run on this machine alone, as far as can be told before it is opened."""
    return pool == "local" or os.environ.get("RAY_ADDRESS", "local") in ("local", "")


def require_cache(pool: str) -> None:
    """Make the folder for what is converted and merged unless others do that. ``MachineError`` where it cannot be made."""
    if not on_this_machine(pool):
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
