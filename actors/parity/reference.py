"""The reference extractor, with every known mistake as a switch: plain hooks on the blocks, one recipe per direction.

Recipes that differ only in what is read of a forward share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from actors.errors import JobError
from actors.extraction.hooks import last_logits
from actors.loading import LoadedModel
from actors.parity.grouping import MOST, PADDED, PaddedPrompt, lots
from actors.parity.jobs import Classes
from actors.parity.planted import Halves, Pass, Planted, ReadingRecipe, Tokens
from actors.prompts import TokenizerTemplate
from actors.steering import received, residual
from actors.types import Prompt
from actors.wording import Form, Wording

Directions = npt.NDArray[np.float64]
"""``[L, d]``, NaN where a recipe leaves a layer without a direction."""
ROUNDING = 1e-5
"""A difference that is smaller, relative to the activations, is none: what it points at is rounding."""
_HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class NotApplicableError(JobError):
    """A fault cannot be planted here: the tokenizer has no BOS, the template no blank at its end."""


@dataclass(frozen=True, eq=False)
class Streams:
    """What a forward is read for, ``[n, L + 1, d]`` float32 each: the residual stream in front of every block and behind the
    last one, at the last position and meaned over all of them; ``normed``: behind the final norm."""

    last: Tensor
    mean: Tensor
    normed_last: Tensor
    normed_mean: Tensor


class Reference:
    """Directions of one contrast on one model, by any recipe."""

    def __init__(self, loaded: LoadedModel, classes: Classes) -> None:
        self._loaded, self._classes = loaded, classes
        self._read: dict[tuple[Tokens, Pass], tuple[Streams, Streams]] = {}

    def direction(self, recipe: ReadingRecipe) -> Directions:
        """mean(positive) - mean(negative) as ``recipe`` computes it; ``NotApplicableError``."""
        positive, negative = (self._activations(streams, recipe) for streams in self._streams(recipe))
        return _difference(positive, negative, recipe.halves)

    def planted(self, faults: Sequence[Planted]) -> Iterator[tuple[Planted, Directions]]:
        """The directions of all of ``faults`` that can be planted here and change anything; those that come out equal to an
        earlier one are left out."""
        found: set[bytes] = set()
        for one in sorted(faults, key=lambda one: (len(one.names), repr(one.recipe.tokens), repr(one.recipe.run))):
            try:
                direction = self.direction(one.recipe)
            except NotApplicableError:
                continue
            bits = direction.astype(np.float32).tobytes()
            if bits not in found:
                yield one, direction
            found.add(bits)

    def parts(self) -> Iterator[PaddedPrompt]:
        """What every prompt may contribute, whatever prompts share its batch; none where a class has too many of them."""
        classes = self._classes.positive, self._classes.negative
        if max(map(len, classes)) > MOST:
            return
        for number, prompts in enumerate(classes):
            rows = [self._token_ids(prompt, Tokens()) for prompt in prompts]
            for names, run in PADDED.items():
                for length, members in lots(list(map(len, rows)), run.clean):
                    last = self._batch([rows[member] for member in members], run).last[:, 1:].numpy()
                    yield from (PaddedPrompt(names, number, member, length, last[at]) for at, member in enumerate(members))

    def _streams(self, recipe: ReadingRecipe) -> tuple[Streams, Streams]:
        key = (recipe.tokens, recipe.run)
        if key not in self._read:
            positive, negative = (
                self._forward([self._token_ids(prompt, recipe.tokens) for prompt in prompts], recipe.run)
                for prompts in (self._classes.positive, self._classes.negative)
            )
            self._read[key] = (positive, negative)
        return self._read[key]

    def _token_ids(self, prompt: Prompt, tokens: Tokens) -> list[int]:
        tokenizer = self._loaded.tokenizer
        if not tokens.template:
            ids = list(tokenizer(prompt.text)["input_ids"])
        else:
            text = self._loaded.renderer.render(prompt).text if tokens.generation_prompt else self._unopened(prompt)
            if tokens.stripped and text == (text := text.strip()):
                raise NotApplicableError("the rendered prompt has no blanks at its ends")
            ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        if tokens.bos:
            if tokenizer.bos_token_id is None:
                raise NotApplicableError("the tokenizer has no BOS token")
            ids = [int(tokenizer.bos_token_id), *ids]
        return ids

    def _unopened(self, prompt: Prompt) -> str:
        spec = self._loaded.spec
        template = TokenizerTemplate(self._loaded.tokenizer, generation_prompt=False)
        return Wording(template, Form(spec.system_prompt, spec.template_options, spec.date)).text(prompt.text) + prompt.answer

    def _forward(self, rows: Sequence[Sequence[int]], run: Pass) -> Streams:
        parts = [self._batch(rows[start : start + run.batch], run) for start in range(0, len(rows), run.batch)]
        fields = ("last", "mean", "normed_last", "normed_mean")
        return Streams(*(torch.cat([getattr(part, name) for part in parts]) for name in fields))

    @torch.inference_mode()
    def _batch(self, rows: Sequence[Sequence[int]], run: Pass) -> Streams:
        inputs = self._inputs(rows, run)
        read: dict[int, Tensor] = {}

        def first(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            read[0] = received(args, kwargs, "input of block 0").clone()

        def later(layer: int) -> Any:
            def hook(_module: nn.Module, _args: object, output: object) -> None:
                read[layer + 1] = residual(output, f"output of block {layer}").clone()

            return hook

        decoder = self._loaded.decoder
        handles = [decoder.blocks[0].register_forward_pre_hook(first, with_kwargs=True)]
        handles += [block.register_forward_hook(later(layer)) for layer, block in enumerate(decoder.blocks)]
        try:
            self._loaded.model(**inputs, use_cache=False, **last_logits(self._loaded.model, 1))
        finally:
            for handle in handles:
                handle.remove()
        streams = [read[layer] for layer in range(decoder.n_layers + 1)]
        normed = [_normed(decoder.final_norm, stream) for stream in streams]
        return Streams(_at_last(streams), _meaned(streams), _at_last(normed), _meaned(normed))

    def _inputs(self, rows: Sequence[Sequence[int]], run: Pass) -> dict[str, Tensor]:
        length = max(map(len, rows))
        token_ids = torch.full((len(rows), length), pad_token(self._loaded.tokenizer))
        mask = torch.zeros_like(token_ids)
        for number, row in enumerate(rows):
            place = slice(length - len(row), length) if run.side == "left" else slice(0, len(row))
            token_ids[number, place] = torch.tensor(row)
            mask[number, place] = 1
        device = self._loaded.device
        return {"input_ids": token_ids.to(device)} | ({"attention_mask": mask.to(device)} if run.mask else {})

    def _activations(self, streams: Streams, recipe: ReadingRecipe) -> Tensor:
        """``[n, L, d]`` as the recipe reads them; NaN where there is nothing to read."""
        plain = getattr(streams, recipe.pooled)
        normed = getattr(streams, f"normed_{recipe.pooled}")
        kept = _kept(len(plain), recipe)
        plain, normed = plain[kept], normed[kept]
        match recipe.site:
            case "input":
                return plain[:, :-1]
            case "next":
                return torch.cat([plain[:, 2:], torch.full_like(plain[:, :1], torch.nan)], dim=1)
            case "normed":
                return normed[:, 1:]
            case "last_normed":
                return torch.cat([plain[:, 1:-1], normed[:, -1:]], dim=1)
            case "output":
                return plain[:, 1:]


def pad_token(tokenizer: Any) -> int:
    """The id of what a batch is padded with."""
    return int(next((one for one in (tokenizer.pad_token_id, tokenizer.eos_token_id) if one is not None), 0))


def _kept(n: int, recipe: ReadingRecipe) -> list[int]:
    match recipe.kept:
        case "first":
            return list(range(0, n, recipe.batch))
        case "last_batch":
            return list(range((n - 1) // recipe.batch * recipe.batch, n))
        case "all":
            return list(range(n))


def _difference(positive: Tensor, negative: Tensor, halves: Halves) -> Directions:
    if halves:
        dtype = _HALVES[halves]
        means = [one.to(dtype).mean(dim=0) for one in (positive, negative)]
        found = (means[0] - means[1]).double().numpy()
    else:
        found = (positive.double().mean(dim=0) - negative.double().mean(dim=0)).numpy()
    lengths = torch.cat([positive, negative]).double().norm(dim=-1).mean(dim=0).numpy()
    found[np.linalg.norm(found, axis=-1) <= ROUNDING * lengths] = (
        np.nan
    )  # such as one token's embedding, or what no window reaches
    return np.asarray(found)


def _normed(norm: nn.Module | None, stream: Tensor) -> Tensor:
    """The stream behind the final norm; NaN where what reads it is none."""
    normed = None if norm is None else norm(stream)
    return normed if isinstance(normed, Tensor) and normed.shape == stream.shape else torch.full_like(stream, torch.nan)


def _at_last(streams: Sequence[Tensor]) -> Tensor:
    return torch.stack([one[:, -1].float().cpu() for one in streams], dim=1)


def _meaned(streams: Sequence[Tensor]) -> Tensor:
    return torch.stack([one.float().mean(dim=1).cpu() for one in streams], dim=1)
