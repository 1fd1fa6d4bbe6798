"""Activation functions whose bits do not depend on how many elements there are, on any number of threads.

PyTorch computes the elements of a tensor in one part per thread, and what is left at the end of each part, less than two vector
registers, by another formula than the rest. So where the parts end decides the last bit of some elements, and with it the number
of rows: seen for SiLU, sigmoid and GELU by tanh, at widths that fill no registers on one thread too. Here parts end where
registers do, and the last one is filled up. What is laid out with gaps is copied first: GELU by erf has two formulas, by layout,
and a single row has no gaps.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers.activations import ACT2CLS

PART = 32_768
"""The fewest elements that PyTorch gives a thread (``at::internal::GRAIN_SIZE``), but of GELU."""
SERIAL = 16_384
"""So many elements are computed by one thread, of GELU too; of more than that each thread takes its share of GELU."""
REGISTERS = 64
"""Elements of two registers of the widest kind (AVX-512, bfloat16)."""
KINDS = frozenset(kind[0] if isinstance(kind, tuple) else kind for kind in ACT2CLS.values())
NAMES = frozenset({"elu", "gelu", "mish", "sigmoid", "silu", "softplus"})
"""PyTorch's functions of which that was seen."""
NO_CODE = (lambda: None).__code__


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


class EvenCalls:
    """The forward of a module that calls functions of ``NAMES`` itself: each of them is :class:`Elementwise` there."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self._forward = forward

    def __call__(self, *args: Any, **options: Any) -> Any:
        """What the forward gives."""
        with _EvenFunctions():
            return self._forward(*args, **options)


class _EvenFunctions(TorchFunctionMode):
    """Functions of ``NAMES``, called in this thread, as :class:`Elementwise`. Every other call costs a microsecond more."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        if getattr(func, "__name__", "") not in NAMES or not args or "out" in options:
            return func(*args, **options)
        return Elementwise(lambda inputs: func(inputs, *args[1:], **options))(args[0])


def elementwise(model: nn.Module) -> dict[nn.Module, Elementwise | EvenCalls]:
    """The activation functions of ``model`` that are modules without weights, and the modules that call such functions."""
    found: dict[nn.Module, Elementwise | EvenCalls] = {}
    for module in model.modules():
        if type(module) in KINDS and not any(True for _ in module.parameters()):
            found[module] = Elementwise(module.forward)
        elif NAMES.intersection(getattr(inspect.unwrap(type(module).forward), "__code__", NO_CODE).co_names):
            found[module] = EvenCalls(module.forward)
    return found
