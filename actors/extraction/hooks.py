"""Plain forward hooks on each block. With position ids passed, bitwise equal to nnsight."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from actors.extraction.batches import PromptBatch
from actors.extraction.site_readers import hooked
from actors.loading import LoadedModel
from actors.sites import OUTPUT
from actors.steering import residual


def last_logits(model: nn.Module, positions: int) -> dict[str, int]:
    """The argument that spares a forward the logits of all but the last ``positions`` tokens, where the model knows it."""
    known = "logits_to_keep" in inspect.signature(model.forward).parameters
    return {"logits_to_keep": positions} if known else {}


@torch.inference_mode()
def read_with_hooks(loaded: LoadedModel, batch: PromptBatch, positions: int = 1, site: str = OUTPUT) -> Tensor:
    """Outputs of all blocks, or what stands at another ``site`` of them, at the last ``positions`` tokens, ``[B, P, L, d]``
    float32 on the CPU; the hooks go with the call."""
    if site != OUTPUT:
        return torch.stack([one.float().cpu() for one in hooked(loaded, batch.inputs(), site, positions)], dim=2)
    read: dict[int, Tensor] = {}

    def reader(layer: int) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _args: object, output: object) -> None:
            read[layer] = residual(output, f"output of block {layer}")[:, -positions:].float().cpu()

        return hook

    handles = [block.register_forward_hook(reader(layer)) for layer, block in enumerate(loaded.decoder.blocks)]
    try:
        loaded.model(**batch.inputs(), use_cache=False, **last_logits(loaded.model, positions))
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack([read[layer] for layer in range(loaded.decoder.n_layers)], dim=2)
