"""The cosine that conditions are about: of the same function where a threshold is learned and where rows are decided."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Cosines = npt.NDArray[np.float64]

SMALLEST = 1e-30
"""A product of two lengths that nothing is divided below: where there is no stream the cosine is 0."""


def cosines(states: Floats, vectors: Floats) -> Cosines:
    """Between each of ``states`` ``[n, d]`` and a vector ``[d]``, or its own ``[n, d]``, in float64. A state has the
    same bits alone as beside others."""
    rows, own = states.astype(np.float64), vectors.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=-1) * np.linalg.norm(own, axis=-1)
    found: Cosines = (rows * own).sum(axis=-1) / np.maximum(lengths, SMALLEST)
    return found
