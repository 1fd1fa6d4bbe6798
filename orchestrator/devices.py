"""Device classes as the cost model sees them: what they reach in practice, not what the data sheet says."""

from __future__ import annotations

from dataclasses import dataclass

from actors.gpus import is_of
from actors.types import Resources

GIB = 1024**3


@dataclass(frozen=True)
class DeviceClass:
    """``memory_bytes`` per device (None: not known at planning); sustained ``flops`` (dense matrix products, per second), in a
    decode step ``decode_flops`` (None: the same); ``bandwidth`` (memory, bytes/s) and ``load_bandwidth`` (disk to device,
    bytes/s); ``load_seconds``: fixed cost of a load; ``block_seconds``: the least that one block takes in a decode step
    (launching its kernels)."""

    name: str
    memory_bytes: int | None
    flops: float
    bandwidth: float
    load_bandwidth: float
    load_seconds: float
    block_seconds: float = 0.0
    decode_flops: float | None = None


CPU = DeviceClass("2-core CPU", None, flops=60e9, bandwidth=10e9, load_bandwidth=0.2e9, load_seconds=3.0, decode_flops=40e9)
"""Two cores of a laptop: 50-70 GFLOP/s in large products, less in a decode loop (measured with the embedded model)."""


def _gpu(name: str, gib: float, peak_tflops: float, peak_gb: float) -> DeviceClass:
    """55 % of the peak 16-bit dense rate (a 32B model takes about 98 ms for 256 rows on an A100), 60 % of the peak bandwidth, a
    tenth of a millisecond to launch a block from a graph, 20 s to begin a load, check the model and record its graphs. These are
    taken from data sheets and experience, not measured by this project: ``refit`` replaces them by what a finished run shows."""
    return DeviceClass(
        name,
        int(gib * GIB),
        0.55 * peak_tflops * 1e12,
        0.6 * peak_gb * 1e9,
        load_bandwidth=1.0e9,
        load_seconds=20.0,
        block_seconds=1e-4,
    )


DEFAULT_GPU = "A100-80G"

ACCELERATORS = {
    "T4": _gpu("T4", 15, 65, 320),
    "V100": _gpu("V100", 31, 125, 900),
    "A10G": _gpu("A10G", 22, 70, 600),
    "L4": _gpu("L4", 22, 121, 300),
    "L40S": _gpu("L40S", 44, 362, 864),
    "A100": _gpu("A100", 79, 312, 2039),
    "A100-40G": _gpu("A100-40G", 39, 312, 1555),
    "A100-80G": _gpu("A100-80G", 79, 312, 2039),
    "H100": _gpu("H100", 79, 989, 3350),
    "H200": _gpu("H200", 139, 989, 4800),
    "B200": _gpu("B200", 178, 2250, 8000),
}
"""Ray's name of an accelerator type -> its class, by NVIDIA's data sheets; memory is what a process may use of it."""


CPU_NAME = "cpu"
"""How the CPU class is called beside Ray's names of accelerator types."""


def kind_of(resources: Resources) -> str:
    """The name of the class that a model's resources ask for: ``cpu`` without a GPU; where the type is left open ``DEFAULT_GPU``,
    or the smallest with the memory that is asked for."""
    if resources.gpus == 0 or resources.accelerator:
        return resources.accelerator or CPU_NAME
    enough = [name for name, one in ACCELERATORS.items() if is_of(one.memory_bytes or 0, resources.gpu_memory)]
    if DEFAULT_GPU in enough or not enough:
        return DEFAULT_GPU
    return min(enough, key=lambda name: ACCELERATORS[name].memory_bytes or 0)
