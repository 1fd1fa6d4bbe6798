"""How far two readings of the same prompts are apart, layer by layer, and which tensor of a block a reading is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Layers = tuple[float, ...]

OUTPUT = "output"
"""The site that a tool should read; the names are those of ``actors.parity.sites``."""
MATCHED = 0.05
"""Relative difference up to which a reading is said to be a site: rounding in bfloat16 makes less, another tensor more."""


@dataclass(frozen=True)
class Difference:
    """Per layer: the largest absolute difference; relative to the norm, the largest of any row; the smallest cosine of any row.
    ``bitwise``: every bit is equal at that layer."""

    absolute: Layers
    relative: Layers
    cosine: Layers
    bitwise: tuple[bool, ...]

    @property
    def equal(self) -> bool:
        """Every bit of every layer."""
        return all(self.bitwise)

    @property
    def worst(self) -> float:
        """The largest relative difference."""
        return max(self.relative)

    @property
    def least(self) -> float:
        """The smallest cosine of the layers that have one; NaN where none has."""
        return min((one for one in self.cosine if not math.isnan(one)), default=math.nan)


def difference(found: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> Difference:
    """Of ``found`` ``[n, L, d]`` to ``reference``; sums in float64."""
    apart = np.asarray(found, np.float64) - np.asarray(reference, np.float64)
    norms = np.linalg.norm(np.asarray(reference, np.float64), axis=-1)
    relative = np.linalg.norm(apart, axis=-1) / np.maximum(norms, np.finfo(np.float64).tiny)
    return Difference(
        tuple(np.abs(apart).max(axis=(0, 2)).tolist()),
        tuple(relative.max(axis=0).tolist()),
        tuple(cosines(found, reference).min(axis=0).tolist()),
        tuple(np.array_equal(found[:, layer], reference[:, layer]) for layer in range(found.shape[1])),
    )


def cosines(one: npt.ArrayLike, other: npt.ArrayLike) -> Array:
    """Along the last axis, in float64; NaN where one is zero or not a number."""
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((first * second).sum(axis=-1) / lengths)


def direction_of(activations: npt.NDArray[np.float32], positive: int) -> Array:
    """mean(first ``positive`` rows) - mean(the others), ``[L, d]`` float64."""
    whole = np.asarray(activations, np.float64)
    return np.asarray(whole[:positive].mean(axis=0) - whole[positive:].mean(axis=0))


@dataclass(frozen=True)
class SiteMatch:
    """The candidate that a reading of one layer is nearest to: which tensor (``site``) of which ``block``, how far it is away
    relative to its norm, and how far the next candidate that is another tensor. Of those that hold the same (a block's output is
    the next one's input) the output is named."""

    layer: int
    site: str
    block: int
    distance: float
    next_distance: float

    @property
    def right(self) -> bool:
        """It is the output of its own block."""
        return self.matched and self.site == OUTPUT and self.block == self.layer

    @property
    def matched(self) -> bool:
        """Whether it is a candidate at all, and no tensor that nobody thought of."""
        return self.distance <= MATCHED

    @property
    def words(self) -> str:
        """What is read, in words."""
        if not self.matched:
            return "no candidate site"
        if self.right:
            return "the output of its block"
        shift = self.block - self.layer
        away = "" if abs(shift) < 2 else f"{abs(shift)} "
        return f"{self.site} of " + (f"the block {away}{'before' if shift < 0 else 'after'}" if shift else "its block")


def matched_sites(reading: npt.NDArray[np.float32], sites: npt.NDArray[np.float32], names: Sequence[str]) -> list[SiteMatch]:
    """For each layer of ``reading`` ``[n, L, d]`` the nearest of ``sites`` ``[S, L, n, d]``."""
    flat = np.asarray(sites, np.float64).reshape(len(names) * sites.shape[1], -1)
    squares = (flat * flat).sum(axis=-1)
    found = []
    for layer in range(reading.shape[1]):
        wanted = np.asarray(reading[:, layer], np.float64).ravel()
        apart = np.sqrt(np.maximum(((flat - wanted) ** 2).sum(axis=-1), 0.0) / np.maximum(squares, np.finfo(np.float64).tiny))
        order = np.argsort(np.where(np.isnan(apart), np.inf, apart), kind="stable")
        best = int(order[0])
        other = next((int(one) for one in order[1:] if not np.array_equal(flat[one], flat[best])), best)
        site, block = divmod(best, sites.shape[1])
        found.append(SiteMatch(layer, str(names[site]), block, float(apart[best]), float(apart[other])))
    return found


def told_sites(matches: Sequence[SiteMatch]) -> str:
    """What a tool reads, in one line: ``layers 0-28: the output of its block; layer 29: ...``."""
    parts = []
    for words, group in groupby(matches, key=lambda one: one.words):
        layers = [one.layer for one in group]
        name = f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]}-{layers[-1]}"
        parts.append(f"{name}: {words}")
    return "; ".join(parts)
