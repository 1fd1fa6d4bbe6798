"""The probe against a general minimiser over all d + 1 unknowns, and its two limits in C."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from actors.errors import JobError
from actors.methods.logistic import LogisticOptions, logistic

Array = npt.NDArray[np.float64]


def classes(n: int, m: int, d: int, seed: int = 0) -> tuple[Array, Array]:
    """Two classes ``[n, 2, d]`` and ``[m, 2, d]`` around different means, on different scales at the two layers."""
    rng = np.random.default_rng(seed)
    shift = rng.standard_normal((2, d))
    scale = np.array([1.0, 40.0])[None, :, None]
    return scale * (rng.standard_normal((n, 2, d)) + shift), scale * rng.standard_normal((m, 2, d))


def oracle(positive: Array, negative: Array, C: float) -> Array:
    """Unit normals ``[L, d]`` by L-BFGS on the loss as the docstring of ``logistic`` states it."""
    labels = np.repeat([1.0, -1.0], [len(positive), len(negative)])
    normals = []
    for layer in range(positive.shape[1]):
        together = np.concatenate([positive[:, layer], negative[:, layer]])
        inputs = together - together.mean(axis=0)
        inputs = inputs / np.sqrt((inputs**2).sum(axis=1).mean())

        def loss(w: Array, inputs: Array = inputs) -> tuple[float, Array]:
            margins = labels * (inputs @ w[:-1] + w[-1])
            slope = -labels / (1 + np.exp(margins))
            gradient = np.append(w[:-1] + C * slope @ inputs, C * slope.sum())
            return float(0.5 * w[:-1] @ w[:-1] + C * np.logaddexp(0, -margins).sum()), gradient

        result = minimize(
            loss,
            np.zeros(inputs.shape[1] + 1),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10},
        )
        normals.append(result.x[:-1] / np.linalg.norm(result.x[:-1]))
    return np.stack(normals)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize(("n", "m", "d"), [(5, 5, 200), (3, 8, 40), (30, 25, 6)])
def test_equals_a_general_minimiser(n: int, m: int, d: int, C: float) -> None:
    positive, negative = classes(n, m, d)
    found = logistic(positive, negative, LogisticOptions(C=C))
    unit = found / np.linalg.norm(found, axis=-1, keepdims=True)
    np.testing.assert_allclose(unit, oracle(positive, negative, C), atol=1e-4)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_equals_scikit_learn(C: float) -> None:
    positive, negative = classes(12, 9, 25)
    found = logistic(positive, negative, LogisticOptions(C=C))
    for layer in range(2):
        together = np.concatenate([positive, negative])[:, layer]
        centred = together - together.mean(axis=0)
        probe = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000)
        probe.fit(centred / np.sqrt((centred**2).sum(axis=1).mean()), np.repeat([1, 0], [12, 9]))
        normal = probe.coef_[0] / np.linalg.norm(probe.coef_[0])
        reach = (positive.mean(axis=0) - negative.mean(axis=0))[layer] @ normal
        np.testing.assert_allclose(found[layer], reach * normal, rtol=1e-5, atol=1e-7 * abs(reach))


def test_strong_penalty_gives_the_difference_in_means() -> None:
    positive, negative = classes(6, 6, 50)
    found = logistic(positive, negative, LogisticOptions(C=1e-6))
    np.testing.assert_allclose(found, positive.mean(axis=0) - negative.mean(axis=0), rtol=1e-4, atol=1e-4)


def test_weak_penalty_gives_the_widest_margin() -> None:
    """Two points: the widest margin is along the line between them, whatever C."""
    positive, negative = classes(1, 1, 30)
    for C in (1e-3, 1.0, 1e4):
        found = logistic(positive, negative, LogisticOptions(C=C))
        np.testing.assert_allclose(found, positive[0] - negative[0], rtol=1e-6)


def test_a_common_scale_or_shift_of_the_activations_changes_nothing() -> None:
    positive, negative = classes(5, 5, 64)
    found = logistic(positive, negative, LogisticOptions())
    moved = logistic(1000 * positive + 7, 1000 * negative + 7, LogisticOptions())
    np.testing.assert_allclose(moved, 1000 * found, rtol=1e-6, atol=1e-6 * np.abs(1000 * found).max())


def test_equal_activations_are_refused() -> None:
    same = np.ones((3, 2, 8))
    with pytest.raises(JobError, match="nothing to tell apart"):
        logistic(same, same, LogisticOptions())
