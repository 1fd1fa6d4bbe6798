"""The greedy choice over a large vocabulary at half the price: a bfloat16 product rules out what cannot win, float32 decides.

The vocabulary's product is a fifth of all products of a small model, and of its results only the largest is used. Rounded to
bfloat16, a logit is off by no more than a bound that follows from the norms (Cauchy-Schwarz), so whatever lies further below the
best one than twice that bound cannot be it. The few that remain, four of 49,152 on average for SmolLM2-135M, are computed in
float32, each from its own row alone: the choice is that of float32, and its bits depend on nothing but the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from actors.engine.memory import free_bytes
from actors.engine.packing import MEMORY_SHARE, OPERATORS, ROWS_HINT, Packing

ROUNDING = 2.0**-9
"""Half a unit in the last place of bfloat16, relative."""
PART = 64
"""The vocabulary is searched in parts of so many tokens: first for parts, then within them."""
PAIRS_AT_ONCE = 4096
"""Pairs of a row and a token whose float32 products are in memory together."""
SMALLEST = 2**22
"""Weights of a head below which the search costs more than the product."""


class ScreenedHead:
    """The head ``weight`` ``[V, d]`` float32 where only the largest logit of each row matters."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.detach()
        self._rough = OPERATORS._reorder_linear_weight(self._weight.bfloat16().contiguous(), ROWS_HINT)
        self._longest = float(self._weight.norm(dim=1).max())

    def __call__(self, hidden: Tensor) -> Tensor:
        """``hidden`` ``[..., d]`` -> logits ``[..., V]``: exact where the largest can be, minus infinity everywhere else."""
        rows = hidden.reshape(-1, hidden.shape[-1])
        numbers, tokens = self._candidates(rows)
        logits = torch.full((len(rows), len(self._weight)), -torch.inf)
        for start in range(0, len(numbers), PAIRS_AT_ONCE):
            of_row, token = (pairs[start : start + PAIRS_AT_ONCE] for pairs in (numbers, tokens))
            logits[of_row, token] = _dot(rows[of_row], self._weight[token])
        return logits.view(*hidden.shape[:-1], -1)

    def _candidates(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(row, token) of every logit that may be its row's largest."""
        rough = OPERATORS._linear_pointwise(rows.bfloat16(), self._rough, None, "none", [], "")
        parts = rough.view(len(rows), -1, PART)
        of_part = parts.amax(dim=-1).float()
        best = of_part.amax(dim=-1, keepdim=True)
        least = best - 2 * self._bound(rows, best)
        numbers, part = (of_part >= least).nonzero(as_tuple=True)
        pair, inside = (parts[numbers, part].float() >= least[numbers]).nonzero(as_tuple=True)
        return numbers[pair], part[pair] * PART + inside

    def _bound(self, rows: Tensor, best: Tensor) -> Tensor:
        """How far a rough logit near the ``best`` is off at most ``[rows, 1]``: both factors and the result are rounded; sums are
        float32, whose error the added tenth covers."""
        product = rows.norm(dim=1, keepdim=True) * self._longest
        return 1.1 * (2 * ROUNDING * product + ROUNDING * best.abs())


def _dot(rows: Tensor, weights: Tensor) -> Tensor:
    """``[n, d]``, ``[n, d]`` -> ``[n]``. One pair runs as two: a lone row is summed in another order."""
    if len(rows) == 1:
        return _dot(rows.expand(2, -1), weights.expand(2, -1))[:1]
    return (rows * weights).sum(dim=-1)


def screened_head(model: Any, packing: Packing) -> ScreenedHead | None:
    """For the output head of ``model``; None where it cannot be, or would not help."""
    head = model.get_output_embeddings()
    if not packing.complete or head not in packing.products or not has_fast_bfloat16():
        return None
    weight, config = head.weight, model.config.get_text_config()
    if weight.dtype != torch.float32 or getattr(head, "bias", None) is not None or len(weight) % PART:
        return None
    if getattr(config, "final_logit_softcapping", None):  # minus infinity would become a number
        return None
    if weight.numel() < SMALLEST or 2 * weight.numel() > MEMORY_SHARE * free_bytes(weight.device):
        return None
    return ScreenedHead(weight)


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively (elsewhere it is slower than float32)."""
    known: list[Any] = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(check is not None and check() for check in known)


@contextmanager
def screening(model: Any, head: ScreenedHead | None) -> Iterator[None]:
    """The output head computes through ``head`` in the ``with`` block; None leaves it as it is."""
    module: nn.Module = model.get_output_embeddings()
    before = module.__dict__.get("forward")
    if head is not None:
        module.forward = head
    try:
        yield
    finally:
        if before is not None:
            module.forward = before
        elif head is not None:
            del module.forward
