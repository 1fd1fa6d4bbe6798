"""Run as a program: kills a writer before and after each of its system calls, and says what a reader then finds.

``python -m tests.orchestrator.storage.kill_steps FOLDER WRITE EVERY`` kills at every EVERY-th stop and prints a JSON object:
``stops``, the found states in the order of the stops (``old`` content, or ``new``), and ``problems`` in words. The writer is a
forked child under ptrace: it stops at the entry and at the exit of every system call, and at its n-th stop it gets SIGKILL.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from orchestrator.results.folder_files import ENDINGS
from orchestrator.results.store import Store, UnreadableFileError
from tests.orchestrator.storage.writes import WRITES, Write, prepare, seen

PTRACE_TRACEME, PTRACE_SYSCALL, PTRACE_SETOPTIONS = 0, 24, 0x4200
EXITKILL_AND_SYSGOOD = 0x100000 | 1
MOST_STOPS = 20_000

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_LIBC.ptrace.restype = ctypes.c_long


def killed_at(stop: int, do: Callable[[], object]) -> bool:
    """Do it in a child that is killed at its ``stop``-th stop; False when it ended before."""
    child = os.fork()
    if child == 0:
        _LIBC.ptrace(PTRACE_TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        do()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status) or _LIBC.ptrace(PTRACE_SETOPTIONS, child, None, EXITKILL_AND_SYSGOOD):
        raise OSError("ptrace is not permitted")
    passed, delivered = 0, 0
    while passed < stop:
        _LIBC.ptrace(PTRACE_SYSCALL, child, None, delivered)
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            if status:
                raise RuntimeError(f"the writer failed by itself: {status}")
            return False
        is_call = os.WSTOPSIG(status) == signal.SIGTRAP | 0x80
        passed += is_call
        delivered = 0 if is_call else os.WSTOPSIG(status)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def found_after(write: Write, root: Path, old: object, new: object) -> tuple[str, list[str]]:
    """``old``, ``new`` or ``mixed``, and what is wrong in the folder of a killed writer."""
    problems = []
    try:
        found = seen(write, root)
        state = "old" if found == old else "new" if found == new else "mixed"
    except (UnreadableFileError, FileNotFoundError) as error:
        state, problems = "partial", [f"a reader found {error}"]
    if (root / "quarantine").exists():
        problems.append("something was moved to quarantine")
    store = Store(root)
    with store.lock():
        left = [str(path) for folder in (root, *(root / kind for kind in ENDINGS)) for path in folder.glob(".*.tmp")]
        if left:
            problems.append(f"left: {left}")
        if state == "old" or write is WRITES["tables"]:
            write.do(store)
    if seen(write, root) != new:
        problems.append("doing it again does not complete it")
    return state, problems


def main(folder: Path, name: str, every: int) -> dict[str, object]:
    """The report on one write."""
    write, base, whole = WRITES[name], folder / "base", folder / "whole"
    prepare(base, name)
    old = seen(write, base)
    shutil.copytree(base, whole)
    write.do(Store(whole))
    new = seen(write, whole)
    stops: list[str] = []
    problems: list[str] = []
    root = folder / "root"
    for stop in range(1, MOST_STOPS, every):
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(base, root)
        if not killed_at(stop, lambda: write.do(Store(root))):
            break
        state, wrong = found_after(write, root, old, new)
        stops.append(state)
        problems += [f"stop {stop}: {one}" for one in wrong]
    return {"stops": stops, "problems": problems, "changed": old != new}


if __name__ == "__main__":
    try:
        print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
    except OSError as error:
        sys.exit(f"OSError: {error}")
