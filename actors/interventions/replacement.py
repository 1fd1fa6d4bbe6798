"""Replacement: the residual stream itself becomes the vector, ``h' = multiplier * direction`` (for points of a curve through
the centroids of the responses' activations)."""

from __future__ import annotations

import numpy as np

from actors.interventions.edit import RowEdit
from actors.types import FloatArray


def replacement(vector: FloatArray, multiplier: float, reference: float = 0.0) -> RowEdit:
    """Put ``multiplier`` times the unit ``vector`` ``[d]`` in the stream's place; no multiplier is the identity."""
    return RowEdit(shift=np.float32(multiplier) * vector, replaces=True)
