"""Single operations: do a row's bits depend on its place or on the number of rows, are attention's scores accurate, does a
failed recording leave the stream as it was."""

from __future__ import annotations

import os
import statistics
import time

import torch
import transformers
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from actors.device_record import device_record
from actors.engine.attention import slot_attention
from actors.engine.graphs import CudaStepGraph, recorded
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.machine import Body, Machine

CUBE = 8192
LOW = (torch.bfloat16, torch.float16)
QWEN_7B_PRODUCTS = ((3584, 3584), (512, 3584), (18944, 3584), (3584, 18944), (152064, 3584))
"""(out, in) of every dense layer of Qwen2.5-7B."""
ROWS = (16, 32, 64, 128, 256, 512, 1024)
VARIABLES = ("CUBLAS_WORKSPACE_CONFIG", "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "NVIDIA_TF32_OVERRIDE")
WORST_ERROR = 2.0
"""Times PyTorch's own attention's error, against float64."""


def cube_tflops(device: torch.device, dtype: torch.dtype = torch.bfloat16, size: int = CUBE, repeats: int = 20) -> float:
    """TFLOP/s of square products, the median of a few."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    machine = Machine(device, quick=False)
    seconds = []
    for _ in range(repeats):
        machine.wait()
        started = time.perf_counter()
        torch.mm(left, right)
        machine.wait()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(seconds) / 1e12


def environment(machine: Machine, found: Findings) -> None:
    """Versions, the card, and the settings that change a product's bits."""
    record = device_record(machine.device)
    if machine.cuda:
        record["free_mib"] = str(torch.cuda.mem_get_info(machine.device)[0] // 2**20)
    words = ", ".join(f"{name} {value}" for name, value in record.items())
    found.tell("machine", f"{words}, torch {torch.__version__}, transformers {transformers.__version__}")
    found.tell("environment", **{name: os.environ.get(name, "unset") for name in VARIABLES})


def products(machine: Machine, found: Findings) -> None:
    """A row's bits must not depend on its place; at how many rows they change is told."""
    for out, width in QWEN_7B_PRODUCTS if machine.full else ((64, 64),):
        for dtype in LOW:
            weight = torch.randn(out, width, device=machine.device, dtype=dtype) * 0.02
            inputs = torch.randn(ROWS[-1], width, device=machine.device, dtype=dtype)
            whole = linear(inputs, weight)
            moved, changed = [], []
            for rows in ROWS:
                part = linear(inputs[:rows], weight)
                order = torch.randperm(rows, device=machine.device)
                moved += [] if torch.equal(linear(inputs[:rows][order], weight), part[order]) else [rows]
                changed += [] if torch.equal(part[: ROWS[0]], whole[: ROWS[0]]) else [rows]
            text = f"place matters at {moved or 'no size'}; bits differ from those of {ROWS[-1]} rows at {changed or 'no size'}"
            found.check(f"product {width} -> {out} {_name(dtype)}", not moved, text)


def attention(machine: Machine, found: Findings) -> None:
    """A row's bits in the engine's attention must not depend on its place."""
    rows, heads, groups = (256, 28, 4) if machine.full else (32, 8, 2)
    for length in (96, 160, 192):
        query = torch.randn(rows, heads, 1, 128, device=machine.device, dtype=torch.bfloat16)
        key, value = (torch.randn(rows, groups, length, 128, device=machine.device, dtype=torch.bfloat16) for _ in range(2))
        mask = torch.zeros(rows, 1, 1, length, device=machine.device)
        order = torch.randperm(rows, device=machine.device)
        here = _attend(query, key, value, mask)
        there = _attend(query[order], key[order], value[order], mask)
        moved = int((there != here[order]).flatten(1).any(dim=1).sum())
        found.check(f"attention, {length} keys", not moved, f"of {rows} rows have other bits in another place", rows=moved)


def large_scores(machine: Machine, found: Findings) -> None:
    """Keys with large biases (Qwen2): finite in float16, and as near to float64 as PyTorch's own attention."""
    for dtype in LOW:
        for bias in (0.0, 10.0, 30.0, 80.0):
            query = (torch.randn(8, 28, 1, 128, device=machine.device) + bias).to(dtype)
            key = (torch.randn(8, 4, 64, 128, device=machine.device) + bias).to(dtype)
            value = torch.randn(8, 4, 64, 128, device=machine.device).to(dtype)
            exact = _fused(query.double(), key.double(), value.double())
            mask = torch.zeros(8, 1, 1, 64, device=machine.device)
            theirs, ours = _error(_fused(query, key, value), exact), _error(_attend(query, key, value, mask), exact)
            # A sum in float32 errs by as much as its terms are large, and each product adds them in an order of its own.
            rounded = torch.finfo(torch.float32).eps * float(query.double().norm(dim=-1).max() * key.double().norm(dim=-1).max())
            held = ours <= WORST_ERROR * theirs + rounded * 128**-0.5
            text = (
                f"relative error to float64, at most {WORST_ERROR:g} times PyTorch's own attention's and float32's of the scores"
            )
            name = f"scores with bias {bias:g} {_name(dtype)}"
            found.check(name, held, text, pytorch=f"{theirs:.1e}", engine=f"{ours:.1e}")


def failed_recording(machine: Machine, found: Findings) -> None:
    """A step that cannot be recorded: decoding stays eager, the thread is on its stream, and the next recording works."""
    if not machine.cuda:
        found.tell("failed recording", "not looked at: needs CUDA")
        return
    counter = torch.zeros(4, device=machine.device)
    before = torch.cuda.current_stream()

    def reads_on_the_host() -> None:
        counter.add_(1)
        float(counter.sum())

    def waits_for_the_device() -> None:
        counter.add_(1)
        torch.cuda.synchronize()  # not seen before the capture, which it ends

    for step in (reads_on_the_host, waits_for_the_device):
        outcome = recorded(step, [counter], lambda: [counter], CudaStepGraph)
        found.check(f"a step that {step.__name__.replace('_', ' ')} stays eager", outcome.replay is None, outcome.mode)
        found.check(f"the stream after a step that {step.__name__.replace('_', ' ')}", torch.cuda.current_stream() == before)
        torch.cuda.empty_cache()  # raises where the allocator believes that the capture goes on
        torch.randn(4, device=machine.device)  # likewise the generator

    def plain() -> None:
        counter.add_(1)

    again = recorded(plain, [counter], lambda: [counter], CudaStepGraph)
    found.check("a step after those that failed is recorded", again.replay is not None, again.mode)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    return slot_attention(nn.Identity(), query, key, value, mask, scaling=query.shape[-1] ** -0.5)[0].transpose(1, 2)


def _fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    keys, values = (one.repeat_interleave(groups, dim=1) for one in (key, value))
    return scaled_dot_product_attention(query, keys, values)


def _error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


PARTS: dict[str, Body] = {"machine": environment, "products": products, "attention": attention, "scores": large_scores}
"""The checks of this module by their names on the command line."""
LAST: dict[str, Body] = {"recording": failed_recording}
"""What comes after all others: a capture that fails may leave torch unable to go on."""
