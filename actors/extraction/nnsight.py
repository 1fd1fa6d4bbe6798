"""nnsight tracing (the default, and the paper's tool). It keeps references, so every read is cloned; blocks are read in order."""

from __future__ import annotations

import copy

import torch
from nnsight import TransformersModel, save
from torch import Tensor

from actors.extraction.batches import PromptBatch
from actors.loading import LoadedModel


def read_with_nnsight(loaded: LoadedModel, batch: PromptBatch, positions: int = 1) -> Tensor:
    """Outputs of all blocks at the last ``positions`` tokens, ``[B, P, L, d]`` float32 on the CPU.

    nnsight sets the padding side of the tokenizer it is given, so it gets a copy; token ids are passed, never text, because
    it would tokenize text with a second BOS.
    """
    traced = TransformersModel(loaded.model, tokenizer=copy.deepcopy(loaded.tokenizer), task="text-generation")
    blocks = traced.get(loaded.decoder.blocks_path)
    with torch.no_grad(), traced.trace(batch.inputs(), use_cache=False):
        read = save([block.output[:, -positions:].clone() for block in blocks])
    activations: Tensor = torch.stack(list(read), dim=2)
    return activations.float().cpu()
