"""The edit of one row at one layer, in the one form that the engine applies to a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass

from actors.types import FloatArray


@dataclass(frozen=True, eq=False)
class RowEdit:
    """``h -> h + shift - (h . axis) axis``, or ``h -> shift`` where ``replaces``.

    ``shift`` float32 ``[d]`` or None; ``axis`` float32 ``[d]`` or None: a unit vector times the square root of the share
    of the component that is taken away. An edit that replaces has no axis.
    """

    shift: FloatArray | None = None
    axis: FloatArray | None = None
    replaces: bool = False
