"""WRMD against the dense formula of its paper, written down with numpy's own weighted mean and covariance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from actors.errors import JobError
from actors.methods import METHODS, Asked, Contrast
from actors.methods.wrmd import WrmdOptions, wrmd
from actors.types import Prompt
from tests.actors.methods.toy import Toy

Array = npt.NDArray[np.float64]


def contrast(n: int, m: int, d: int, weights: bool, seed: int = 0) -> Contrast:
    """Two classes ``[n, 1, 2, d]`` and ``[m, 1, 2, d]``, correlated across dimensions, on different scales at the two layers."""
    rng = np.random.default_rng(seed)
    mix, shift, scale = rng.standard_normal((d, d)), rng.standard_normal((2, d)), np.array([[1.0], [40.0]])
    sides = [scale * (rng.standard_normal((size, 1, 2, d)) @ mix + by) for size, by in ((n, shift), (m, 0 * shift))]
    prompts = [
        tuple(Prompt(f"{name}{i}", name, weight=float(rng.uniform(0.1, 2)) if weights else 1.0) for i in range(size))
        for name, size in (("P", n), ("N", m))
    ]
    both = [side.astype(np.float32) for side in sides]
    return Contrast(both[0], both[1], prompts[0], prompts[1], Toy(np.zeros(d), {}, np.zeros((1, d))))


def dense(given: Contrast, options: WrmdOptions) -> Array:
    """``(C + lambda I)^-1 (mu_P - mu_N)`` ``[L, d]`` with the full matrix, by ``np.cov``."""
    found = []
    shares = [np.array([prompt.weight for prompt in prompts]) for prompts in (given.positive_prompts, given.negative_prompts)]
    for layer in range(given.n_layers):
        sides = [side[:, layer] for side in given.last]
        covariances = [np.cov(side, rowvar=False, aweights=w, ddof=0) for side, w in zip(sides, shares, strict=True)]
        covariance = (
            covariances[1]
            if options.covariance == "negative"
            else np.average(covariances, axis=0, weights=[w.sum() for w in shares])
        )
        ridge = options.ridge * (np.trace(covariance) / len(covariance) if options.scale == "relative" else 1.0)
        means = [np.average(side, axis=0, weights=w) for side, w in zip(sides, shares, strict=True)]
        found.append(np.linalg.inv(covariance + ridge * np.eye(len(covariance))) @ (means[0] - means[1]))
    return np.stack(found)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("covariance", ["negative", "pooled"])
@pytest.mark.parametrize(("scale", "ridge"), [("relative", 0.1), ("relative", 1e-3), ("absolute", 2.0)])
@pytest.mark.parametrize(("n", "m", "d"), [(5, 6, 60), (40, 50, 12), (9, 7, 12)])
def test_equals_the_dense_formula(n: int, m: int, d: int, scale: Any, ridge: float, covariance: Any, weights: bool) -> None:
    """Fewer prompts than dimensions (Woodbury) and more, with and without weights."""
    options = WrmdOptions(ridge=ridge, scale=scale, covariance=covariance)
    given = contrast(n, m, d, weights)
    found, expected = wrmd(given, options).vectors, dense(given, options)
    units = [vectors / np.linalg.norm(vectors, axis=-1, keepdims=True) for vectors in (found, expected)]
    np.testing.assert_allclose(units[0], units[1], rtol=1e-5, atol=1e-9)


def test_a_heavy_ridge_gives_the_weighted_difference_in_means() -> None:
    given = contrast(6, 6, 30, True)
    shares = [[prompt.weight for prompt in prompts] for prompts in (given.positive_prompts, given.negative_prompts)]
    means = [np.average(side, axis=0, weights=w) for side, w in zip(given.last, shares, strict=True)]
    np.testing.assert_allclose(wrmd(given, WrmdOptions(ridge=1e9)).vectors, means[0] - means[1], rtol=1e-5, atol=1e-5)


def test_relative_ridge_means_the_same_at_every_scale_of_the_activations() -> None:
    given = contrast(6, 6, 30, False)
    larger = replace(given, positive=8 * given.positive, negative=8 * given.negative)
    np.testing.assert_allclose(wrmd(larger, WrmdOptions()).vectors, 8 * wrmd(given, WrmdOptions()).vectors, rtol=1e-6)


def test_a_prompt_of_weight_two_counts_as_if_it_were_there_twice() -> None:
    given = contrast(4, 5, 20, False)
    first, *rest = given.negative_prompts
    heavy = replace(given, negative_prompts=(replace(first, weight=2.0), *rest))
    twice = replace(given, negative=np.concatenate([given.negative[:1], given.negative]), negative_prompts=(first, first, *rest))
    np.testing.assert_allclose(wrmd(heavy, WrmdOptions()).vectors, wrmd(twice, WrmdOptions()).vectors, rtol=1e-9)


def test_what_has_no_covariance_is_refused() -> None:
    method, options = METHODS["wrmd"], WrmdOptions()
    reason = method.unfit(Asked(3, 1, 5, ""), options)
    assert reason is not None
    assert "two negative prompts" in reason
    assert method.unfit(Asked(3, 1, 5, ""), WrmdOptions(scale="absolute")) is None
    assert method.unfit(Asked(3, 1, 5, ""), WrmdOptions(covariance="pooled")) is None
    with pytest.raises(JobError, match="two negative prompts"):
        wrmd(contrast(3, 1, 8, False), options)
    same = contrast(3, 3, 8, False)
    with pytest.raises(JobError, match="all the same"):
        wrmd(replace(same, negative=np.ones_like(same.negative)), options)
