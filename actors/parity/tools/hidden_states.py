"""transformers' own ``output_hidden_states``, read as it is usually read: ``hidden_states[1:]`` as the outputs of the blocks.

The last of them is behind the final norm, and is no block's output: the study names it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from actors.extraction import PromptBatch
from actors.extraction.hooks import last_logits
from actors.loading import LoadedModel


@torch.inference_mode()
def read_hidden_states(loaded: LoadedModel, batch: PromptBatch, positions: int = 1) -> Tensor:
    """``hidden_states[1:]`` at the last ``positions`` tokens, ``[B, P, L, d]`` float32 on the CPU."""
    told = loaded.model(
        **batch.inputs(), use_cache=False, output_hidden_states=True, return_dict=True, **last_logits(loaded.model, positions)
    )
    return torch.stack([state[:, -positions:].float().cpu() for state in told.hidden_states[1:]], dim=2)
