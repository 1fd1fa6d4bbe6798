"""Who may read a model that lies in files, by their modes: its owner, one group, everybody; and letting the same read a copy."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Readers:
    """``group``: the id of the group that may read, besides the owner; None: none may. ``everybody``: the others may too."""

    group: int | None
    everybody: bool

    @classmethod
    def of(cls, originals: Iterable[Path]) -> Readers:
        """Who may read all of ``originals``: files, and folders with all files in them. Everybody, if there are none."""
        files = [file.resolve() for one in originals for file in _files(one)]
        groups = {file.stat().st_gid for file in files}
        everybody = all(_lets_in(file, None) for file in files)
        group = groups.pop() if len(groups) == 1 else None
        return cls(group if group is not None and all(_lets_in(file, group) for file in files) else None, everybody)

    def let_in(self, folder: Path) -> None:
        """Give ``folder``, which is ours, and all in it the modes that let in these readers alone."""
        for path in (*folder.rglob("*"), folder):
            shared = self.everybody or (self.group is not None and _given(path, self.group))
            read = (0o040 if shared else 0) | (0o004 if self.everybody else 0)
            search = read >> 2 if path.is_dir() else 0
            path.chmod((0o700 if path.is_dir() else 0o600) | read | search)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
    else:
        yield from (one for one in path.rglob("*") if one.is_file())


def _lets_in(file: Path, group: int | None) -> bool:
    """Whether members of ``group``, or with None strangers, may read ``file``, whatever folder it lies in."""
    found = file.stat()
    wanted = stat.S_IRGRP if group is not None else stat.S_IROTH
    if not found.st_mode & wanted:
        return False
    for folder in file.parents:
        at = folder.stat()
        if not at.st_mode & (stat.S_IXGRP if at.st_gid == group else stat.S_IXOTH):
            return False
    return True


def _given(path: Path, group: int) -> bool:
    """Give ``path`` to the group; whether it is the group's now."""
    try:
        os.chown(path, -1, group)
    except OSError:
        return path.stat().st_gid == group
    return True
