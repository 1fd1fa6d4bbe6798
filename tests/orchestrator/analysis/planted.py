"""Residual streams whose geometry is known, with noise that is carried from layer to layer as a residual stream carries it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from orchestrator.analysis.analysis import Class, Material

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stream:
    """Two classes whose direction, of ``length``, turns by ``angle`` degrees per block within a plane; every prompt adds noise of
    unit variance in each of ``width`` dimensions, of which the share ``carried`` is the same at all layers."""

    angle: float
    length: float
    layers: int = 6
    width: int = 64
    carried: float = 0.5

    def directions(self, random: np.random.Generator) -> Array:
        """``[L, d]``, in a plane of its own."""
        plane, _ = np.linalg.qr(random.normal(size=(self.width, 2)))
        turned = np.radians(self.angle) * np.arange(self.layers)
        return self.length * (np.cos(turned)[:, None] * plane[:, 0] + np.sin(turned)[:, None] * plane[:, 1])

    def prompts(self, n: int, shift: Array, random: np.random.Generator) -> Array:
        """``[n, L, d]`` around ``shift`` ``[L, d]``, far from the origin."""
        common, own = random.normal(size=(n, 1, self.width)), random.normal(size=(n, self.layers, self.width))
        return 5.0 + shift + np.sqrt(self.carried) * common + np.sqrt(1 - self.carried) * own

    def material(self, n: int, seed: int) -> Material:
        """``n`` prompts of each class."""
        random = np.random.default_rng(seed)
        directions = self.directions(random)
        both = np.concatenate([self.prompts(n, sign * directions / 2, random) for sign in (1, -1)])
        return Material({"activations": both.astype(np.float32)}, classes(n, n), (None,) * 2 * n)


def classes(positive: int, negative: int) -> tuple[Class, ...]:
    """So many prompts of the one class, then of the other."""
    return tuple("positive" if place < positive else "negative" for place in range(positive + negative))
