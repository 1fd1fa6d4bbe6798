"""Affine ablation (COSMIC; Marshall et al. 2024): set the component along the direction to a reference value, not to zero.

``h' = h - (h . r) r + (mu . r) r``, where ``mu`` is the mean activation of a class of prompts at that layer: of any reference as
``affine_ablation``, of the contrast prompts' classes as ``to_positive_mean`` and ``to_negative_mean``.
"""

from __future__ import annotations

import numpy as np

from actors.interventions.ablation import ablation
from actors.interventions.edit import RowEdit
from actors.types import FloatArray


def affine_ablation(vector: FloatArray, multiplier: float, reference: float = 0.0) -> RowEdit:
    """``h - multiplier * (h . r - reference) r`` for the unit ``vector`` ``r`` ``[d]``; multiplier 0 is the identity.

    Raises ``ValueError`` outside [0, 1]. With reference 0 it is plain ablation.
    """
    edit = ablation(vector, multiplier)
    return RowEdit(shift=np.float32(multiplier * reference) * vector, axes=edit.axes)
