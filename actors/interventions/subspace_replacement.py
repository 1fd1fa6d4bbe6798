"""Replacement within a subspace: the part of the residual stream that lies in it becomes a point of it, the rest stays.

``h' = h - B^T B h + multiplier * direction`` for orthonormal rows of ``B`` ``[K, d]`` and a direction that they span.
"""

from __future__ import annotations

import numpy as np

from actors.interventions.edit import RowEdit
from actors.types import FloatArray

SMALL = 1e-3
"""How far the basis may be from orthonormal, and the vector from lying in it."""


def subspace_replacement(vector: FloatArray, multiplier: float, reference: float, basis: FloatArray) -> RowEdit:
    """Put ``multiplier`` times the unit ``vector`` ``[d]`` in the place of the part along the rows of ``basis`` ``[K, d]``.

    Raises ``ValueError`` without a basis, for one that is not orthonormal, and for a vector outside of it.
    """
    if not len(basis):
        raise ValueError("subspace_replacement needs a basis of the subspace")
    if np.abs(basis @ basis.T - np.eye(len(basis))).max() > SMALL:
        raise ValueError("subspace_replacement takes a basis of orthonormal vectors")
    if multiplier and np.abs(vector - (basis @ vector) @ basis).max() > SMALL:
        raise ValueError("subspace_replacement takes a direction within the subspace of its basis")
    return RowEdit(shift=np.float32(multiplier) * vector, axes=basis.astype(np.float32, copy=False))
