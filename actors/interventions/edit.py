"""The edit of one row at one layer, in the forms that the engine applies to a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from actors.types import FloatArray

if TYPE_CHECKING:
    from torch import Tensor


class References(NamedTuple):
    """What an intervention may be given of every row beside direction and strength: a ``component`` along the direction
    ``[rows, 1, 1]``, and a ``basis`` ``[rows, K, d]`` of orthonormal vectors (zero where a row has fewer)."""

    component: Tensor
    basis: Tensor


Change = Callable[["Tensor", "Tensor", "Tensor", References], "Tensor"]
"""(activations ``[rows, T, d]``, unit directions ``[rows, 1, d]``, strengths ``[rows, 1, 1]``, references) -> the activations
edited. Every row is to depend on itself alone: sums go over the last dimension. It is given float32, and float64 where an edit is
checked; it reads nothing on the host."""


@dataclass(frozen=True, eq=False)
class TwoStepChange:
    """A ``Change`` of two steps: ``prepare`` works out what directions, strengths and references come to, once for many tokens of
    the same rows, and gives the function of the activations."""

    prepare: Callable[[Tensor, Tensor, References], Callable[[Tensor], Tensor]]

    def __call__(self, activation: Tensor, vector: Tensor, strength: Tensor, references: References) -> Tensor:
        """As any ``Change``."""
        return self.prepare(vector, strength, references)(activation)


@dataclass(frozen=True, eq=False)
class RowEdit:
    """``h -> h + shift - A^T A h``; or ``h -> shift`` where it ``replaces``; or what ``change`` makes of h.

    ``shift`` float32 ``[d]`` or None; ``axes`` float32 ``[K, d]`` or None: orthogonal vectors, each a unit vector times the
    square root of the share of its component that is taken away. An edit that replaces has no axes, one with a ``change``
    nothing else: the engine gives it the steering's own direction, strength and references.
    """

    shift: FloatArray | None = None
    axes: FloatArray | None = None
    replaces: bool = False
    change: Change | None = None
