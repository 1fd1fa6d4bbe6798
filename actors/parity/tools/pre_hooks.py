"""Hooks on inputs, as baukit's ``TraceDict(retain_input=True)``: a block's output is what the module after it is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from actors.errors import UnsupportedModelError
from actors.extraction import PromptBatch
from actors.extraction.hooks import last_logits
from actors.loading import LoadedModel
from actors.parity.steered import Forward
from actors.steering import received


@torch.inference_mode()
def read_with_pre_hooks(loaded: LoadedModel, batch: PromptBatch, positions: int = 1) -> Tensor:
    """Inputs of blocks 1, 2, ... and of what follows the last, at the last ``positions`` tokens, ``[B, P, L, d]`` float32."""
    decoder = loaded.decoder
    if decoder.final_norm is None:
        raise UnsupportedModelError("no module is known that reads the last block's output")
    read: dict[int, Tensor] = {}

    def reader(layer: int) -> Any:
        def hook(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            read[layer] = received(args, kwargs, f"input after block {layer}")[:, -positions:].float().cpu()

        return hook

    following = [*decoder.blocks[1:], decoder.final_norm]
    handles = [one.register_forward_pre_hook(reader(layer), with_kwargs=True) for layer, one in enumerate(following)]
    try:
        loaded.model(**batch.inputs(), use_cache=False, **last_logits(loaded.model, positions))
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack([read[layer] for layer in range(decoder.n_layers)], dim=2)


@contextmanager
def steer_with_pre_hooks(loaded: LoadedModel, layer: int, vector: Tensor) -> Iterator[Forward]:
    """The vector added to what the module after the block is given."""
    following = [*loaded.decoder.blocks[1:], loaded.decoder.final_norm][layer]
    if following is None:
        raise UnsupportedModelError("no module is known that reads the last block's output")

    def hook(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
        stream = received(args, kwargs, f"input after block {layer}")
        edited = stream + vector.to(stream.device, stream.dtype)
        return ((edited, *args[1:]), kwargs) if args else ((), {**kwargs, "hidden_states": edited})

    handle = following.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield lambda inputs: loaded.model(**inputs)
    finally:
        handle.remove()
