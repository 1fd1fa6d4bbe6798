"""The independent way: one cell at a time through ``transformers.generate`` with a plain hook, and hidden states by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from actors.types import Steering

TIE = 1e-4
"""Two best logits closer than this may fall either way."""


@contextmanager
def plain_hooks(blocks: Sequence[Any], edits: dict[int, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Replace each block's output tensor, or the first of its outputs, by ``edit(output)``."""

    def hook_of(edit: Callable[[Tensor], Tensor]) -> Any:
        def hook(_module: object, _args: object, output: Any) -> Any:
            return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)

        return hook

    handles = [blocks[layer].register_forward_hook(hook_of(edit)) for layer, edit in edits.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def edits_of(steering: Steering | None, prompt: int = 0, template: int = 1) -> dict[int, Callable[[Tensor], Tensor]]:
    """Every intervention written out plainly: eq. 2 of the paper, ablation to zero or to a reference, replacement; where it acts
    at some tokens only, of one text that begins with ``prompt`` tokens of a prompt, ``template`` of them behind the user's. The
    parts of a steering one after the other, whatever their conditions."""
    edits: dict[int, list[Callable[[Tensor], Tensor]]] = {}
    for part in () if steering is None else steering.parts:
        for layer, edit in _edits_of_part(part, prompt, template).items():
            edits.setdefault(layer, []).append(edit)
    return {layer: _one_after_the_other(several) for layer, several in edits.items()}


def _one_after_the_other(edits: Sequence[Callable[[Tensor], Tensor]]) -> Callable[[Tensor], Tensor]:
    return lambda hidden: reduce(lambda state, edit: edit(state), edits, hidden)


def _edits_of_part(steering: Steering, prompt: int, template: int) -> dict[int, Callable[[Tensor], Tensor]]:
    return {
        layer: At(
            _keeping(_shared(_edit(steering, i)), steering.keep_norm),
            lambda place: _asked(steering.positions, place - prompt, template) * _left(steering.schedule, place - prompt),
        )
        for i, layer in enumerate(steering.layers)
    }


class At:
    """An edit of some tokens of one text, which is read from its beginning, in pieces."""

    def __init__(self, edit: Callable[[Tensor, float], Tensor], share: Callable[[int], float]) -> None:
        self._edit, self._share, self._read = edit, share, 0

    def __call__(self, hidden: Tensor) -> Tensor:
        whole, out = self._edit(hidden, 1.0), hidden.clone()
        for column in range(hidden.shape[1]):
            share = self._share(self._read + column)
            if share == 1:
                out[:, column] = whole[:, column]
            elif share:
                out[:, column] = self._edit(hidden[:, column], share)
        self._read += hidden.shape[1]
        return out


def _asked(positions: str, token: int, template: int) -> bool:
    """By the number of a token: the answer's from 0, the prompt's below."""
    for part in positions.split("+"):
        word, _, text = part.partition(":")
        among: dict[str, Sequence[int]] = {
            "all": [token],
            "prompt": range(-10_000, 0),
            "generation": range(10_000),
            "last_prompt": [-1],
            "template": range(-template, 0),
            "first": range(int(text or 0)),
            "from": range(int(text or 0), 10_000),
        }
        if token in among[word]:
            return True
    return False


def _keeping(edit: Callable[[Tensor, float], Tensor], keeps: bool) -> Callable[[Tensor, float], Tensor]:
    """The norm of each token's stream, where it is kept."""

    def kept(h: Tensor, share: float) -> Tensor:
        edited = edit(h, share)
        return edited * (h.norm(dim=-1, keepdim=True) / edited.norm(dim=-1, keepdim=True))

    return kept if keeps else edit


def _left(schedule: str, token: int) -> float:
    """Of the strength, at a token by its number in the answer."""
    word, _, text = schedule.partition(":")
    if token < 0 or word == "constant":
        return 1.0
    return max(0.0, 1 - token / int(text)) if word == "linear" else 2.0 ** (-token / int(text))


def _shared(edit: Callable[[Tensor], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """So large a share of the change that an edit makes."""
    return lambda h, share: edit(h) if share == 1 else h + share * (edit(h) - h)


def _edit(steering: Steering, i: int) -> Callable[[Tensor], Tensor]:
    direction, basis = torch.from_numpy(steering.vectors[i].copy()), torch.from_numpy(steering.basis_at(i).copy())
    strength = steering.multiplier * (steering.scales[i] if steering.scales else 1.0)
    reference = steering.reference_at(i)
    if steering.intervention == "addition":
        return lambda h: h + (strength * direction).to(h.dtype)
    if steering.intervention == "replacement":
        return lambda h: (strength * direction).to(h.dtype).expand_as(h).clone()
    if steering.intervention == "subspace_replacement":
        return lambda h: h - (h @ basis.T) @ basis + strength * direction
    return lambda h: h - strength * ((h @ direction)[..., None] - reference) * direction


@torch.no_grad()
def generate_alone(
    model: Any, blocks: Sequence[Any], token_ids: Sequence[int], steering: Steering | None, n: int, template: int = 1
) -> list[int]:
    """Greedy tokens of one prompt alone, stop token excluded; ``template``: so many last ones of the prompt follow the user's."""
    inputs = torch.tensor([list(token_ids)])
    with plain_hooks(blocks, edits_of(steering, len(token_ids), template)):
        output = model.generate(
            input_ids=inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=n, do_sample=False, num_beams=1
        )
    new = output[0, inputs.shape[1] :].tolist()
    stop = model.generation_config.eos_token_id
    stops = set(stop if isinstance(stop, list) else [stop])
    return [token for token in new if token not in stops]


@dataclass(frozen=True)
class Difference:
    """Where two token sequences first differ, and by how much the best two logits differ there."""

    position: int
    gap: float


@torch.no_grad()
def first_difference(
    model: Any,
    blocks: Sequence[Any],
    token_ids: Sequence[int],
    steering: Steering | None,
    ours: Sequence[int],
    theirs: Sequence[int],
    template: int = 1,
) -> Difference | None:
    """None when equal; else the gap between the two best logits where they part, from one plain forward."""
    if list(ours) == list(theirs):
        return None
    position = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    inputs = torch.tensor([[*token_ids, *theirs[:position]]])
    with plain_hooks(blocks, edits_of(steering, len(token_ids), template)):
        best = model(input_ids=inputs, use_cache=False).logits[0, -1].topk(2).values
    return Difference(position, float(best[0] - best[1]))
