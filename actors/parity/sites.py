"""Every tensor of a block that a tool might read in place of its output: what a reading is matched against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from actors.loading import LoadedModel
from actors.prompts import Rendered

OUTPUT, INPUT, NORMED = "output", "input", "output behind the final norm"
"""Of a block; other sites are named by the module inside it: ``input of mlp``."""
DEPTH = 2
"""Modules inside a block that are looked at: its parts, and their parts."""

Sites = dict[str, npt.NDArray[np.float32]]
"""By name, ``[L, n, d]`` at the last token; NaN where a block has no such site."""


@torch.inference_mode()
def candidate_sites(loaded: LoadedModel, prompts: Sequence[Rendered]) -> Sites:
    """What every block is given, puts out, and passes between its parts. A site that holds the same numbers as an earlier one in
    every block is left out; each prompt runs alone."""
    shape = (loaded.decoder.n_layers, len(prompts), loaded.d_model)
    found: Sites = {}
    for number, prompt in enumerate(prompts):
        for name, layer, at_last in _of_one(loaded, torch.tensor([prompt.token_ids], device=loaded.device)):
            found.setdefault(name, np.full(shape, np.nan, np.float32))[layer, number] = at_last.float().cpu().numpy()
    return _distinct(found)


def _distinct(found: Sites) -> Sites:
    distinct: Sites = {}
    for name, site in found.items():
        if not any(np.array_equal(site, other, equal_nan=True) for other in distinct.values()):
            distinct[name] = site
    return distinct


def _of_one(loaded: LoadedModel, token_ids: Tensor) -> Iterator[tuple[str, int, Tensor]]:
    read: list[tuple[str, int, Tensor]] = []
    decoder = loaded.decoder

    def keep(name: str, layer: int, stream: object) -> None:
        if isinstance(stream, Tensor) and stream.shape == (*token_ids.shape, loaded.d_model):
            read.append((name, layer, stream[0, -1].clone()))

    handles = []
    for layer, block in enumerate(decoder.blocks):
        handles.append(block.register_forward_pre_hook(_before(keep, INPUT, layer), with_kwargs=True))
        handles.append(block.register_forward_hook(_after(keep, OUTPUT, layer)))
        for name, module in _parts(block):
            handles.append(module.register_forward_pre_hook(_before(keep, f"input of {name}", layer), with_kwargs=True))
            handles.append(module.register_forward_hook(_after(keep, f"output of {name}", layer)))
    try:
        loaded.model(input_ids=token_ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    whole = sorted((one for one in read if one[0] in (OUTPUT, INPUT)), key=lambda one: one[0] == INPUT)
    parts = [one for one in read if one[0] not in (OUTPUT, INPUT)]
    norm = decoder.final_norm
    outputs = [(layer, stream) for name, layer, stream in whole if name == OUTPUT]
    normed = [] if norm is None else [(NORMED, layer, norm(stream[None, None])[0, 0]) for layer, stream in outputs]
    yield from (*whole, *normed, *sorted(parts, key=lambda one: one[0].count(".")))


def _parts(block: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in block.named_modules() if name and name.count(".") < DEPTH]


def _before(keep: Callable[[str, int, object], None], name: str, layer: int) -> Any:
    def hook(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        given = args[0] if args else kwargs.get("hidden_states")
        keep(name, layer, given)

    return hook


def _after(keep: Callable[[str, int, object], None], name: str, layer: int) -> Any:
    def hook(_module: nn.Module, _args: object, output: object) -> None:
        keep(name, layer, output[0] if isinstance(output, tuple) and output else output)

    return hook
