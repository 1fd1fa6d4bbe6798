"""Does a layer tell the classes apart at all? A permutation test of the distance between their means.

A method that selects a layer selects one whatever it is given, and a raw norm alone says nothing: means of a few prompts are
apart by chance. Here the classes are drawn anew from the same prompts, every way there is, and it is counted how often their
means lie as far apart as those of the real ones.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

EXACT_UP_TO = 10_000
"""Labellings that are all tried; of more, as many are drawn."""
LIMIT = 0.05
"""A p-value above it says that chance alone does as well."""


@dataclass(frozen=True)
class Separation:
    """``p``: share of the labellings whose class means lie at least as far apart. ``least``: the smallest that it could be."""

    p: float
    least: float

    @property
    def tellable(self) -> bool:
        """Whether there are prompts enough for a verdict."""
        return self.least <= LIMIT

    @property
    def warning(self) -> str | None:
        """What is wrong, in words; None where nothing is, or where it cannot be told."""
        if self.tellable and self.p > LIMIT:
            return f"the classes are no farther apart there than classes drawn at random from the same prompts (p {self.p:.2g})"
        return None


def separation(positive: Array, negative: Array) -> Separation:
    """The permutation test of ``|mean(positive) - mean(negative)|``; ``[n, d]`` and ``[m, d]``, one row per prompt.

    Exact where there are at most ``EXACT_UP_TO`` labellings, else from so many that are drawn with a fixed seed.
    """
    n, m = len(positive), len(negative)
    together = np.concatenate([positive, negative]).astype(np.float64)
    centred = together - together.mean(axis=0)
    weights = np.where(_labellings(n, m), 1 / n, -1 / m)  # [labellings, n + m], the real one first
    squared = ((weights @ (centred @ centred.T)) * weights).sum(axis=1)
    p = float(np.mean(squared >= squared[0] * (1 - 1e-9)))
    return Separation(p, max((2 if n == m else 1) / math.comb(n + m, n), 1 / len(weights)))


def _labellings(n: int, m: int) -> npt.NDArray[np.bool_]:
    """Which of ``n + m`` prompts are called positive, the real labelling first."""
    if math.comb(n + m, n) <= EXACT_UP_TO:
        chosen = np.array(list(itertools.combinations(range(n + m), n)))
        labels = np.zeros((len(chosen), n + m), np.bool_)
        np.put_along_axis(labels, chosen, True, axis=1)
        return labels
    real = np.arange(n + m) < n
    return np.stack([real, *np.random.default_rng(0).permuted(np.tile(real, (EXACT_UP_TO - 1, 1)), axis=1)])
