"""What is done to the residual stream, one file per intervention, listed here.

An intervention compiles a steering into a :class:`RowEdit` per layer: the engine then applies all rows' edits of a
layer at once (see ``actors.steering``), so different interventions, layers, directions and multipliers share one batch.
An unused part of an edit changes no bit of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from actors.interventions.ablation import ablation
from actors.interventions.addition import addition
from actors.interventions.affine_ablation import affine_ablation
from actors.interventions.edit import RowEdit
from actors.interventions.replacement import replacement
from actors.interventions.subspace_replacement import subspace_replacement
from actors.types import FloatArray

NO_AXES: FloatArray = np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class Intervention:
    """A line of the registry. ``compiled``: ``(unit vector [d], multiplier, reference, basis [K, d])`` -> the edit of one row at
    one layer.

    ``reference``: the component along the vector that affine ablation restores (``Steering.references``); ``basis``: orthonormal
    vectors beside it (``Steering.bases``); most interventions use neither.
    """

    compiled: Callable[[FloatArray, float, float, FloatArray], RowEdit]

    def __call__(self, vector: FloatArray, multiplier: float, reference: float = 0.0, basis: FloatArray = NO_AXES) -> RowEdit:
        """The edit; ValueError for what the intervention does not take."""
        return self.compiled(vector, multiplier, reference, basis)


def _without_basis(edit: Callable[[FloatArray, float, float], RowEdit]) -> Intervention:
    return Intervention(lambda vector, multiplier, reference, _basis: edit(vector, multiplier, reference))


INTERVENTIONS: dict[str, Intervention] = {
    "addition": _without_basis(addition),
    "ablation": _without_basis(ablation),
    "affine_ablation": _without_basis(affine_ablation),
    "replacement": _without_basis(replacement),
    "subspace_replacement": Intervention(subspace_replacement),
}

__all__ = ["INTERVENTIONS", "NO_AXES", "Intervention", "RowEdit"]
