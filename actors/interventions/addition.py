"""Addition (paper eq. 2): ``h' = h + multiplier * direction``."""

from __future__ import annotations

import numpy as np

from actors.interventions.edit import RowEdit
from actors.types import FloatArray


def addition(vector: FloatArray, multiplier: float, reference: float = 0.0) -> RowEdit:
    """Shift by ``multiplier`` times the unit ``vector`` ``[d]``; multiplier 0 is the identity, negative ones are legal."""
    return RowEdit(shift=np.float32(multiplier) * vector)
