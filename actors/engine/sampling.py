"""Tokens drawn from a row's own distribution, with random numbers of its own: neighbours, order and resume change none.

The i-th number of a row follows from the seed, the prompt, the sample's number and i alone: it is counted (Philox), not generated
one after the other. Numbers are made on the host when a row is admitted, so every device is given the same ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.types import Decoding, Prompt

ROWS_AT_ONCE = {"cpu": 16, "cuda": 32}
"""Rows whose sorted vocabularies are in memory together: on CUDA some 45 bytes a word, 220 MB for 32 rows of 152,064."""
HEAD = 256
ROUNDING = 1e-12
"""More than sums of float64 in different orders differ by."""
COLDEST = 1e-30
"""Logits over a lower temperature leave the range of float64; at this one the likeliest token already has all the mass."""


@dataclass(frozen=True, eq=False)
class RowDraws:
    """How a row's tokens are drawn. ``uniforms`` ``[max_new_tokens]`` float64 in [0, 1): number i decides its token i."""

    temperature: float
    top_p: float
    uniforms: NDArray[np.float64]

    @classmethod
    def of(cls, decoding: Decoding, prompt: Prompt, sample: int) -> RowDraws | None:
        """Those of a prompt's ``sample``; None where decoding is greedy."""
        if not decoding.temperature:
            return None
        named = json.dumps([decoding.seed, prompt.content, sample], ensure_ascii=True)
        key = int.from_bytes(hashlib.sha256(named.encode()).digest()[:16], "big")
        raw = np.random.Philox(key=key).random_raw(decoding.most_tokens)
        uniforms = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return cls(max(decoding.temperature, COLDEST), decoding.top_p, uniforms)


DrawsFrom = tuple[RowDraws | None, int]
"""How a row's tokens are drawn (None: the likeliest is taken), and from where on."""


class Draws(NamedTuple):
    """How the next token of each of R rows is drawn, all ``[R]`` float64; ``temperature`` 0: the likeliest token."""

    temperature: Tensor
    top_p: Tensor
    uniform: Tensor


class SlotDraws:
    """The draws of all slots, in tensors that stay the same: ``uniforms`` ``[slots, capacity]``, by the position of the token
    before the one that is drawn."""

    def __init__(self, slots: int, capacity: int, device: torch.device) -> None:
        self._rows = torch.zeros(slots, 2, dtype=torch.float64, device=device)
        self._uniforms = torch.zeros(slots, capacity, dtype=torch.float64, device=device)

    def seat(self, slots: Tensor, rows: Sequence[DrawsFrom]) -> None:
        """Give ``slots`` the draws of ``rows``, each with the position of its prompt's last token."""
        uniforms = np.zeros((len(rows), self._uniforms.shape[1]))
        for number, (draws, first) in enumerate(rows):
            if draws is not None:
                uniforms[number, first : first + len(draws.uniforms)] = draws.uniforms
        self._uniforms[slots] = torch.from_numpy(uniforms).to(slots.device)
        self._rows[slots] = _settings(rows, slots.device)

    def move(self, source: Tensor, target: Tensor) -> None:
        """Slots ``target`` get what slots ``source`` have."""
        self._uniforms[target], self._rows[target] = self._uniforms[source], self._rows[source]

    def at(self, span: slice, positions: Tensor) -> Draws:
        """Those of slots ``span``, whose newest tokens are at ``positions``."""
        columns = positions.clamp(max=self._uniforms.shape[1] - 1)
        rows = self._rows[span]
        return Draws(rows[:, 0], rows[:, 1], self._uniforms[span].gather(1, columns[:, None])[:, 0])


def next_draws(rows: Sequence[DrawsFrom], device: torch.device) -> Draws | None:
    """Those of the token that each of ``rows``, which has so many, gets next; None where all are greedy."""
    if all(draws is None for draws, _ in rows):
        return None
    settings = _settings(rows, device)
    uniforms = [0.0 if draws is None else float(draws.uniforms[number]) for draws, number in rows]
    return Draws(settings[:, 0], settings[:, 1], torch.tensor(uniforms, dtype=torch.float64, device=device))


def _settings(rows: Sequence[DrawsFrom], device: torch.device) -> Tensor:
    """Temperature and top-p ``[R, 2]``."""
    found = [(0.0, 1.0) if draws is None else (draws.temperature, draws.top_p) for draws, _ in rows]
    return torch.tensor(found, dtype=torch.float64, device=device)


def drawn(logits: Tensor, draws: Draws) -> Tensor:
    """Token ids ``[R]`` from ``logits`` ``[R, vocabulary]``: the inverse distribution function of their softmax at a temperature,
    cut to the fewest likeliest tokens whose mass reaches top-p. In float64, likeliest first."""
    at_once = ROWS_AT_ONCE.get(logits.device.type, 16)
    parts = zip(*(torch.split(one, at_once) for one in (logits, *(one[:, None] for one in draws))), strict=True)
    return torch.cat([_drawn(part, Draws(*settings)) for part, *settings in parts])


def _drawn(logits: Tensor, draws: Draws) -> Tensor:
    """``draws`` are ``[R, 1]``. On a CPU, where sorting takes long, the likeliest ``HEAD`` tokens decide for the rows for which
    they can; what a row looks at depends on the row alone. On CUDA, where the host must not look at which rows these are, the
    logits are sorted and not the chances, which fall in the same order: numbers of 16 bits take a quarter of the passes of a
    radix sort that those of 64 take."""
    chances = (logits.double() / torch.where(draws.temperature > 0, draws.temperature, 1.0)).softmax(dim=-1)
    if logits.device.type != "cpu":
        tokens = logits.sort(dim=-1, descending=True, stable=True).indices
        return _taken(chances.gather(1, tokens), tokens, draws)
    if logits.shape[-1] <= HEAD:
        return _taken(*chances.sort(dim=-1, descending=True, stable=True), draws)
    likeliest, tokens = chances.topk(HEAD)
    found = _taken(likeliest, tokens, draws)
    within = likeliest.sum(dim=-1, keepdim=True) > torch.where(draws.top_p < 1, draws.top_p, draws.uniform) + ROUNDING
    if len(rest := (~within[:, 0]).nonzero()[:, 0]):
        ordered = chances[rest].sort(dim=-1, descending=True, stable=True)
        found[rest] = _taken(*ordered, Draws(*(one[rest] for one in draws)))
    return found


def _taken(chances: Tensor, tokens: Tensor, draws: Draws) -> Tensor:
    """``chances`` ``[R, n]`` fall, those of ``tokens``."""
    reached = chances.cumsum(dim=-1)
    last = (reached < draws.top_p).sum(dim=-1, keepdim=True).clamp(max=chances.shape[-1] - 1)
    mass = torch.where(draws.top_p < 1, reached.gather(1, last), 1.0)
    place = (reached <= draws.uniform * mass).sum(dim=-1, keepdim=True)
    return tokens.gather(1, torch.minimum(place, last))[:, 0]
