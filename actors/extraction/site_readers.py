"""What stands at another site than blocks' outputs, read with plain hooks or with nnsight at the modules that it was found at."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from actors.engine.residual import TensorSite
from actors.engine.site_places import SitePlaces, site_places
from actors.loading import LoadedModel
from actors.sites import head_of
from actors.steering import received, residual


@torch.inference_mode()
def hooked(loaded: LoadedModel, inputs: dict[str, Tensor], site: str, positions: int) -> list[Tensor]:
    """Of every block what stands at ``site`` at the last ``positions`` tokens, ``[B, P, width]``, in one forward."""
    read: dict[int, Tensor] = {}
    rows = len(inputs["input_ids"])
    places = site_places(loaded.model, loaded.decoder)

    def before_block(layer: int) -> Any:
        def hook(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            read[layer] = _last(received(args, kwargs, f"input of block {layer}"), places, (site, rows, positions))

        return hook

    def looking(layer: int) -> Any:
        def look(value: Tensor) -> Tensor:
            read[layer] = _last(value, places, (site, rows, positions))
            return value

        return look

    with ExitStack() as attached:
        for layer, block in enumerate(loaded.decoder.blocks):
            if site == "input":
                attached.callback(block.register_forward_pre_hook(before_block(layer), with_kwargs=True).remove)
            else:
                attached.callback(places.tensor(site, layer).attach(looking(layer)).remove)
        loaded.model(**inputs, use_cache=False)
    return [read[layer] for layer in range(loaded.decoder.n_layers)]


def traced(loaded: LoadedModel, model: Any, block: Any, where: tuple[int, str, int, int]) -> Tensor:
    """The same of one block within a trace of nnsight's ``model``; ``where``: block, site, rows and positions."""
    layer, site, rows, positions = where
    places = site_places(loaded.model, loaded.decoder)
    if site == "input":
        return _last(residual(block.input, f"input of block {layer}"), places, (site, rows, positions))
    at = places.tensor(site, layer)
    module = model.get(_names(loaded.model)[at.module])
    return _last(_found(module, at), places, (site, rows, positions))


def _found(module: Any, at: TensorSite) -> Tensor:
    value = module.input if at.reads else module.output
    return value if at.index is None or at.reads else value[at.index]


def _names(model: nn.Module) -> dict[nn.Module, str]:
    return {module: name for name, module in model.named_modules()}


def _last(value: Tensor, places: SitePlaces, wanted: tuple[str, int, int]) -> Tensor:
    site, rows, positions = wanted
    head = head_of(site)
    found = value.reshape(rows, -1, value.shape[-1])[:, -positions:]
    return (found if head is None else found.chunk(places.n_heads, dim=-1)[head]).clone()
