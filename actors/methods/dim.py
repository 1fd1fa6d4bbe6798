"""DIM, difference in means (paper eq. 1; Arditi et al. 2024): mean(harmful) - mean(harmless) at each layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from actors.methods.options import MethodOptions


class DimOptions(MethodOptions):
    """DIM has no options."""


def dim(harmful: npt.NDArray[np.float64], harmless: npt.NDArray[np.float64], _options: DimOptions) -> npt.NDArray[np.float64]:
    """Difference of class means ``[L, d]`` from activations ``[n, L, d]``, in float64; points towards harmful."""
    return harmful.mean(axis=0) - harmless.mean(axis=0)
