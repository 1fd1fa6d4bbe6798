"""Left-padded prompt batches with explicit mask and position ids: a position counts the tokens that the mask keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actors.loading import LoadedModel
from actors.prompts import Rendered

MAX_BATCH_TOKENS = 2048
"""Padded tokens per forward: bounds the memory of a capture, which holds every block's output."""


@dataclass(frozen=True)
class PromptBatch:
    """``token_ids``, ``mask`` and ``position_ids``, each ``[B, T]``; padding on the left, positions derived from the mask."""

    token_ids: Tensor
    mask: Tensor
    position_ids: Tensor

    def inputs(self) -> dict[str, Tensor]:
        """The keyword arguments of a forward. Where nothing is padded the model sets the positions by itself: not every family
        takes them."""
        if bool(self.mask.all()):
            return {"input_ids": self.token_ids, "attention_mask": self.mask}
        return {"input_ids": self.token_ids, "attention_mask": self.mask, "position_ids": self.position_ids}


def left_padded(loaded: LoadedModel, prompts: Sequence[Rendered]) -> PromptBatch:
    """One batch; padding is masked, and is token 0, which every model has: the tokenizer's own may have no row in it."""
    length = max(len(prompt.token_ids) for prompt in prompts)
    token_ids = torch.zeros((len(prompts), length), dtype=torch.long)
    mask = torch.zeros_like(token_ids)
    for row, prompt in enumerate(prompts):
        start = length - len(prompt.token_ids)
        token_ids[row, start:] = torch.tensor(prompt.token_ids)
        mask[row, start:] = 1
    position_ids = (mask.cumsum(-1) - 1).clamp(min=0)
    device = loaded.device
    return PromptBatch(token_ids.to(device), mask.to(device), position_ids.to(device))


def first_lot(prompts: Sequence[Rendered], tokens: int, shares: Callable[[Rendered], bool]) -> Sequence[Rendered]:
    """The first prompts that fit into ``tokens`` together, at least one; one whose neighbours or padding would change what the
    model computes (``shares`` says no) comes alone."""
    end = 1
    while end < len(prompts) and shares(prompts[0]) and shares(prompts[end]) and tokens_of(prompts[: end + 1]) <= tokens:
        end += 1
    return prompts[:end]


def tokens_of(prompts: Sequence[Rendered]) -> int:
    """Tokens of one batch of ``prompts``, padding included."""
    return max(len(prompt.token_ids) for prompt in prompts) * len(prompts)
