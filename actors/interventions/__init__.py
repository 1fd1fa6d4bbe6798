"""What is done to the residual stream, one file per intervention, listed here.

An intervention compiles a steering into a :class:`RowEdit` per layer: the engine then applies all rows' edits of a
layer at once as ``h + shift - strength * (h . axis) axis`` (see ``actors.steering``), so different interventions,
layers, directions and multipliers share one batch. An unused part is zero and changes no bit of the result.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.interventions.ablation import ablation
from actors.interventions.addition import addition
from actors.interventions.edit import RowEdit
from actors.types import FloatArray

Intervention = Callable[[FloatArray, float], RowEdit]
"""(unit vector ``[d]``, multiplier) -> the edit of one row at one layer."""

INTERVENTIONS: dict[str, Intervention] = {
    "addition": addition,
    "ablation": ablation,
}

__all__ = ["INTERVENTIONS", "Intervention", "RowEdit"]
