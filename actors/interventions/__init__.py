"""What is done to the residual stream, one file per intervention, listed here.

An intervention compiles a steering into a :class:`RowEdit` per layer: the engine then applies all rows' edits of a
layer at once (see ``actors.steering``), so different interventions, layers, directions and multipliers share one batch.
An unused part of an edit changes no bit of the result.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.interventions.ablation import ablation
from actors.interventions.addition import addition
from actors.interventions.affine_ablation import affine_ablation
from actors.interventions.edit import RowEdit
from actors.interventions.replacement import replacement
from actors.types import FloatArray

Intervention = Callable[[FloatArray, float, float], RowEdit]
"""(unit vector ``[d]``, multiplier, reference) -> the edit of one row at one layer.

``reference``: the component along the vector that affine ablation restores (``Steering.references``); others ignore it."""

INTERVENTIONS: dict[str, Intervention] = {
    "addition": addition,
    "ablation": ablation,
    "affine_ablation": affine_ablation,
    "replacement": replacement,
}

__all__ = ["INTERVENTIONS", "Intervention", "RowEdit"]
