"""What this machine has, as far as the operating system tells without loading anything."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.models.hub import cache_folder

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says how much memory a container may have, in its two versions."""


@dataclass(frozen=True)
class Machine:
    """``memory`` and ``disk`` (free, where the hub's cache lies) in bytes, None where they are not known; ``cores`` that this
    process may use."""

    memory: int | None
    cores: int
    disk: int | None = None

    @classmethod
    def here(cls) -> Machine:
        """This one, and of its memory what a container leaves."""
        return cls(_memory(), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, _disk())


def _memory() -> int | None:
    known = [limit for path in CGROUP_LIMITS if (limit := _limit(path)) is not None]
    with suppress(ValueError, OSError):
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(known, default=None)


def _limit(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() else None


def _disk() -> int | None:
    folder = cache_folder()
    try:
        there = next(one for one in (folder, *folder.parents) if one.exists())
        stat = os.statvfs(there)
    except (OSError, StopIteration, AttributeError):
        return None
    return stat.f_bavail * stat.f_frsize
