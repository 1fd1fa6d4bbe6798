"""RFM against scikit-learn's kernel ridge regression and gradients by automatic differentiation, in all d dimensions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge

from actors.errors import JobError
from actors.methods.rfm import RfmOptions, rfm

Array = npt.NDArray[np.float64]


def classes(n: int, m: int, d: int, seed: int = 0) -> tuple[Array, Array]:
    """Two classes ``[n, 2, d]`` and ``[m, 2, d]`` around different means, on different scales at the two layers."""
    rng = np.random.default_rng(seed)
    scale = np.array([1.0, 40.0])[None, :, None]
    return scale * (rng.standard_normal((n, 2, d)) + rng.standard_normal((2, d))), scale * rng.standard_normal((m, 2, d))


def apart(one: torch.Tensor, other: torch.Tensor, metric: torch.Tensor) -> torch.Tensor:
    """``|one - other|`` in the metric, every pair, without the algebra of the implementation."""
    step = one[:, None] - other[None, :]
    return torch.sqrt(torch.einsum("ijd,de,ije->ij", step, metric, step))


def oracle(points: Array, labels: Array, options: RfmOptions) -> Array:
    """The AGOP ``[d, d]`` as the docstring of ``rfm`` states it."""
    x = torch.from_numpy(points)
    metric = torch.eye(x.shape[1], dtype=x.dtype)
    for _ in range(options.iterations):
        distances = apart(x, x, metric).fill_diagonal_(0.0)
        scale = options.bandwidth * float(np.median(distances.numpy()[np.triu_indices(len(x), 1)]))
        fitted = KernelRidge(alpha=options.ridge, kernel="precomputed").fit(torch.exp(-distances / scale).numpy(), labels)
        weights = torch.from_numpy(fitted.dual_coef_)
        outer = torch.zeros_like(metric)
        for number in range(len(x)):
            at = x[number : number + 1].clone().requires_grad_()
            others = [one for one in range(len(x)) if one != number]
            value = torch.exp(-apart(at, x[others], metric) / scale) @ weights[others]
            (gradient,) = torch.autograd.grad(value.sum(), at)
            outer += gradient[0][:, None] * gradient[0][None, :]
        metric = outer / len(x)
    return metric.numpy()


@pytest.mark.parametrize("options", [RfmOptions(), RfmOptions(bandwidth=1, ridge=1e-3), RfmOptions(iterations=1)])
@pytest.mark.parametrize(("n", "m", "d"), [(6, 6, 20), (9, 5, 8)])
def test_equals_kernel_ridge_and_automatic_gradients(n: int, m: int, d: int, options: RfmOptions) -> None:
    positive, negative = classes(n, m, d)
    found = rfm(positive, negative, options)
    for layer in range(2):
        points = np.concatenate([positive, negative])[:, layer]
        axis = np.linalg.eigh(oracle(points, np.repeat([1.0, -1.0], [n, m]), options))[1][:, -1]
        along = (positive.mean(axis=0) - negative.mean(axis=0))[layer] @ axis
        np.testing.assert_allclose(found[layer], along * axis, rtol=1e-5, atol=1e-6 * abs(along))


def test_it_learns_the_one_dimension_that_matters() -> None:
    """The class is the sign of one coordinate of twelve: one step of learning finds it roughly, more of them sharply."""
    rng = np.random.default_rng(3)
    points = rng.standard_normal((200, 1, 12))
    points[:, 0, 4] += np.sign(points[:, 0, 4])
    sides = points[points[:, 0, 4] > 0], points[points[:, 0, 4] < 0]
    cosines = [
        found[0, 4] / np.linalg.norm(found[0])
        for found in (rfm(*sides, RfmOptions(bandwidth=1, ridge=1e-3, iterations=count)) for count in (1, 5))
    ]
    assert 0.9 < cosines[0] < cosines[1]
    assert cosines[1] > 0.99


def test_a_common_scale_or_shift_of_the_activations_changes_nothing() -> None:
    positive, negative = classes(5, 5, 40)
    found = rfm(positive, negative, RfmOptions())
    np.testing.assert_allclose(rfm(1000 * positive + 7, 1000 * negative + 7, RfmOptions()), 1000 * found, rtol=1e-6)


def test_two_prompts_differ_along_the_line_between_them() -> None:
    positive, negative = classes(1, 1, 30)
    np.testing.assert_allclose(rfm(positive, negative, RfmOptions()), (positive - negative)[0], rtol=1e-6)


def test_equal_activations_are_refused() -> None:
    same = np.ones((3, 2, 8))
    with pytest.raises(JobError, match="nothing to tell apart"):
        rfm(same, same, RfmOptions())
