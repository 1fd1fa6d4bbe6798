"""Random directions: the control. What a steering does with these, it does because of its size, not its direction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from actors.methods.dim import DimOptions, dim
from actors.methods.options import MethodOptions


class RandomOptions(MethodOptions):
    """``seed``: another seed, another direction."""

    seed: int = Field(default=0, ge=0)


def random(
    positive: npt.NDArray[np.float64], negative: npt.NDArray[np.float64], options: RandomOptions
) -> npt.NDArray[np.float64]:
    """Isotropic random vectors ``[L, d]``, one per layer, each with the norm of DIM's difference at that layer."""
    norms = np.linalg.norm(dim(positive, negative, DimOptions()), axis=-1, keepdims=True)
    drawn = np.random.default_rng(options.seed).standard_normal(positive.shape[1:])
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True) * norms
