"""The edit of one row at one layer, in the form that the engine applies to a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass

from actors.types import FloatArray


@dataclass(frozen=True, eq=False)
class RowEdit:
    """``h -> h + shift - A^T A h``, or ``h -> shift`` where ``replaces``.

    ``shift`` float32 ``[d]`` or None; ``axes`` float32 ``[K, d]`` or None: orthogonal vectors, each a unit vector times the
    square root of the share of its component that is taken away. An edit that replaces has no axes.
    """

    shift: FloatArray | None = None
    axes: FloatArray | None = None
    replaces: bool = False
