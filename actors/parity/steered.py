"""A direction added behind one block while the model answers greedily: by each tool of this process, and with each known mistake.

A tool gives a *steered forward*: what runs the model with the edit. The loop around it is the same for all: the prompts are one
left-padded batch, answered with a cache for a fixed number of tokens, whatever ends an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actors.errors import JobError
from actors.extraction.batches import left_padded
from actors.loading import LoadedModel
from actors.parity.jobs import SteeringPlace
from actors.parity.planted import ReadingRecipe
from actors.parity.reference import Reference
from actors.parity.steering_mistakes import SteeringRecipe
from actors.prompts import Rendered
from actors.steering import residual

Forward = Callable[[dict[str, Any]], Any]
"""From the arguments of a forward to what the model puts out."""
Steer = Callable[[LoadedModel, int, Tensor], AbstractContextManager[Forward]]
"""Of a tool: in the ``with`` block a forward that has a vector ``[d]`` added behind the block of that number."""
Answers = tuple[Tensor, Tensor]
"""The tokens ``[n, T]``, and ``[n, T, P]`` float32 the logits of some tokens that each was chosen by."""


def vector_of(loaded: LoadedModel, place: SteeringPlace) -> Tensor:
    """What is added, ``[d]`` float32: the clean direction of the layer, as long as mean(positive) - mean(negative) is, times the
    strength."""
    direction = Reference(loaded, place.classes).direction(ReadingRecipe())[place.layer]
    if not np.isfinite(direction).all():
        raise JobError(f"layer {place.layer} has no direction: the classes do not differ there")
    return torch.from_numpy(direction.astype(np.float32) * np.float32(place.strength))


def probes_of(loaded: LoadedModel, number: int) -> list[int]:
    """Tokens whose logits are kept: spread evenly over the vocabulary."""
    size = int(loaded.model.get_input_embeddings().weight.shape[0])
    return sorted(set(np.linspace(0, size - 1, number).astype(int).tolist()))


def by_tool(loaded: LoadedModel, place: SteeringPlace, steer: Steer, rendered: Sequence[Rendered]) -> Answers:
    """What a tool of this process makes the model answer."""
    with torch.inference_mode(), steer(loaded, place.layer, vector_of(loaded, place)) as forward:
        return _answered(loaded, place, rendered, lambda inputs, _step: forward(inputs))


def by_recipe(
    loaded: LoadedModel, place: SteeringPlace, recipe: SteeringRecipe, rendered: Sequence[Rendered], vector: Tensor
) -> Answers:
    """What plain hooks make it answer by a recipe; JobError where its block does not exist."""
    layer = place.layer + recipe.shift
    if not 0 <= layer < loaded.decoder.n_layers:
        raise JobError(f"there is no block {layer}")
    factors: list[Tensor] = [torch.zeros(1)]

    def hook(_module: nn.Module, _args: object, output: object) -> object:
        stream = residual(output, f"output of block {layer}")
        added = (vector.to(stream.device) * factors[0].to(stream.device)).to(stream.dtype)
        return (stream + added, *output[1:]) if isinstance(output, tuple) else stream + added

    def forward(inputs: dict[str, Any], step: int) -> Any:
        factors[0] = _factors(recipe, inputs["input_ids"], step)
        return loaded.model(**inputs)

    handle = loaded.decoder.blocks[layer].register_forward_hook(hook)
    try:
        with torch.inference_mode():
            return _answered(loaded, place, rendered, forward)
    finally:
        handle.remove()


def _factors(recipe: SteeringRecipe, token_ids: Tensor, step: int) -> Tensor:
    """How often the vector is added to each token of a forward, ``[B, T, 1]``; the ``step`` 0 is that of the prompt."""
    factors = torch.full((*token_ids.shape, 1), float(recipe.times))
    if step == 0 and recipe.prompt != "all":
        factors[:, : token_ids.shape[1] - (recipe.prompt == "last")] = 0
    if (step == 1 and not recipe.first_step) or (step > 1 and not recipe.later_steps):
        factors[:] = 0
    if recipe.rows == "first":
        factors[1:] = 0
    return factors


def _answered(
    loaded: LoadedModel, place: SteeringPlace, rendered: Sequence[Rendered], forward: Callable[[dict[str, Any], int], Any]
) -> Answers:
    if loaded.decoder.runs_alone and len(rendered) > 1:
        raise JobError(f"this model takes one prompt at a time: {loaded.decoder.why_alone}")
    batch, probes = left_padded(loaded, rendered), probes_of(loaded, place.probes)
    inputs: dict[str, Any] = {**batch.inputs(), "use_cache": True}
    tokens, logits = list[Tensor](), list[Tensor]()
    for step in range(place.tokens):
        told = forward(inputs, step)
        last = told.logits[:, -1].float()
        tokens.append(last.argmax(dim=-1))
        logits.append(last[:, probes].cpu())
        mask = torch.cat([inputs["attention_mask"], torch.ones_like(tokens[-1])[:, None]], dim=1)
        inputs = {**inputs, "input_ids": tokens[-1][:, None], "attention_mask": mask, "past_key_values": told.past_key_values}
        if "position_ids" in inputs:
            inputs["position_ids"] = mask.sum(dim=1, keepdim=True) - 1
    return torch.stack(tokens, dim=1).cpu(), torch.stack(logits, dim=1)


@contextmanager
def steer_with_hooks(loaded: LoadedModel, layer: int, vector: Tensor) -> Iterator[Forward]:
    """A plain forward hook on the block."""

    def hook(_module: nn.Module, _args: object, output: object) -> object:
        stream = residual(output, f"output of block {layer}")
        edited = stream + vector.to(stream.device, stream.dtype)
        return (edited, *output[1:]) if isinstance(output, tuple) else edited

    handle = loaded.decoder.blocks[layer].register_forward_hook(hook)
    try:
        yield lambda inputs: loaded.model(**inputs)
    finally:
        handle.remove()
