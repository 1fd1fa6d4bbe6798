"""What is done to the residual stream, one file per intervention, listed here.

An intervention compiles a steering into a :class:`RowEdit` per layer: the engine then applies all rows' edits of a
layer at once (see ``actors.steering``), so different interventions, layers, directions and multipliers share one batch.
An unused part of an edit changes no bit of the result. Affine edits are one expression for all rows; any other function of the
residual stream runs once for the rows that use it (``actors.grouped``).

To add one: a file with a function like :func:`actors.interventions.ablation.ablation` or, for a function of the residual stream,
like :func:`actors.interventions.angular.rotation`; and a line below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from actors.interventions.ablation import ablation
from actors.interventions.addition import addition
from actors.interventions.affine_ablation import affine_ablation
from actors.interventions.angular import angular, rotation
from actors.interventions.edit import Change, References, RowEdit, TwoStepChange
from actors.interventions.own import own_change
from actors.interventions.replacement import replacement
from actors.interventions.subspace_replacement import subspace_replacement
from actors.types import FloatArray

Needs = Literal["", "reference", "positive", "negative", "subspace", "plane"]
"""What an intervention needs beside the direction: ``Steering.references``, which are the mean components of a class of contrast
prompts (``positive``, ``negative``) or another one's; ``Steering.bases``: of a subspace, or the second axis of a plane."""

Unit = Literal["length", "share", "degrees"]
"""What the multiplier is: a length along the direction; the share of an edit that is made, from 0 to 1; an angle."""

NO_AXES: FloatArray = np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class Intervention:
    """A line of the registry. ``compiled``: ``(unit vector [d], multiplier, reference, basis [K, d])`` -> the edit of one row at
    one layer.

    ``reference``: the component along the vector that affine ablation restores (``Steering.references``); ``basis``: orthonormal
    vectors beside it (``Steering.bases``); most interventions use neither, and ``needs`` says which do. ``unit``: what the
    multiplier is; ``acts_at_zero``: with 0 the stream is not left as it is.
    """

    compiled: Callable[[FloatArray, float, float, FloatArray], RowEdit]
    needs: Needs = ""
    unit: Unit = "length"
    acts_at_zero: bool = False

    def __call__(self, vector: FloatArray, multiplier: float, reference: float = 0.0, basis: FloatArray = NO_AXES) -> RowEdit:
        """The edit; ValueError for what the intervention does not take."""
        return self.compiled(vector, multiplier, reference, basis)


def _without_basis(
    edit: Callable[[FloatArray, float, float], RowEdit], needs: Needs = "", unit: Unit = "length", *, acts_at_zero: bool = False
) -> Intervention:
    return Intervention(
        lambda vector, multiplier, reference, _basis: edit(vector, multiplier, reference), needs, unit, acts_at_zero
    )


INTERVENTIONS: dict[str, Intervention] = {
    "addition": _without_basis(addition),
    "ablation": _without_basis(ablation, unit="share"),
    "affine_ablation": _without_basis(affine_ablation, "reference", "share"),
    "to_positive_mean": _without_basis(affine_ablation, "positive", "share"),
    "to_negative_mean": _without_basis(affine_ablation, "negative", "share"),
    "replacement": _without_basis(replacement, acts_at_zero=True),
    "subspace_replacement": Intervention(subspace_replacement, "subspace", acts_at_zero=True),
    "angular": Intervention(angular, "plane", "degrees", acts_at_zero=True),
    "rotation": Intervention(rotation, unit="degrees", acts_at_zero=True),
}


def intervention_of(name: str, code: str, width: int) -> Intervention:
    """A line of the registry, or a function of the user's own, whose file's text is ``code`` and which is to edit activations of
    ``width`` numbers; ValueError where there is none."""
    if name in INTERVENTIONS:
        return INTERVENTIONS[name]
    if not code and ".py:" not in name:
        raise ValueError(f"intervention {name!r} is unknown; allowed: {', '.join(INTERVENTIONS)}")
    change = own_change(name, code, width)
    return Intervention(lambda *_given: RowEdit(change=change), acts_at_zero=True)


def idle(name: str, multiplier: float) -> bool:
    """Whether a steering asks for nothing; of a function of the user's own that is not known."""
    return multiplier == 0 and name in INTERVENTIONS and not INTERVENTIONS[name].acts_at_zero


__all__ = [
    "INTERVENTIONS",
    "NO_AXES",
    "Change",
    "Intervention",
    "Needs",
    "References",
    "RowEdit",
    "TwoStepChange",
    "idle",
    "intervention_of",
]
