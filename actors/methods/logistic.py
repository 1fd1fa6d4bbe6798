"""Logistic regression: the normal of the L2-regularised probe that tells the classes apart, one probe per layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from actors.errors import JobError
from actors.methods.options import MethodOptions

Array = npt.NDArray[np.float64]
GRADIENT_LIMIT = 1e-9
MAX_ITERATIONS = 500


class LogisticOptions(MethodOptions):
    """``C``: weight of the data against the penalty. Small: towards DIM; large: towards the widest margin."""

    C: float = Field(default=1.0, gt=0)


def logistic(positive: Array, negative: Array, options: LogisticOptions) -> Array:
    """Probe normals ``[L, d]`` from activations ``[n, L, d]``, pointing towards the positive class.

    At each layer the minimum over w, b of ``|w|^2 / 2 + C * sum_i log(1 + exp(-y_i (w . x_i + b)))`` (y = +1 positive; the
    bias is not penalised), where x is the activation minus the mean of all prompts, over the root mean square of its length,
    so that one C means the same at every layer. Unique for any n, d. The norm is the projection of the difference in means,
    comparable with DIM's raw norm.
    """
    labels = np.repeat([1.0, -1.0], [len(positive), len(negative)])
    together = np.concatenate([positive, negative]).transpose(1, 0, 2)  # [L, n, d]
    normals = np.stack([_normal(layer, labels, options.C) for layer in together])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    reach = np.einsum("ld,ld->l", positive.mean(axis=0) - negative.mean(axis=0), normals)
    return normals * reach[:, None]


def _normal(activations: Array, labels: Array, C: float) -> Array:
    """The weights ``[d]`` of one layer's probe. They lie in the span of the ``n`` activations, so ``n + 1`` unknowns do."""
    centred = activations - activations.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=-1).mean())
    if scale == 0:
        raise JobError("logistic: all prompts have the same activation at some layer, so there is nothing to tell apart")
    left, singular, right = np.linalg.svd(centred / scale, full_matrices=False)
    return np.asarray(_fit(left * singular, labels, C) @ right)


def _fit(features: Array, labels: Array, C: float) -> Array:
    """Weights of the probe on ``features`` ``[n, k]``: a strictly convex problem, solved with its exact Hessian."""
    from scipy.optimize import minimize
    from scipy.special import expit, log_expit

    inputs = np.column_stack([features, np.ones(len(features))])
    penalty = np.append(np.ones(features.shape[1]), 0.0)

    def loss(weights: Array) -> float:
        return float(0.5 * penalty @ weights**2 - C * log_expit(labels * (inputs @ weights)).sum())

    def gradient(weights: Array) -> Array:
        return np.asarray(penalty * weights - C * inputs.T @ (labels * expit(-labels * (inputs @ weights))))

    def hessian(weights: Array) -> Array:
        probability = expit(inputs @ weights)
        return np.asarray(np.diag(penalty) + C * (inputs.T * (probability * (1 - probability))) @ inputs)

    options = {"gtol": GRADIENT_LIMIT * max(1.0, C), "maxiter": MAX_ITERATIONS}
    result = minimize(loss, np.zeros(inputs.shape[1]), jac=gradient, hess=hessian, method="trust-exact", options=options)
    if np.linalg.norm(gradient(result.x)) > 1e-6 * max(1.0, C):
        raise JobError(f"logistic: the probe did not converge with C = {C}: {result.message}")
    return np.asarray(result.x[:-1])
