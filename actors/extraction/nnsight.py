"""nnsight tracing (the default, and the paper's tool). It keeps references, so every read is cloned; blocks are read in order."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from nnsight import TransformersModel, save
from torch import Tensor, nn

from actors.engine.site_places import site_places
from actors.extraction.batches import PromptBatch
from actors.extraction.site_readers import traced as read_at
from actors.loading import LoadedModel
from actors.sites import OUTPUT
from actors.steering import residual


def read_with_nnsight(loaded: LoadedModel, batch: PromptBatch, positions: int = 1, site: str = OUTPUT) -> Tensor:
    """Outputs of all blocks, or what stands at another ``site`` of them, at the last ``positions`` tokens, ``[B, P, L, d]``
    float32 on the CPU.

    nnsight sets the padding side of the tokenizer it is given, so it gets a copy; token ids are passed, never text, because
    it would tokenize text with a second BOS.
    """
    rows, places = len(batch.token_ids), site_places(loaded.model, loaded.decoder) if site != OUTPUT else None
    with restored(loaded.model):
        traced = TransformersModel(loaded.model, tokenizer=copy.deepcopy(loaded.tokenizer), task="text-generation")
        blocks = traced.get(loaded.decoder.blocks_path)
        with torch.no_grad(), traced.trace(batch.inputs(), use_cache=False):
            if places is None:
                read = save([residual(block.output, "output of a block")[:, -positions:].clone() for block in blocks])
            else:
                read = save(
                    [read_at(loaded, traced, block, (layer, site, rows, positions)) for layer, block in enumerate(blocks)]
                )
    outputs = list(read)
    activations: Tensor = torch.stack([output.to(outputs[0].device) for output in outputs], dim=2)
    return activations.float().cpu()


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Give every module back what it had. nnsight puts a forward of its own into each and leaves it there, where it would keep
    the engine from putting in its packed products: slower, and with bits that depend on the batch."""
    before = [(module, dict(module.__dict__)) for module in model.modules()]
    try:
        yield
    finally:
        for module, own in before:
            for name in module.__dict__.keys() - own.keys():
                del module.__dict__[name]
            if "forward" in own:
                module.__dict__["forward"] = own["forward"]
