"""The independent way: one cell at a time through ``transformers.generate`` with a plain hook, and hidden states by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
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
    return edits[0] if len(edits) == 1 else lambda hidden: reduce(lambda state, edit: edit(state), edits, hidden)


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
        self._edit, self._share, self._read, self._end = edit, share, 0, 0

    def begin(self, n: int) -> None:
        """So many tokens follow: the next one, or the text from its beginning. A block may be given the last of them alone."""
        self._end = n if n > 1 else self._end + n

    def __call__(self, hidden: Tensor) -> Tensor:
        whole, out = self._edit(hidden, 1.0), hidden.clone()
        self._read = self._end - hidden.shape[1] if self._end else self._read
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
        return edited * (h.norm(dim=-1, keepdim=True) / edited.norm(dim=-1, keepdim=True).clamp(min=1e-30))

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
    if steering.intervention == "rotation":
        return lambda h: _at_angle(h, direction, strength)
    if steering.code:
        return lambda h: h + strength * (h * direction).sum(-1, keepdim=True).tanh() * direction
    if steering.intervention == "angular":
        plane = torch.stack([direction, *basis])
        turn = torch.tensor([math.cos(math.radians(strength)), math.sin(math.radians(strength))])
        return lambda h: h - (h @ plane.T) @ plane + (h @ plane.T).norm(dim=-1, keepdim=True) * (turn @ plane)
    return lambda h: h - strength * ((h @ direction)[..., None] - reference) * direction


def _at_angle(h: Tensor, direction: Tensor, degrees: float) -> Tensor:
    """As long as before, at so many degrees to the direction, in the plane of both."""
    across = torch.nn.functional.normalize(h - (h @ direction)[..., None] * direction, dim=-1)
    turned = math.cos(math.radians(degrees)) * direction + math.sin(math.radians(degrees)) * across
    return h.norm(dim=-1, keepdim=True) * turned


NAMES = {
    "gpt2": ("attn", "mlp", "attn.c_proj"),
    "gpt_neox": ("attention", "mlp", "attention.dense"),
    "mixtral": ("self_attn", "mlp", "self_attn.o_proj"),
    "gemma2": ("post_attention_layernorm", "post_feedforward_layernorm", "self_attn.o_proj"),
    "gemma3_text": ("post_attention_layernorm", "post_feedforward_layernorm", "self_attn.o_proj"),
}
"""By model type, what adds attention's and the MLP's part to the residual stream, and what reads the heads' outputs."""


@contextmanager
def site_hooks(
    model: Any,
    blocks: Sequence[Any],
    steering: Steering,
    prompt: int,
    template: int = 1,
    look: Callable[[Tensor], object] | None = None,
) -> Iterator[None]:
    """The edits of a steering that acts at another site than blocks' outputs, each by a hook on a module that is named here; with
    ``look`` what stands there is shown, and left as it is."""
    attention, mlp, projection = NAMES.get(model.config.model_type, ("self_attn", "mlp", "self_attn.o_proj"))
    n_heads, handles = model.config.get_text_config().num_attention_heads, []

    def put_out(edit: Callable[[Tensor], Tensor]) -> Any:
        def hook(_module: object, _args: object, output: Any) -> Any:
            return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)

        return hook

    def given(edit: Callable[[Tensor], Tensor], head: int | None = None) -> Any:
        def hook(_module: object, args: Any, kwargs: Any) -> Any:
            stream = args[0] if args else kwargs["hidden_states"]
            if head is None:
                edited = edit(stream)
            else:
                edited = stream.clone().unflatten(-1, (n_heads, -1))
                edited[..., head, :] = edit(edited[..., head, :].clone())
                edited = edited.flatten(-2)
            return ((edited, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": edited})

        return hook

    def shown(value: Tensor) -> Tensor:
        assert look is not None
        look(value)
        return value

    def hang(site: str, layer: int, asked: Callable[[Tensor], Tensor]) -> None:
        edit = asked if look is None else shown
        block, head = blocks[layer], int(site.partition(":")[2] or -1)
        if site in ("attention", "mlp"):
            module = block.get_submodule(attention if site == "attention" else mlp)
            handles.append(module.register_forward_hook(put_out(edit)))
        else:
            module = block if site == "input" else block.get_submodule(projection)
            handles.append(module.register_forward_pre_hook(given(edit, None if head < 0 else head), with_kwargs=True))

    sites = ["attention", "mlp"] if steering.site == "everywhere" else [steering.site]
    for site in sites:
        for layer, edit in edits_of(steering, prompt, template).items():
            hang(site, layer, edit)
    if steering.site == "everywhere":
        hang("input", steering.layers[0], edits_of(steering, prompt, template)[steering.layers[0]])
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def read_alone(model: Any, blocks: Sequence[Any], token_ids: Sequence[int], site: str) -> Tensor:
    """What stands at a site of every block at the last token of one prompt alone, ``[L, width]``."""
    found: dict[int, Tensor] = {}
    width = model.config.get_text_config().num_attention_heads if "head" in site else 1
    for layer in range(len(blocks)):
        unit = Steering((layer,), np.zeros((1, 1), np.float32), 1.0, site="heads" if "head" in site else site)

        def look(value: Tensor, layer: int = layer) -> None:
            found[layer] = value[0, -1]

        with site_hooks(model, blocks, unit, len(token_ids), look=look):
            model(input_ids=torch.tensor([list(token_ids)]), use_cache=False)
    states = torch.stack([found[layer] for layer in range(len(blocks))])
    return states.reshape(len(blocks), width, -1)[:, int(site.partition(":")[2])] if ":" in site else states


@torch.no_grad()
def generate_alone(
    model: Any,
    blocks: Sequence[Any],
    token_ids: Sequence[int],
    steering: Steering | None,
    n: int,
    template: int = 1,
    guess: Sequence[int] | None = None,
) -> list[int]:
    """Greedy tokens of one prompt alone, stop token excluded; ``template``: so many last ones of the prompt follow the user's.

    Greedy decoding takes the best token at every step, so one plain forward over the prompt and a ``guess`` tells whether all of
    that is what would be written; where it is not, and without a guess, the model's own ``generate`` writes it.
    """
    stop = model.generation_config.eos_token_id
    stops = set(stop if isinstance(stop, list) else [stop])
    if guess is not None and len(guess) <= n and not stops & set(guess):
        text = torch.tensor([[*token_ids, *guess]])
        with _steered(model, blocks, steering, len(token_ids), template):
            best = model(input_ids=text, use_cache=False).logits[0, len(token_ids) - 1 :].argmax(dim=-1).tolist()
        if best[: len(guess)] == list(guess) and (len(guess) == n or best[len(guess)] in stops):
            return list(guess)
    inputs = torch.tensor([list(token_ids)])
    with _steered(model, blocks, steering, len(token_ids), template):
        output = model.generate(
            input_ids=inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=n, do_sample=False, num_beams=1
        )
    new = output[0, inputs.shape[1] :].tolist()
    return [token for token in new if token not in stops]


@contextmanager
def _steered(model: Any, blocks: Sequence[Any], steering: Steering | None, prompt: int, template: int) -> Iterator[None]:
    """Every part of a steering by hooks of its own, for one text that begins with so many tokens of a prompt."""
    with ExitStack() as hooks:
        for part in () if steering is None else steering.parts:
            alone = replace(part, then=())
            if part.site == "output":
                hooks.enter_context(plain_hooks(blocks, edits_of(alone, prompt, template)))
            else:
                hooks.enter_context(site_hooks(model, blocks, alone, prompt, template))
        yield


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
