"""What a worker's process takes of its machine, told every few seconds with the outcomes of its tasks. Imports no torch."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

USE_SECONDS = 5.0
"""At most one report in this time, and one with the first outcome."""


@dataclass(frozen=True)
class Use:
    """A worker's memory in bytes: ``resident`` of its process; on its GPU ``gpu_allocated`` by tensors, ``gpu_reserved`` from the
    device, ``gpu_peak`` the most ever allocated, ``gpu_total`` what the device has. ``gpu_busy``: the share of the last moment in
    which the device computed, for anybody. None: there is no GPU in use here, or it is not known.
    """

    resident: int
    gpu_allocated: int | None = None
    gpu_reserved: int | None = None
    gpu_peak: int | None = None
    gpu_total: int | None = None
    gpu_busy: float | None = None


class UseMeter:
    """Says now and then what this process uses; one for each worker. ``clock``: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told = float("-inf")

    def due(self) -> Iterator[Use]:
        """What is used now, if that was not told for ``USE_SECONDS``."""
        if self._clock() - self._told >= USE_SECONDS:
            self._told = self._clock()
            yield use_now()


def use_now() -> Use:
    """What this process uses."""
    import psutil

    resident = int(psutil.Process().memory_info().rss)
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():  # to ask a GPU that nobody uses would take memory on it
        return Use(resident)
    return Use(
        resident,
        gpu_allocated=int(torch.cuda.memory_allocated()),
        gpu_reserved=int(torch.cuda.memory_reserved()),
        gpu_peak=int(torch.cuda.max_memory_allocated()),
        gpu_total=int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory),
        gpu_busy=_busy(torch),
    )


def _busy(torch: Any) -> float | None:
    """Known only where the bindings of NVIDIA's management library happen to be installed; a device may refuse to say it."""
    if importlib.util.find_spec("pynvml") is None:
        return None
    import pynvml  # type: ignore[import-not-found,unused-ignore]

    try:
        return float(torch.cuda.utilization()) / 100
    except (RuntimeError, OSError, pynvml.NVMLError):
        return None
