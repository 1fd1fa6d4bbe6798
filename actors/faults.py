"""Whose fault an error is: memory's, the device's, the machine's, or the work's own. The one place that knows the words of CUDA,
of its libraries and of the allocators. Imports no torch: its exceptions are known by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """Of an error, what to do about it follows from this alone."""

    MEMORY = "memory"
    """There was too little: less at once may do, and so may another attempt."""
    DEVICE = "device"
    """The context of the device is dead: whatever this process asks of it from now on fails. The process must end."""
    MACHINE = "machine"
    """Of a driver, a disk, a package, the network, as far as its class tells: another machine may do better."""
    WORK = "work"
    """The model's, the job's, or a mistake of ours."""


@dataclass(frozen=True)
class _Rule:
    """Errors of the classes named ``classes``, or derived from them, whose text has ``text`` (a pattern, in lower case)."""

    fault: Fault
    classes: frozenset[str]
    text: str = ""

    def holds(self, error: BaseException) -> bool:
        """Whether it is about ``error`` itself, whatever that was raised from."""
        names = {one.__name__ for one in type(error).__mro__}
        return not names.isdisjoint(self.classes) and re.search(self.text, _HINTS.sub("", str(error).casefold())) is not None


_SPOKEN = frozenset({"RuntimeError", "OSError", "ImportError"})
"""Classes of which the text says what happened. Of others it may be somebody's prompt or template."""
_ACCELERATOR = frozenset({"AcceleratorError"})

_HINTS = re.compile("^(search for|cuda kernel errors|for debugging|compile with).*", re.MULTILINE)
"""Lines that torch adds to every error of CUDA; one of them speaks of device-side assertions."""

_NO_MEMORY = (
    "out of memory|cudaerrormemoryallocation|_status_alloc_failed|_allocation_failed"
    "|cublas_status_not_initialized"  # what cuBLAS says when a full device has no room for its handle
    "|(can't|cannot|unable to) allocate|failed to map segment|not enough memory"
)
_NOT_FOR_GOOD = (
    "captur"  # the recording of a graph failed: the stream goes on
    "|no kernel image|invalid device|invalid argument|invalid configuration|invalid resource handle|too many resources requested"
    "|driver version|no cuda-capable device|busy or unavailable|not supported|not yet initialized|initialization error"
)
"""What CUDA refuses before anything has run; the context lives on."""
_DEAD = (
    "illegal memory access|illegal instruction|illegal address|device-side assert|unspecified launch failure|misaligned address"
    "|invalid program counter|hardware stack error|launch timed out|uncorrectable|\\becc error|\\bxid\\b|context is destroyed"
    "|fallen off the bus|(cublas|cudnn|cusolver|cusparse|cufft|curand)_status_(execution_failed|internal_error|mapping_error)"
    "|ncclunhandledcudaerror|unhandled cuda error"
    "|captures_underway"  # a capture that failed was never ended for the allocator, which gives no memory back from then on
)

RULES = (
    _Rule(Fault.MEMORY, frozenset({"MemoryError", "OutOfMemoryError"})),
    _Rule(Fault.MEMORY, _SPOKEN, _NO_MEMORY),
    _Rule(Fault.DEVICE, _SPOKEN, _DEAD),
    _Rule(Fault.MACHINE, _ACCELERATOR, _NOT_FOR_GOOD),
    _Rule(Fault.DEVICE, _ACCELERATOR),
    _Rule(Fault.MACHINE, _SPOKEN),
)
"""The first that holds decides."""


def fault_of(error: BaseException) -> Fault:
    """Whose fault ``error`` is; one that was raised from another has that one's fault, where it has none of its own."""
    for one in _chain(error):
        for rule in RULES:
            if rule.holds(one):
                return rule.fault
    return Fault.WORK


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the same with less at once may do."""
    return fault_of(error) is Fault.MEMORY


def says_nothing_of_the_work(error: BaseException) -> bool:
    """Whether memory or the device ended it, so that nobody may take it for a verdict on the model."""
    return fault_of(error) in (Fault.MEMORY, Fault.DEVICE)


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
