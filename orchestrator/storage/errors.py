"""What can go wrong with stored files. A missing one is a plain FileNotFoundError."""

from __future__ import annotations

import errno

from orchestrator.errors import InputError, Problem
from orchestrator.interrupts import EXIT_MACHINE
from orchestrator.redaction import redacted

_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or ask for a larger quota",
    errno.EFBIG: "allow larger files (ulimit -f)",
    errno.EACCES: "see who may write there",
    errno.EPERM: "see who may write there",
    errno.EROFS: "make it writable",
    errno.EISDIR: "move away the folder that lies under the name of a file",
    errno.ENOTDIR: "move away the file that lies under the name of a folder",
    errno.ENXIO: "move away what lies under the name of a file",
    errno.EEXIST: "move away the file that lies under the name of a folder",
    errno.ELOOP: "mend the link that leads to itself",
    errno.ENOENT: "see where its link leads",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.ENOLCK: "see whether the file server gives locks",
    errno.ESTALE: "mount it again",
    errno.EIO: "see whether the disk is well",
}


class StorageError(InputError, OSError):
    """The disk or the object storage refused: it is full, away, or not permitted. What was finished before is whole.

    An OSError for those who can go on without the file; for the command line a message and exit code 3.
    """

    exit_code = EXIT_MACHINE

    @classmethod
    def of(cls, error: OSError, doing: str, place: str) -> StorageError:
        """``error`` while ``doing`` (in words) something at ``place``."""
        why = redacted(error.strerror or str(error))
        advice = _ADVICE.get(error.errno or 0, "see to it")
        message = f"cannot {doing} in {place}: {why}. Every finished cell is kept: {advice}, then run the same command again"
        return cls(Problem("results", None, message))


class UnreadableFileError(Exception):
    """A file is truncated, damaged, or not what its name says. ``reason``: in words; ``key``: its name in its place, where it has
    one."""

    def __init__(self, file: object, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.reason = reason
        self.key = str(getattr(file, "key", ""))


class BadSectorError(OSError):
    """The disk cannot read a file that it has (EIO): the file is lost, the disk is not."""


class StoreLockedError(InputError):
    """Another driver works in the results folder; the message names its process and host."""
