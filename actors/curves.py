"""Curves through behavioural centroids: how prompts are put in order, and where a curve through the means of that order lies.

A prompt's *strength* is its place between the means of the classes (0 the negative one, 1 the positive one), over all layers
together, each in units of its scatter within the classes, and with the prompt itself left out of its class's mean: otherwise
noise alone would push every prompt towards its class. Prompts in bins of equal size by strength give the *knots*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.types import Curve, FloatArray

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

CURVE = "curve"
"""The intervention that puts a curve's point in the stream's place, and the method that fits curves."""

LEAST_PROMPTS = 3
"""Of each bin: a variance needs two, and one may be left out."""
FEWEST_KNOTS = 3
"""Of fewer there is no curve."""


def strength_of(multiplier: float) -> float:
    """The strength that a multiplier asks for: 1 the positive class's mean, -1 the negative one's, and in proportion between and
    beyond."""
    return (1 + multiplier) / 2


def strengths(states: npt.NDArray[np.floating], n_positive: int) -> Array:
    """Of each prompt of ``states`` ``[n, L, d]``, the positive ones first: its place between the classes' means, ``[n]``."""
    sides = [np.asarray(side, np.float64) for side in np.split(states, [n_positive])]
    within = [side - side.mean(axis=0) for side in sides]
    scatter = np.sqrt(np.mean(np.concatenate(within) ** 2, axis=(0, 2)))
    scale = np.where(scatter > 0, scatter, 1.0)[None, :, None]
    difference = ((sides[0].mean(axis=0) - sides[1].mean(axis=0))[None] / scale).ravel()
    found = []
    for side, away in ((0, 1.0), (1, -1.0)):
        own = (within[side] / scale).reshape(len(within[side]), -1)
        n = len(own)
        apart = difference - away * own / (n - 1)  # the positive mean less the negative one, without the prompt
        from_own = own * n / (n - 1)
        along = np.einsum("nd,nd->n", from_own, apart) / np.einsum("nd,nd->n", apart, apart)
        found.append(along + (1.0 if side == 0 else 0.0))
    return np.concatenate(found)


def binned(strength: Array, knots: int) -> list[Places]:
    """The prompts of each of ``knots`` bins of equal size, by rising strength; fewer where a bin would have too few prompts."""
    count = min(knots, len(strength) // LEAST_PROMPTS)
    return list(np.array_split(np.argsort(strength, kind="stable"), count)) if count else []


def principal_axes(states: Array, dimensions: int) -> Array:
    """The first principal components ``[D, d]`` of ``states`` ``[n, d]``, orthonormal."""
    return np.asarray(np.linalg.svd(states - states.mean(axis=0), full_matrices=False).Vh[:dimensions])


def centroids(points: Array, bins: Sequence[Places]) -> Array:
    """The mean of each bin."""
    return np.stack([points[one].mean(axis=0) for one in bins])


def standard_errors(points: Array, bins: Sequence[Places]) -> Array:
    """Of each centroid: the root of its summed variances."""
    return np.sqrt([points[one].var(axis=0, ddof=1).sum() / len(one) for one in bins])


def instabilities(points: Array, bins: Sequence[Places]) -> Array:
    """Of each knot: its standard error over the distance of its nearest neighbour."""
    gaps = np.linalg.norm(np.diff(centroids(points, bins), axis=0), axis=1)
    nearest = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    errors = standard_errors(points, bins)
    return np.divide(errors, nearest, out=np.full(len(errors), np.inf), where=nearest > 0)


def through(levels: Array, knots: Array, at: Array) -> Array:
    """Points ``[m, ..., D]`` of the curves through ``knots`` ``[K, ..., D]`` at the strengths ``at``: SciPy's PCHIP, monotone
    between knots in every coordinate. Beyond the ends the end knots, for nothing is known of what lies there."""
    from scipy.interpolate import PchipInterpolator

    return np.asarray(PchipInterpolator(levels, knots)(np.clip(at, levels[0], levels[-1])))


def point_of(curve: Curve, strength: float) -> FloatArray:
    """The curve's point ``[d]`` at a strength."""
    coordinates = through(curve.levels, curve.points, np.array([strength]))[0]
    return np.asarray(coordinates @ curve.basis.astype(np.float64), np.float32)


@dataclass(frozen=True, eq=False)
class CommonSpace:
    """All layers in one set of ``axes`` ``[D, d]``, each less its mean (``means`` ``[L, d]``) and in units of its ``scatter``
    ``[L]``: ``points`` ``[n, L, D]``, and their centroids ``knots`` ``[L, K, D]``."""

    axes: Array
    means: Array
    scatter: Array
    points: Array
    knots: Array

    @classmethod
    def of(cls, states: Array, bins: Sequence[Places], dimensions: int) -> CommonSpace:
        """``states`` ``[n, L, d]``; the axes are those along which the knots of all layers together reach farthest."""
        means = states.mean(axis=0)
        centred = states - means
        scatter = np.sqrt((centred**2).mean(axis=(0, 2)))
        scatter = np.where(scatter > 0, scatter, 1.0)
        centred = centred / scatter[None, :, None]
        knots = np.stack([centred[one].mean(axis=0) for one in bins], axis=1)  # [L, K, d]
        axes = np.linalg.svd(knots.reshape(-1, knots.shape[-1]), full_matrices=False).Vh[:dimensions]
        return cls(axes, means, scatter, centred @ axes.T, knots @ axes.T)


def depths_by(levels: Array, layers: int) -> Array:
    """Where each layer's knots lie over depth (0 to 1) and strength, ``[L, K, 2]``."""
    return np.stack(np.meshgrid(np.linspace(0, 1, layers), levels, indexing="ij"), axis=-1)
