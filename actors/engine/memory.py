"""How many slots fit: from the memory that is free now, measured, not guessed."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Any

import psutil
import torch

CPU_SHARE = 0.4
CUDA_SHARE = 0.85
"""Part of the free memory that slots may take; the rest is for a forward's own activations and for others."""
MAX_SLOTS = {"cpu": 256, "cuda": 1024}
"""More rows at once hardly raise the speed any more, but every cell then ends late and all end together."""
SLOT_STEP = 16
"""Slot counts are multiples of this."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Options of mallopt(3); 32 MiB is the highest that glibc takes for the second."""


def free_bytes(device: torch.device) -> int:
    """Free memory of the device in bytes."""
    if device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
        return int(free)
    return int(psutil.virtual_memory().available)


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
    if token_bytes is None:
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        token_bytes = 2 * text.num_hidden_layers * heads * width * itemsize
    edits = text.num_hidden_layers * text.hidden_size * itemsize
    return int(token_bytes * (capacity + 1) + edits + 2 * text.vocab_size * 4)


def slots_that_fit(config: Any, capacity: int, dtype: torch.dtype, device: torch.device, token_bytes: int | None = None) -> int:
    """The largest allowed slot count that fits in the free memory, at least one step."""
    share = CUDA_SHARE if device.type == "cuda" else CPU_SHARE
    fitting = int(free_bytes(device) * share) // slot_bytes(config, capacity, dtype.itemsize, token_bytes)
    return max(SLOT_STEP, min(MAX_SLOTS.get(device.type, 64), fitting // SLOT_STEP * SLOT_STEP))
