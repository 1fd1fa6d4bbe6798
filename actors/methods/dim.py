"""DIM, difference in means (paper eq. 1; Arditi et al. 2024): mean(positive) - mean(negative) at each layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from actors.methods.options import MethodOptions


class DimOptions(MethodOptions):
    """DIM has no options."""


def dim(positive: npt.NDArray[np.float64], negative: npt.NDArray[np.float64], _options: DimOptions) -> npt.NDArray[np.float64]:
    """Difference of class means ``[L, d]`` from activations ``[n, L, d]``, in float64; points towards the positive class."""
    return positive.mean(axis=0) - negative.mean(axis=0)
