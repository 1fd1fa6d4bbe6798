"""Plain forward hooks on each block. With position ids passed, bitwise equal to nnsight."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from actors.errors import UnsupportedModelError
from actors.extraction.batches import PromptBatch
from actors.loading import LoadedModel


@torch.inference_mode()
def read_with_hooks(loaded: LoadedModel, batch: PromptBatch, positions: int = 1) -> Tensor:
    """Outputs of all blocks at the last ``positions`` tokens, ``[B, P, L, d]`` float32 on the CPU; the hooks go with the call."""
    read: dict[int, Tensor] = {}

    def reader(layer: int) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _args: object, output: object) -> None:
            # A tuple's [0] and a tensor's [0] are different things: never index without looking (SCIENCE.md section 1).
            if not isinstance(output, Tensor):
                raise UnsupportedModelError(f"block {layer} returns {type(output).__name__}, not a tensor")
            read[layer] = output[:, -positions:].float().cpu()

        return hook

    handles = [block.register_forward_hook(reader(layer)) for layer, block in enumerate(loaded.decoder.blocks)]
    try:
        loaded.model(**batch.inputs(), use_cache=False, logits_to_keep=1)
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack([read[layer] for layer in range(loaded.decoder.n_layers)], dim=2)
