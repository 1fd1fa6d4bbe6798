"""Device classes as the cost model sees them: what they reach in practice, not what the data sheet says."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3


@dataclass(frozen=True)
class DeviceClass:
    """``memory_bytes`` per device (None: not known at planning); sustained ``flops`` (dense matrix products, per second),
    ``bandwidth`` (memory, bytes/s) and ``load_bandwidth`` (disk to device, bytes/s); ``load_seconds``: fixed cost of a load."""

    name: str
    memory_bytes: int | None
    flops: float
    bandwidth: float
    load_bandwidth: float
    load_seconds: float


CPU = DeviceClass("2-core CPU", None, flops=20e9, bandwidth=10e9, load_bandwidth=0.2e9, load_seconds=3.0)
"""The 2-core laptop of STACK.md section 10: 50-70 GFLOP/s in large products, about a third of it in a decode loop."""


def _gpu(name: str, gib: float, peak_tflops: float, peak_gb: float) -> DeviceClass:
    """40 % of the peak 16-bit dense rate and 60 % of the peak bandwidth: usual for transformers without fused kernels."""
    return DeviceClass(
        name, int(gib * GIB), 0.4 * peak_tflops * 1e12, 0.6 * peak_gb * 1e9, load_bandwidth=1.0e9, load_seconds=15.0
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


def device_of(gpus: float, accelerator: str | None) -> DeviceClass:
    """The class that a model's resources ask for: the CPU without a GPU, ``DEFAULT_GPU`` when the type is left open."""
    return CPU if gpus == 0 else ACCELERATORS[accelerator or DEFAULT_GPU]
