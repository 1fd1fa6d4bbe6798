"""What of a device belongs to the provenance of a number, and the settings under which it multiplies."""

from __future__ import annotations

import torch

from actors.gpus import driver_cuda, driver_version


def full_precision() -> None:
    """No product may round more than its dtype does: sums of half-precision products stay in float32, float32 is never TF32."""
    products = torch.backends.cuda.matmul
    products.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    products.allow_bf16_reduced_precision_reduction = products.allow_fp16_reduced_precision_reduction = False


def device_record(device: torch.device) -> dict[str, str]:
    """Name, memory and software of ``device``; of a GPU also the settings as they are now. Plain strings."""
    if device.type != "cuda":
        return {"device": f"cpu ({torch.backends.cpu.get_cpu_capability()})"}
    products, held = torch.backends.cuda.matmul, torch.cuda.get_device_properties(device)
    allowed = {
        "bf16 sums": products.allow_bf16_reduced_precision_reduction,
        "fp16 sums": products.allow_fp16_reduced_precision_reduction,
        "tf32": products.allow_tf32 or torch.backends.cudnn.allow_tf32,
    }
    return {
        "device": str(held.name),
        "device_memory_mib": str(held.total_memory // 2**20),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
        "driver": f"{driver_version() or '(unknown)'} (CUDA {driver_cuda() or '(unknown)'})",
        "reduced_precision": ", ".join(f"{name} {'on' if on else 'off'}" for name, on in allowed.items()),
    }


def reserved_memory(device: torch.device) -> dict[str, str]:
    """The most that torch has taken of a GPU since the model was loaded, its cache included; nothing on a CPU."""
    if device.type != "cuda":
        return {}
    return {"reserved_memory_mib": str(torch.cuda.max_memory_reserved(device) // 2**20)}
