"""Inner products between means of activations, without what estimating the means adds to them, and how far prompts carry them.

Of two means over the same prompts the product ``<a, b>`` holds the trace of their noises' covariance, tr Cov / n, on top of the
product of what they estimate: the length of a difference of class means grows by it, and an angle between two such differences
opens. Leaving out every prompt's product with itself takes it away exactly (a U-statistic, Hoeffding 1948); this is what is
left of splitting the prompts in halves once every split has been taken. Nothing is drawn here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from orchestrator.statistics import t_quantile

Array = npt.NDArray[np.float64]

Places = npt.NDArray[np.intp]

LEAST_PROMPTS = 3
"""Of each group: one is left out, and two are needed for a variance."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Means of groups of prompts, ``K`` in all: of every group at each of its views (layers, strengths), group-major.

    ``raw`` ``[K, K]``: products of the means as they are. ``true``: those of what they estimate, unbiased. ``noise``: a prompt's
    own part, tr Cov of two views of one group (0 between groups), unbiased. ``true_moves`` and ``noise_moves`` ``[N, K, K]``:
    how each prompt moves the two, scaled so that the sum over prompts of the products of two moves is the jackknife's
    covariance. ``freedom``: degrees of freedom of that.
    """

    raw: Array
    true: Array
    noise: Array
    true_moves: Array
    noise_moves: Array
    freedom: int

    def contrasts(self, weights: Array) -> Moments:
        """The same of linear combinations of the means, ``weights`` ``[C, K]``."""

        def of(matrix: Array) -> Array:
            return np.asarray(weights @ matrix @ weights.T)

        products = of(self.raw), of(self.true), of(self.noise)
        return Moments(*products, of(self.true_moves), of(self.noise_moves), self.freedom)

    def quantile(self, confidence: float = 0.95) -> float:
        """Of Student's t, two-sided."""
        return t_quantile(self.freedom, confidence)


def moments(groups: Sequence[npt.NDArray[np.floating]]) -> Moments:
    """The moments of ``groups`` of prompts, each ``[n, views, d]``; prompts of different groups are drawn independently.

    Meant are contrasts of them: the origin is put in their middle. ValueError for a group of fewer than ``LEAST_PROMPTS``.
    """
    if short := [len(group) for group in groups if len(group) < LEAST_PROMPTS]:
        raise ValueError(f"a group has {min(short)} prompts, at least {LEAST_PROMPTS} are needed")
    centre = np.mean([group.mean(axis=(0, 1), dtype=np.float64) for group in groups], axis=0)  # for the sake of the numbers
    arrays = [np.asarray(group, np.float64) - centre for group in groups]
    places = np.split(np.arange(sum(group.shape[1] for group in groups)), np.cumsum([group.shape[1] for group in groups])[:-1])
    means = np.concatenate([array.mean(axis=0) for array in arrays])
    raw = means @ means.T
    true, noise = raw.copy(), np.zeros_like(raw)
    for array, place in zip(arrays, places, strict=True):
        own = np.ix_(place, place)
        true[own], noise[own] = _within(raw[own], np.einsum("nvd,nwd->vw", array, array) / len(array), len(array))
    moved = [_moves(array, place, means, (true, noise)) for array, place in zip(arrays, places, strict=True)]
    both = [np.concatenate(one) for one in zip(*moved, strict=True)]
    return Moments(raw, true, noise, both[0], both[1], sum(map(len, arrays)) - len(arrays))


def _within(mean: Array, square: Array, n: int) -> tuple[Array, Array]:
    """From the product of means and the mean product of single prompts: the unbiased one, and the trace of the covariance."""
    noise = (square - mean) * n / (n - 1)
    return mean - noise / n, noise


def _moves(array: Array, place: Places, means: Array, known: tuple[Array, Array]) -> tuple[Array, Array]:
    """The replicates without each prompt of one group, less their mean, scaled to the jackknife's variance."""
    n, size = len(array), len(means)
    products = array @ means.T
    single = array @ array.transpose(0, 2, 1)
    total = single.mean(axis=0)
    true, noise = (np.repeat(matrix[None], n, axis=0) for matrix in known)
    others = np.setdiff1d(np.arange(size), place)
    own = means[place]
    left = (n * (own @ means.T) - products) / (n - 1)
    beside = left[:, :, others]
    true[:, place[:, None], others] = beside
    true[:, others[:, None], place] = beside.transpose(0, 2, 1)
    inner = products[:, :, place]
    mean = (n * n * (own @ own.T) - n * (inner + inner.transpose(0, 2, 1)) + single) / (n - 1) ** 2
    within = _within(mean, (n * total - single) / (n - 1), n - 1)
    true[:, place[:, None], place], noise[:, place[:, None], place] = within
    scale = np.sqrt((n - 1) / n)
    return scale * (true - true.mean(axis=0)), scale * (noise - noise.mean(axis=0))


@dataclass(frozen=True, eq=False)
class Ratio:
    """Estimates (NaN: there is none) with intervals, each an array."""

    value: Array
    low: Array
    high: Array


Fraction = tuple[Array, Array, Array, Array]
"""A numerator, a denominator, and how each prompt (first axis) moves the two."""


def ratio(fraction: Fraction, quantile: float) -> Ratio:
    """The quotient with Fieller's interval, which is unbounded where the denominator may be 0."""
    top, bottom, top_moves, bottom_moves = fraction
    vtt, vtb, vbb = (
        np.einsum("n...,n...->...", *pair)
        for pair in ((top_moves, top_moves), (top_moves, bottom_moves), (bottom_moves, bottom_moves))
    )
    a, b, c = bottom**2 - quantile**2 * vbb, top * bottom - quantile**2 * vtb, top**2 - quantile**2 * vtt
    known = (a > 0) & (bottom > 0)
    safe, root = np.where(known, a, 1.0), np.sqrt(np.maximum(b * b - a * c, 0.0))
    low, high = np.where(known, (b - root) / safe, -np.inf), np.where(known, (b + root) / safe, np.inf)
    value = np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
    return Ratio(value, low, high)


def cosines(found: Moments) -> Ratio:
    """The cosines between what all vectors of ``found`` estimate, ``[C, C]``: corrected for attenuation (Spearman 1904), so an
    estimate may lie beyond 1."""
    return ratio(cosine_fractions(found), found.quantile())


def cosine_fractions(found: Moments) -> Fraction:
    """The products of the vectors and of their lengths, ``[C, C]``."""
    lengths, moves = np.diagonal(found.true), np.diagonal(found.true_moves, axis1=1, axis2=2)
    positive = np.maximum(lengths, 0.0)
    bottom = np.sqrt(np.outer(positive, positive))
    safe = np.where(bottom > 0, bottom, 1.0)
    bottom_moves = (moves[:, :, None] * positive[None, None, :] + positive[None, :, None] * moves[:, None, :]) / (2 * safe)
    return found.true, bottom, found.true_moves, bottom_moves


def mean_cosine(found: Moments, pairs: tuple[Places, Places]) -> tuple[Ratio, int]:
    """The mean of the cosines of ``pairs`` of vectors that have a length beyond doubt, with its interval; and how many those are.

    A mean of angles would not do: an angle has no sign, so noise alone opens it.
    """
    top, bottom, top_moves, bottom_moves = cosine_fractions(found)
    sure = np.isfinite(cosines(found).low[pairs])
    at = pairs[0][sure], pairs[1][sure]
    if not sure.any():
        return Ratio(np.array(np.nan), np.array(-np.inf), np.array(np.inf)), 0
    each = top[at] / bottom[at]
    moves = ((top_moves[:, *at] - each * bottom_moves[:, *at]) / bottom[at]).mean(axis=1)
    mean, reach = each.mean(), found.quantile() * np.sqrt((moves**2).sum())
    return Ratio(mean, mean - reach, mean + reach), int(sure.sum())


def degrees(cosine: npt.ArrayLike) -> Array:
    """The angle of a cosine, which is first brought between -1 and 1."""
    return np.degrees(np.arccos(np.clip(np.asarray(cosine, np.float64), -1.0, 1.0)))
