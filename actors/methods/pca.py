"""PCA over contrast pairs (representation reading, Zou et al. 2023, section 3.1): the main axis of the pairwise differences."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from actors.errors import JobError
from actors.methods.contrast import Asked, unpaired
from actors.methods.options import MethodOptions


class PcaOptions(MethodOptions):
    """PCA has no options."""


def pca_unfit(asked: Asked, _options: PcaOptions) -> str | None:
    """Why PCA cannot do what is asked; None when it can."""
    return unpaired("pca", asked)


def pca(positive: npt.NDArray[np.float64], negative: npt.NDArray[np.float64], _options: PcaOptions) -> npt.NDArray[np.float64]:
    """First principal axis ``[L, d]`` of the differences ``positive[i] - negative[i]`` with both signs (so their mean is 0).

    Signed towards the positive class; its norm is the projection of the difference in means, comparable with DIM's raw norm.
    Raises ``JobError`` unless the classes pair up (prompt i of one with prompt i of the other).
    """
    if positive.shape != negative.shape:
        raise JobError(f"pca takes contrast pairs: {len(positive)} positive prompts but {len(negative)} negative ones")
    differences = (positive - negative).transpose(1, 0, 2)  # [L, n, d]
    axes = np.linalg.svd(differences, full_matrices=False).Vh[:, 0]  # [L, d]
    reach = np.einsum("ld,ld->l", differences.mean(axis=1), axes)
    return axes * reach[:, None]
