"""Directional ablation (Arditi et al. 2024, eq. 4): remove the component along the direction, ``h' = h - (h . r) r``."""

from __future__ import annotations

import numpy as np

from actors.interventions.edit import RowEdit
from actors.types import FloatArray


def ablation(vector: FloatArray, multiplier: float, reference: float = 0.0) -> RowEdit:
    """Scale the component along the unit ``vector`` ``[d]`` by ``1 - multiplier``: 1 removes it, 0 is the identity.

    Raises ``ValueError`` outside [0, 1], where the edit would no longer be an ablation.
    """
    if not 0.0 <= multiplier <= 1.0:
        raise ValueError(f"ablation takes a multiplier between 0 (identity) and 1 (remove entirely), got {multiplier}")
    return RowEdit(axes=(np.float32(np.sqrt(multiplier)) * vector)[None])
