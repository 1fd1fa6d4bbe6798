"""The machine in general words, and how many of its cores others keep busy while we measure."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

PACKAGES = ("torch", "transformers", "numpy")
SPINNING = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    for _ in range(1_000_000):\n        pass"
"""A process that computes until it, or who started it, is ended."""
WIDTH = 1024
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_BUSY: set[int] = set()
"""Children that count as other processes."""


@contextmanager
def one_core_busy() -> Iterator[None]:
    """In the ``with`` block another process computes all the while: in a session of its own, as another user's would, and on
    whichever core the system gives it."""
    process = subprocess.Popen([sys.executable, "-c", SPINNING, str(os.getpid())], start_new_session=True)
    _BUSY.add(process.pid)
    try:
        yield
    finally:
        process.kill()
        process.wait()
        _BUSY.discard(process.pid)


def describe() -> dict[str, str]:
    """What a reader needs to place the figures; no host name, no path."""
    memory = psutil.virtual_memory().total / 2**30
    return {
        "cores": str(psutil.cpu_count() or 0),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "memory_gib": f"{memory:.0f}",
        "threads": str(torch.get_num_threads()),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "unset"),
        "malloc": os.environ.get("GLIBC_TUNABLES", "unset"),
        "large_pages": LARGE_PAGES.read_text().strip() if LARGE_PAGES.exists() else "unknown",
        "date": time.strftime("%Y-%m-%d"),
        **{package: _version(package) for package in PACKAGES},
    }


@dataclass(frozen=True)
class CpuClock:
    """CPU seconds used so far: by the whole machine (stolen time included), and by this process and its children."""

    wall: float
    everyone: float
    ours: float

    @classmethod
    def now(cls) -> CpuClock:
        """Read the clock."""
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # On Linux guest time is counted in user time already.
        everyone = sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        return cls(time.perf_counter(), round(everyone, 6), _own_cpu_seconds())  # rounded: the sum of the parts wavers

    def others_since(self, before: CpuClock) -> float:
        """Cores that other processes kept busy since ``before`` (the machine counts in hundredths of a second)."""
        wall = max(self.wall - before.wall, 1e-9)
        return max(0.0, (self.everyone - before.everyone) - (self.ours - before.ours)) / wall


def product_rate(seconds: float = 0.3) -> float:
    """GFLOP/s of float32 products of ``WIDTH`` rows and columns on all threads, for about so many seconds: what the cores give at
    the moment. A virtual machine's cores slow down with its neighbours, which no clock of its own shows."""
    left, right = torch.ones(WIDTH, WIDTH), torch.ones(WIDTH, WIDTH)
    product = left @ right  # the first one starts the threads
    began, done = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < seconds or not done:
        torch.mm(left, right, out=product)
        done += 1
    return 2 * WIDTH**3 * done / took / 1e9


def _own_cpu_seconds() -> float:
    """This process in nanoseconds' steps, its children as the system counts them."""
    me = psutil.Process()
    total = time.process_time()
    for process in me.children(recursive=True):
        if process.pid in _BUSY:
            continue
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system
    ended = me.cpu_times()
    return float(total + ended.children_user + ended.children_system)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
