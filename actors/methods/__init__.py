"""Extraction methods, one file each, listed here: activations of two classes -> one direction per layer. Imports no torch.

To add a method: a file with a function like :func:`actors.methods.dim.dim` and a frozen pydantic model of its options,
and a line below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.methods.dim import DimOptions, dim
from actors.methods.options import MethodOptions
from actors.methods.pca import PcaOptions, pca
from actors.methods.random import RandomOptions, random

Activations = npt.NDArray[np.float64]
"""``[n, L, d]``: residual stream of n prompts at the last token, after every block."""


@dataclass(frozen=True)
class Method:
    """``find(harmful, harmless, options) -> [L, d]`` float64, one difference vector per layer (its norm is the raw norm)."""

    find: Callable[[Activations, Activations, Any], Activations]
    options: type[MethodOptions]


METHODS: dict[str, Method] = {
    "dim": Method(dim, DimOptions),
    "pca": Method(pca, PcaOptions),
    "random": Method(random, RandomOptions),
}
