"""What libraries are told by environment variables, which they read once: PyTorch's when they are loaded or first used, the C
library when a process starts."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

COMPILED_PRODUCTS = 256
"""Products that oneDNN, and PyTorch's layer above it, keep compiled, one for each number of rows: half a MiB each, whatever the
model. Their default is 1,024, which a worker fills in the course of hours; one that is compiled again takes a thousandth of a
second."""
SETTINGS = {
    "OMP_WAIT_POLICY": "passive",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": str(COMPILED_PRODUCTS),
    "LRU_CACHE_CAPACITY": str(COMPILED_PRODUCTS),
}
"""By variable. A thread that waits sleeps, as it may not be alone on its core."""

AT_START = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1"}
"""By variable, for processes that hold a model. Memory is asked of Linux in pages of 2 MiB, which some systems give unasked
(``/sys/kernel/mm/transparent_hugepage/enabled``): every token reads all weights, and of pages of 4 KiB a processor knows too few
at a time where they lie. And all threads share one arena, of which :func:`actors.engine.memory.keep_freed_memory` keeps what is
freed: threads' own would go back to Linux, which gives and clears the same pages again and again."""


def set_up_libraries() -> None:
    """Before torch is imported. What is set already stays as it is."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def start_again() -> None:
    """Have this process start its program again, as it was asked to, with what is read only then; once, and on Linux. Where that
    cannot be it goes on: what would have been told is a matter of speed."""
    if sys.platform == "linux" and sys.executable and AT_START.keys() - os.environ.keys():
        with suppress(OSError):
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**AT_START, **os.environ})
