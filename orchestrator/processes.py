"""Processes that help the program with what takes many seconds of a processor: reading a large folder, drawing its figures."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait

MOST_PROCESSES = 4
PROGRAM = "orchestrator.__main__"


def useful_processes() -> int:
    """How many processes may help. Only the program itself can start some: each begins by importing what started it, and a script
    of somebody's own would run once more."""
    main = sys.modules["__main__"]
    named = getattr(getattr(main, "__spec__", None), "name", "")
    return min(os.cpu_count() or 1, MOST_PROCESSES) if named == PROGRAM or not hasattr(main, "__file__") else 1


@contextmanager
def helpers(count: int, begin: Callable[[], object] | None = None) -> Iterator[ProcessPoolExecutor]:
    """``count`` processes, each of which begins with ``begin``. What is not begun when the body ends is left."""
    spawned = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=spawned, initializer=_begin, initargs=(begin,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(begin: Callable[[], object] | None) -> None:
    """It ends with the process that started it, which alone heeds Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # it makes many objects, and hardly any in circles
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
