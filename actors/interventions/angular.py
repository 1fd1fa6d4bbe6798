"""Angular steering (Vu & Nguyen 2025): the residual stream is turned within a plane until it stands at an angle to the direction.

The norm stays as it is. ``angular`` turns within one plane for all tokens, spanned by the direction and a second axis; what lies
outside of the plane stays. ``rotation`` turns within the plane of the direction and the token's own residual stream.

The turn is that of the authors' code (github.com/lone17/angular-steering), ``h - P h + |P h| (cos b1 + sin b2)``. What it acts on
is not: there it is what every norm before attention and MLP puts out, here the residual stream behind a block; the second axis
is there the first principal component of the differences of the classes' normalised means, not scaled to length 1, at both norms
of every block, here of the set's unit directions; and there an adaptive form turns only tokens whose component along the
direction is positive.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import TYPE_CHECKING

import numpy as np

from actors.interventions.edit import References, RowEdit, TwoStepChange
from actors.types import FloatArray

if TYPE_CHECKING:
    from torch import Tensor

SMALL = 1e-3
"""How far the two axes of the plane may be from orthonormal."""
SMALLEST = 1e-30


def angular(vector: FloatArray, multiplier: float, reference: float, basis: FloatArray) -> RowEdit:
    """Turn the part within the plane of ``vector`` ``[d]`` and ``basis`` ``[1, d]`` to ``multiplier`` degrees from the vector,
    towards the second axis: 0 is along the direction, 180 against it. ValueError for a plane that is none."""
    _check_plane(vector, basis)
    return RowEdit(change=TURN)


def rotation(vector: FloatArray, multiplier: float, reference: float, basis: FloatArray) -> RowEdit:
    """Turn the whole stream to ``multiplier`` degrees from ``vector`` ``[d]``, within the plane of the two."""
    return RowEdit(change=WHOLE_TURN)


def _check_plane(vector: FloatArray, basis: FloatArray) -> None:
    if len(basis) != 1:
        raise ValueError(f"angular steering needs one axis beside the direction, got {len(basis)}")
    if abs(float(basis[0] @ vector)) > SMALL or abs(float(np.linalg.norm(basis[0])) - 1) > SMALL:
        raise ValueError("angular steering takes a second axis of length 1 at a right angle to the direction")


def _turn(vector: Tensor, strength: Tensor, references: References) -> Callable[[Tensor], Tensor]:
    second, angle = references.basis[:, :1], strength * (pi / 180)
    cosine, sine = angle.cos(), angle.sin()

    def turned(hidden: Tensor) -> Tensor:
        first_part, second_part = ((hidden * axis).sum(-1, keepdim=True) for axis in (vector, second))
        radius = (first_part.square() + second_part.square()).sqrt()
        return hidden + (radius * cosine - first_part) * vector + (radius * sine - second_part) * second

    return turned


def _whole_turn(vector: Tensor, strength: Tensor, references: References) -> Callable[[Tensor], Tensor]:
    from torch.linalg import vector_norm

    angle = strength * (pi / 180)
    along, sine = angle.cos() * vector, angle.sin()

    def turned(hidden: Tensor) -> Tensor:
        rest = hidden - (hidden * vector).sum(-1, keepdim=True) * vector
        across = rest / vector_norm(rest, dim=-1, keepdim=True).clamp(min=SMALLEST)
        return vector_norm(hidden, dim=-1, keepdim=True) * (along + sine * across)

    return turned


TURN, WHOLE_TURN = TwoStepChange(_turn), TwoStepChange(_whole_turn)
