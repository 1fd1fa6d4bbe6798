"""Whose fault an error is, by the words that torch 2.13, CUDA's libraries and the allocators use. Each text is one of theirs."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest
import torch

from actors.boundary import as_failure
from actors.errors import JobError, ModelLoadError
from actors.faults import Fault, fault_of, is_out_of_memory

HINTS = """
Search for `cudaError' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more information.
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""
ALLOC = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"

MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.25 GiB of which"),
    torch.AcceleratorError(f"CUDA error: out of memory{HINTS}"),
    RuntimeError(f"CUDA error: out of memory{HINTS}"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError(ALLOC),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("cudaErrorMemoryAllocation: an allocation failed"),
    RuntimeError("Triton Error [CUDA]: out of memory"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
    ),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."
    ),
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    ImportError("libtorch_cuda.so: failed to map segment from shared object"),
]
DEVICE = [
    torch.AcceleratorError(f"CUDA error: an illegal memory access was encountered{HINTS}"),
    torch.AcceleratorError(f"CUDA error: device-side assert triggered{HINTS}"),
    torch.AcceleratorError(f"CUDA error: unspecified launch failure{HINTS}"),
    torch.AcceleratorError(f"CUDA error: uncorrectable ECC error encountered{HINTS}"),
    torch.AcceleratorError(f"CUDA error: misaligned address{HINTS}"),
    torch.AcceleratorError(f"CUDA error: unknown error{HINTS}"),
    torch.AcceleratorError("CUDA error: an error that a later driver has"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, opa, opb, m, n, k)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasLtMatmul( ltHandle )`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
    RuntimeError("CUDA driver error: unspecified launch failure"),
    RuntimeError('captures_underway.empty() INTERNAL ASSERT FAILED at "/pytorch/c10/cuda/CUDACachingAllocator.cpp":3089'),
]
OF_A_MACHINE = [
    torch.AcceleratorError(f"CUDA error: no kernel image is available for execution on the device{HINTS}"),
    torch.AcceleratorError(f"CUDA error: invalid device ordinal{HINTS}"),
    torch.AcceleratorError(f"CUDA error: operation not permitted when stream is capturing{HINTS}"),
    torch.AcceleratorError(f"CUDA error: operation failed due to a previous error during capture{HINTS}"),
    torch.AcceleratorError(f"CUDA error: CUDA driver version is insufficient for CUDA runtime version{HINTS}"),
    RuntimeError("Found no NVIDIA driver on your system."),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx`"),
    OSError(errno.ENOSPC, "No space left on device"),
    ImportError("bitsandbytes"),
]
OF_THE_WORK = [
    ValueError("the template says: CUDA out of memory"),
    KeyError("CUBLAS_STATUS_ALLOC_FAILED"),
    JobError("prompt 'CUDA error: an illegal memory access was encountered' has 9 tokens"),
    ZeroDivisionError(),
]
ALL: dict[Fault, Sequence[Exception]] = {
    Fault.MEMORY: MEMORY,
    Fault.DEVICE: DEVICE,
    Fault.MACHINE: OF_A_MACHINE,
    Fault.WORK: OF_THE_WORK,
}


def by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(("fault", "error"), [(fault, error) for fault, errors in ALL.items() for error in errors], ids=str)
def test_every_known_text_has_its_fault(fault: Fault, error: Exception) -> None:
    assert fault_of(error) is fault
    assert fault_of(by(ModelLoadError("cannot load 'a'"), error)) is fault, "what it was raised from decides"


def test_the_allocator_of_this_machine_says_so_too() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_the_kind_of_a_failure_follows() -> None:
    loading = [
        as_failure("v", by(ModelLoadError("cannot load"), error)) for error in (MEMORY[0], OF_A_MACHINE[0], OF_THE_WORK[0])
    ]
    assert [(one.kind, one.retryable) for one in loading] == [
        ("out_of_memory", True),
        ("model_load_here", False),
        ("model_load", False),
    ]
    assert {(one.kind, one.retryable) for one in (as_failure("c", error) for error in MEMORY)} == {("out_of_memory", True)}
