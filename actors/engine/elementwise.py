"""Activation functions whose bits do not depend on how many elements there are, on any number of threads.

PyTorch computes the elements of a tensor in one part per thread, and what is left at the end of each part, less than two vector
registers, by another formula than the rest. So where the parts end decides the last bit of some elements, and with it the number
of rows: seen for SiLU, sigmoid and GELU by tanh, at widths that fill no registers on one thread too. Here parts end where
registers do, and the last one is filled up. What is laid out with gaps is copied first: GELU by erf has two formulas, by layout,
and a single row has no gaps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers.activations import ACT2CLS

PART = 32_768
"""The fewest elements that PyTorch gives a thread (``at::internal::GRAIN_SIZE``), but of GELU."""
SERIAL = 16_384
"""So many elements are computed by one thread, of GELU too; of more than that each thread takes its share of GELU."""
REGISTERS = 64
"""Elements of two registers of the widest kind (AVX-512, bfloat16)."""
KINDS = frozenset(kind[0] if isinstance(kind, tuple) else kind for kind in ACT2CLS.values())


class Elementwise:
    """A function of each element by itself, in parts that end where the registers do."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self._function = function

    def __call__(self, inputs: Tensor) -> Tensor:
        """The function of ``inputs``, of any shape."""
        threads, n = torch.get_num_threads(), inputs.numel()
        numbers = {1} if n <= SERIAL else {1, threads, min(threads, -(-n // PART))}
        if inputs.is_contiguous() and not any(-(-n // parts) % REGISTERS for parts in numbers):
            return self._function(inputs)
        together, rest = divmod(n, threads * PART)
        sizes = [threads * PART] * together + [SERIAL] * (rest // SERIAL) + [rest % SERIAL] * (rest % SERIAL > 0)
        pieces = [self._filled_up(piece) for piece in torch.split(inputs.reshape(-1), sizes)]
        return torch.cat(pieces).view(inputs.shape)

    def _filled_up(self, piece: Tensor) -> Tensor:
        """The function of a piece ``[n]``, together with so many zeros that registers are full."""
        n, missing = piece.numel(), -piece.numel() % REGISTERS
        return self._function(torch.nn.functional.pad(piece, (0, missing)))[:n] if missing else self._function(piece)


def elementwise(model: nn.Module) -> dict[nn.Module, Elementwise]:
    """The activation functions of ``model`` that are modules without weights."""
    found = (module for module in model.modules() if type(module) in KINDS and not any(True for _ in module.parameters()))
    return {module: Elementwise(module.forward) for module in found}
