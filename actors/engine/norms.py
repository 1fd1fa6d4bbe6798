"""RMS norms in one call of PyTorch, where that gives the very bits of the model's own.

A family writes its norm as six operations. Between any two of them the lanes of a batch wait for Python's lock in turn, which
takes longer than the operations of a small model do.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

PROBES = ((1, 1), (3, 2), (65, 1))
"""Rows and tokens of the states on which both have to agree."""
SCALES = (1.0, 300.0, 1e-3)


def fused_norms(model: nn.Module) -> dict[nn.Module, Callable[[Tensor], Tensor]]:
    """By module: its function in one call. What has another form, or other bits, is left out."""
    norms = (module for module in model.modules() if _is_rms_norm(module))
    fused = ((module, next((one for one in _functions(module) if _same(module, one)), None)) for module in norms)
    return {module: function for module, function in fused if function is not None}


def _is_rms_norm(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    named = type(module).__name__.endswith("RMSNorm") and _epsilon(module) is not None
    return named and isinstance(weight, Tensor) and weight.ndim == 1 and len(inspect.signature(module.forward).parameters) == 1


def _epsilon(module: nn.Module) -> float | None:
    found = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    return found if isinstance(found, float) else None


def _functions(module: Any) -> Iterator[Callable[[Tensor], Tensor]]:
    """Times its weight, or, as Gemma's, times 1 and its weight."""
    for weight in (module.weight.detach(), 1.0 + module.weight.detach()):
        yield partial(_fused, module.forward, weight, _epsilon(module))


def _fused(own: Callable[[Tensor], Tensor], weight: Tensor, epsilon: float | None, states: Tensor) -> Tensor:
    """States of another width than the weight's, as norms have whose weight is none, are the module's ``own``."""
    if states.shape[-1:] != weight.shape:
        return own(states)
    return nn.functional.rms_norm(states, weight.shape, weight, epsilon)


def _same(module: Any, function: Callable[[Tensor], Tensor]) -> bool:
    generator = torch.Generator().manual_seed(0)
    width, dtype = module.weight.shape[0], module.weight.dtype
    for rows, tokens in PROBES:
        for scale in SCALES:
            states = (torch.randn(rows, tokens, width, generator=generator) * scale).to(dtype)
            expected, found = module(states), function(states)
            if found.dtype != expected.dtype or not torch.equal(found, expected):
                return False
    return True
