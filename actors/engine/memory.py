"""How many slots fit: from the memory that is free now, measured, not guessed."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Any

import psutil
import torch

CPU_SHARE = 0.4
CUDA_SHARE = 0.9
"""Part of the free memory that may be planned with; the rest is for what an allocator cannot use and for others."""
SHARED_PREFIX_SHARE = 0.1
"""Part of the free memory that shared prefixes may take (``actors.engine.shared_prefixes``)."""
MAX_SLOTS = {"cpu": 256, "cuda": 512}
"""More rows at once hardly raise the speed any more, but every cell then ends late and all end together: from some 300 rows on
the products of an H100 take longer than reading the weights, from 160 on those of an A100."""
SLOT_STEP = 16
"""The smallest batch of slots; a batch of fixed shape has this many times a power of two (see :func:`rung_up`)."""
TOKENS_PER_FORWARD = 4096
"""Padded tokens per forward of prefill, cached ones included: bounds its memory."""
FIXED_PREFILL_ROWS = 16
"""Rows of a prefill forward where its shape must not change, unless they would have more than ``TOKENS_PER_FORWARD`` tokens."""
ACTIVATIONS = 8
"""Tensors of the residual stream's width that are alive at once in a forward."""
GATES = 3
"""Those of the feed-forward's width."""
SCORES = 4
"""Float32 numbers per query and key: the product, scaled, masked, as weights."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Options of mallopt(3); 32 MiB is the highest that glibc takes for the second."""


def free_bytes(device: torch.device) -> int:
    """Memory of the device in bytes that this process may still use.

    On CUDA what PyTorch's allocator has reserved and does not use counts as free: it is given out first. Not so what the pool of
    a recorded graph has: nothing but the graph itself may use it. A process that may use a fraction of the card
    (:func:`take_share`) has no more than that.
    """
    if device.type == "cuda":
        unused, total = torch.cuda.mem_get_info(device)
        reserved, allocated = torch.cuda.memory_reserved(device), torch.cuda.memory_allocated(device)
        own = int(torch.cuda.get_per_process_memory_fraction(device) * total)
        return max(0, min(unused + reserved, own) - allocated - _pools(device)[1])
    return int(psutil.virtual_memory().available)


def recorded_bytes(device: torch.device) -> int:
    """Memory of the device in bytes that the pools of recorded graphs have reserved: it is free once the graphs are dropped."""
    return _pools(device)[0] if device.type == "cuda" else 0


def _pools(device: torch.device) -> tuple[int, int]:
    """Bytes of the device that pools other than the allocator's own have reserved, and those of them that hold no tensor."""
    number = torch.cuda.current_device() if device.index is None else device.index
    every: list[dict[str, Any]] = torch.cuda.memory_snapshot()  # type: ignore[no-untyped-call]
    segments = [one for one in every if one["device"] == number and any(one["segment_pool_id"])]
    reserved = sum(one["total_size"] for one in segments)
    return reserved, reserved - sum(one["allocated_size"] for one in segments)


def take_share(share: float) -> None:
    """From now on this process uses at most this part (0 to 1) of its CUDA device's memory: several workers share one."""
    torch.cuda.set_per_process_memory_fraction(share)


def keep_freed_memory() -> bool:
    """Let the C library keep memory that is freed for the next step, where it can be told to (glibc); False elsewhere.

    By default it gives every large tensor back to the system, and each step then faults its pages in anew: measured, 4 % of
    decoding, most of it for the logits. The process keeps its largest extent instead.
    """
    mallopt = _of_c_library("mallopt")
    if mallopt is None:
        return False
    return all(mallopt(option, value) == 1 for option, value in ((_MMAP_THRESHOLD, 32 * 2**20), (_TRIM_THRESHOLD, 2**31 - 1)))


def return_freed_memory() -> None:
    """Give what the C library has kept back to the system, where it can be told to (glibc): the next model needs other sizes."""
    trim = _of_c_library("malloc_trim")
    if trim is not None:
        trim(0)


def _of_c_library(name: str) -> Any:
    """A function of the C library; None where there is none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def peak_bytes(device: torch.device) -> int:
    """The most memory this process has held: on the device for CUDA, resident for the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def slot_bytes(config: Any, capacity: int, itemsize: int, token_bytes: int | None = None) -> int:
    """Bytes that one slot of ``capacity`` tokens takes: keys and values of all blocks, its edits, and its logits in float32.

    ``token_bytes``: what the keys and values of a token were seen to take; None: what the config lets expect.
    """
    text = config.get_text_config(decoder=True)
    edits = text.num_hidden_layers * text.hidden_size * itemsize
    return int((token_bytes or _token_bytes(text, itemsize)) * (capacity + 1) + edits + 2 * text.vocab_size * 4)


def prefill_bytes(config: Any, capacity: int, itemsize: int, token_bytes: int | None = None) -> int:
    """Bytes that a forward of prefill of prompts of up to ``capacity`` tokens takes at most, where its shape is fixed: keys and
    values, what is captured at every block, activations, attention's scores, logits."""
    text = config.get_text_config(decoder=True)
    rows = prefill_rows(capacity, fixed=True)
    gate: Any = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    gate = max(gate) if isinstance(gate, list) else gate  # one per block
    widths = (text.num_hidden_layers + ACTIVATIONS) * text.hidden_size + GATES * gate
    scores = SCORES * 4 * max(heads for heads, _, _ in heads_of(text)) * capacity
    per_token = (token_bytes or _token_bytes(text, itemsize)) + widths * itemsize + scores
    return int(rows * (capacity * per_token + 2 * text.vocab_size * 4))


def heads_of(text: Any) -> list[tuple[int, int, int]]:
    """Of each block: heads of queries, those of keys and values, and the width of a head, as the configuration lets expect; 0
    where it does not say a number."""
    found = []
    for block in range(text.num_hidden_layers):
        heads, groups, width, hidden = (
            value if isinstance(value := getattr(_config_of(text, block), name, None), int) else 0
            for name in ("num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size")
        )
        found.append((heads, groups or heads, width or (hidden // heads if heads else 0)))
    return found


def _config_of(text: Any, block: int) -> Any:
    """The configuration of one block: where blocks differ transformers has one for each, and refuses to read what differs from
    that of the whole."""
    return text.per_layer_config[block] if getattr(text, "per_layer_config", None) else text


def _token_bytes(text: Any, itemsize: int) -> int:
    """Bytes of a token's keys and values in all blocks."""
    return sum(2 * groups * width * itemsize for _, groups, width in heads_of(text))


def prefill_rows(tokens: int, *, fixed: bool) -> int:
    """Rows of a prefill forward of ``tokens`` each, cached ones included. It follows from ``tokens`` alone, so where the shape is
    ``fixed`` a row's forward is always of one shape."""
    most = max(1, TOKENS_PER_FORWARD // tokens)
    return min(FIXED_PREFILL_ROWS, most) if fixed else most


def slots_that_fit(
    config: Any, capacity: int, dtype: torch.dtype, device: torch.device, token_bytes: int | None = None, kept: int = 0
) -> int:
    """How many slots fit in the free memory, at least one step: on CUDA one of the ladder's counts, beside shared prefixes and
    the largest forward of prefill; elsewhere a multiple of the step. ``kept``: bytes that would be given up for them."""
    free, one = free_bytes(device) + kept, slot_bytes(config, capacity, dtype.itemsize, token_bytes)
    most = MAX_SLOTS.get(device.type, 64)
    if device.type != "cuda":
        return max(SLOT_STEP, min(most, int(free * CPU_SHARE) // one // SLOT_STEP * SLOT_STEP))
    beside = int(free * SHARED_PREFIX_SHARE) + prefill_bytes(config, capacity, dtype.itemsize, token_bytes)
    return min(most, rung_down((int(free * CUDA_SHARE) - beside) // one))


def rung_up(rows: int) -> int:
    """The smallest number of slots of the ladder (16, 32, 64 and so on) that seats ``rows``."""
    return SLOT_STEP * 2 ** max(0, (-(-rows // SLOT_STEP) - 1).bit_length())


def rung_down(slots: int) -> int:
    """The largest number of slots of the ladder that is no more than ``slots``; the smallest where there is none."""
    return SLOT_STEP * 2 ** max(0, (max(0, slots) // SLOT_STEP).bit_length() - 1)
