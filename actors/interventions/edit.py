"""The edit of one row at one layer, in the one form that the engine applies to a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass

from actors.types import FloatArray


@dataclass(frozen=True, eq=False)
class RowEdit:
    """``h -> h + shift - (h . axis) axis``: ``shift`` float32 ``[d]`` or None, ``axis`` unit float32 ``[d]`` or None."""

    shift: FloatArray | None = None
    axis: FloatArray | None = None
