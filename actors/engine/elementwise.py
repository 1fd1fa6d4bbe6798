"""Activation functions whose bits do not depend on how many elements there are, on any number of threads.

PyTorch computes the elements of a large tensor in one part per thread, and what is left at the end of each part, less than two
vector registers, by another formula than the rest. So where the parts end decides the last bit of some elements, and with it the
number of rows: seen for SiLU, sigmoid and GELU by tanh on three threads and more. Parts that end where registers do leave nothing
over but at the end of the tensor, and nothing there where the width is a multiple of ``REGISTERS``, as in all but tiny models.
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
        if threads == 1 or n <= SERIAL:
            return self._function(inputs)
        shares = [-(-n // parts) for parts in {threads, min(threads, -(-n // PART))}]
        if inputs.is_contiguous() and not any(share % REGISTERS for share in shares):
            return self._function(inputs)
        together, rest = divmod(n, threads * PART)
        sizes = [threads * PART] * together + [SERIAL] * (rest // SERIAL) + [rest % SERIAL] * (rest % SERIAL > 0)
        return torch.cat([self._function(piece) for piece in torch.split(inputs.reshape(-1), sizes)]).view(inputs.shape)


def elementwise(model: nn.Module) -> dict[nn.Module, Elementwise]:
    """The activation functions of ``model`` that are modules without weights."""
    found = (module for module in model.modules() if type(module) in KINDS and not any(True for _ in module.parameters()))
    return {module: Elementwise(module.forward) for module in found}
