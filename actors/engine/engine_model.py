"""What the engine needs to know of a loaded model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from actors.engine.grain import COARSE, FINE, Grain
from actors.engine.packing import Packing
from actors.families import Decoder


@dataclass(frozen=True)
class EngineModel:
    """What the engine needs of a loaded model. ``batch_dependence``: see :func:`batch_dependence`. ``token_bytes``: what the keys
    and values of a token take, where that was seen."""

    model: Any
    decoder: Decoder
    device: torch.device
    dtype: torch.dtype
    d_model: int
    stop_tokens: frozenset[int]
    batch_dependence: str | None
    packing: Packing = Packing(reason="not asked for")  # noqa: RUF009 - frozen, and empty
    token_bytes: int | None = None

    @property
    def grain(self) -> Grain:
        """What this model's batches and segments are rounded up to.

        Bfloat16 stays coarse, packed or not: its attention products depend on odd sizes (seen with Gemma 2's softcap).
        """
        invariant = self.packing.complete and self.batch_dependence is None
        return FINE if invariant and self.dtype == torch.float32 else COARSE
