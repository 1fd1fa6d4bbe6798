"""Weighted ridge mean difference (García-Ferrero, Montero & Orus 2025, arXiv:2512.16602): the difference of the class means,
freed of what varies within a class anyway."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from actors.errors import JobError
from actors.methods.contrast import Asked, Contrast, Found
from actors.methods.options import MethodOptions

Array = npt.NDArray[np.float64]


class WrmdOptions(MethodOptions):
    """``ridge``: lambda, ``relative`` to the mean variance trace(C) / d or ``absolute``. ``covariance``: C is that of the
    ``negative`` class (the prompts that the model complies with) or ``pooled`` over both."""

    ridge: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    scale: Literal["relative", "absolute"] = "relative"
    covariance: Literal["negative", "pooled"] = "negative"


def wrmd_unfit(asked: Asked, options: WrmdOptions) -> str | None:
    """Why there is no covariance to be relative to; None when there is one."""
    most = asked.n_negative if options.covariance == "negative" else max(asked.n_negative, asked.n_positive)
    if options.scale == "absolute" or most > 1:
        return None
    which = "negative prompts" if options.covariance == "negative" else "prompts of one class"
    return f"wrmd needs two {which} for their covariance, or 'scale: absolute'"


def wrmd(contrast: Contrast, options: WrmdOptions) -> Found:
    """``(C + lambda I)^-1 (mean(positive) - mean(negative))`` at each layer, ``[L, d]``, last token, float64.

    Means and covariance are weighted by the prompts' ``weight``; C divides by the sum of the weights, and pooled is the mean of
    both classes' by their weights. The norm is the projection of the difference in means, comparable with DIM's raw norm.
    """
    if reason := wrmd_unfit(contrast.asked, options):
        raise JobError(reason)
    shares = [np.array([prompt.weight for prompt in side]) for side in (contrast.positive_prompts, contrast.negative_prompts)]
    means = [np.average(side, axis=0, weights=weights) for side, weights in zip(contrast.last, shares, strict=True)]
    spreads = [
        np.sqrt(weights)[:, None, None] * (side - mean) for side, mean, weights in zip(contrast.last, means, shares, strict=True)
    ]
    used = slice(1, 2) if options.covariance == "negative" else slice(0, 2)
    spread = np.concatenate(spreads[used]) / np.sqrt(np.concatenate(shares[used]).sum())  # C = spread.T @ spread, per layer
    difference = means[0] - means[1]
    return Found(np.stack([_solved(spread[:, layer], difference[layer], options) for layer in range(contrast.n_layers)]))


def _solved(spread: Array, difference: Array, options: WrmdOptions) -> Array:
    """One layer's vector ``[d]``, as long as the difference reaches along it; ``spread`` ``[n, d]``, C = spread.T @ spread."""
    n, d = spread.shape
    ridge = options.ridge * (float((spread**2).sum()) / d if options.scale == "relative" else 1.0)
    if ridge == 0:
        raise JobError("wrmd: prompts of a class are all the same at some layer, so there is no covariance to be relative to")
    if n < d:  # Woodbury: an n x n system
        inner = np.linalg.solve(ridge * np.eye(n) + spread @ spread.T, spread @ difference)
        solved: Array = np.asarray((difference - spread.T @ inner) / ridge)
    else:
        solved = np.asarray(np.linalg.solve(spread.T @ spread + ridge * np.eye(d), difference))
    squared = float(solved @ solved)
    return np.asarray(solved * (float(difference @ solved) / squared) if squared else solved)
