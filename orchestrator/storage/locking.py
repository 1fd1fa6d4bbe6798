"""One driver per results folder, held by ``flock``: the kernel drops the lock when its process ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.errors import Problem
from orchestrator.storage.errors import StorageError, StoreLockedError

__all__ = ["StoreLockedError", "exclusive"]

_LOG = logging.getLogger(__name__)
_UNSUPPORTED = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL}


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``; ``StoreLockedError`` at once when another process holds it, ``StorageError`` when the disk
    refuses it: full, read-only, somebody else's, or something that is no file lies under its name.

    What the file says of its holder is for people: only the kernel's lock counts, so words left by a killed driver do
    no harm. On a filesystem without ``flock`` it warns that nothing keeps a second driver out, and goes on.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _refused(path, error) from error
    try:
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.ENXIO, "it is a pipe or a device")
            _lock(handle, path)
            os.ftruncate(handle, 0)
            os.pwrite(handle, _holder().encode(), 0)
        except OSError as error:
            raise _refused(path, error) from error
        yield
        with suppress(OSError):  # the words are for people; what was done under the lock is done
            os.ftruncate(handle, 0)
    finally:
        with suppress(OSError):  # the handle is given up whatever a network filesystem says of it
            os.close(handle)


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError.of(error, f"lock the results folder ({path.name})", str(path.parent))


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreLockedError(Problem("results", None, _told(path, os.pread(handle, 4096, 0)))) from None
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _LOG.warning("%s: this filesystem has no locks (%s); make sure that no other driver runs here", path.parent, error)


def _holder() -> str:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started})


def _told(path: Path, content: bytes) -> str:
    try:
        holder = json.loads(content)
        who = f"process {holder['pid']} on {holder['host']}, since {holder['started']}"
    except (ValueError, KeyError, TypeError):
        who = "its process is not known"
    return f"another driver is working in {path.parent} ({who}): wait until it ends, `resume` it if it is paused, or `cancel` it"
