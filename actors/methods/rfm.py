"""Recursive feature machine (Radhakrishnan et al. 2024; for steering: Beaglehole et al. 2025): the axis along which a kernel
predictor of the class, which learns its own metric, changes most."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from actors.errors import JobError
from actors.methods.options import MethodOptions

Array = npt.NDArray[np.float64]


class RfmOptions(MethodOptions):
    """``bandwidth``: of the Laplace kernel, in median distances between two prompts (in the metric of the iteration, so that one
    number means the same at every layer). ``ridge``: of the kernel regression; the kernel of a prompt with itself is 1.
    ``iterations``: how often the metric is learned."""

    bandwidth: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    ridge: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    iterations: int = Field(default=5, ge=1, le=100)


def rfm(positive: Array, negative: Array, options: RfmOptions) -> Array:
    """Top eigenvector ``[L, d]`` of the average gradient outer product (AGOP) of a kernel regression, one per layer.

    From M = I, ``iterations`` times: fit f(x) = sum_i a_i exp(-|x - x_i|_M / b) to y = +1 (positive) and -1 with
    ``(K + ridge I) a = y``, where ``|v|_M^2 = v . M v`` and b is ``bandwidth`` median distances; then M is the mean of
    grad f grad f^T over the prompts (a prompt's own term, which has no gradient there, left out), to scale. Signed towards the
    positive class; the norm is the projection of the difference in means, comparable with DIM's raw norm.
    """
    labels = np.repeat([1.0, -1.0], [len(positive), len(negative)])
    together = np.concatenate([positive, negative]).transpose(1, 0, 2)  # [L, n, d]
    axes = np.stack([_axis(layer, labels, options) for layer in together])
    reach = np.einsum("ld,ld->l", positive.mean(axis=0) - negative.mean(axis=0), axes)
    return axes * reach[:, None]


def _axis(activations: Array, labels: Array, options: RfmOptions) -> Array:
    """The unit axis ``[d]`` of one layer. Every gradient lies in the span of the centred activations, so its coordinates do."""
    left, singular, right = np.linalg.svd(activations - activations.mean(axis=0), full_matrices=False)
    points, metric = left * singular, np.eye(len(singular))
    for _ in range(options.iterations):
        metric = _agop(points, labels, metric, options)
    return np.asarray(np.linalg.eigh(metric)[1][:, -1] @ right)


def _agop(points: Array, labels: Array, metric: Array, options: RfmOptions) -> Array:
    """The next metric ``[k, k]``, of trace 1, from ``points`` ``[n, k]``."""
    mapped = points @ metric
    inner = mapped @ points.T
    squared = np.diag(inner)[:, None] + np.diag(inner)[None, :] - 2 * inner
    apart = np.triu(np.ones_like(inner, bool), 1)
    distances = np.sqrt(np.where(apart | apart.T, np.maximum(squared, 0.0), 0.0))
    scale = options.bandwidth * float(np.median(distances[apart]))
    if scale == 0:
        raise JobError("rfm: at some layer most prompts have the same activation, so there is nothing to tell apart")
    kernel = np.exp(-distances / scale)
    weights = np.linalg.solve(kernel + options.ridge * np.eye(len(kernel)), labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = np.where(distances > 0, kernel / distances, 0.0) * weights  # [at, of]
    gradients = pull @ mapped - pull.sum(axis=1, keepdims=True) * mapped
    found = gradients.T @ gradients
    return np.asarray(found / np.trace(found))
