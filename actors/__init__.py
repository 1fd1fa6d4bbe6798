"""What runs beside a GPU: knows one model; never a sweep, a cell or a path of results. ``Model`` is for scripts and notebooks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.errors import WorkerError
    from actors.methods import METHODS
    from actors.model import Model
    from actors.types import Condition, Decoding, Direction, DirectionSet, ModelSpec, Prompt, Response, Steering

_PLACES = {
    "actors.errors": ("WorkerError",),
    "actors.methods": ("METHODS",),
    "actors.model": ("Model",),
    "actors.types": ("Condition", "Decoding", "Direction", "DirectionSet", "ModelSpec", "Prompt", "Response", "Steering"),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "METHODS",
    "Condition",
    "Decoding",
    "Direction",
    "DirectionSet",
    "Model",
    "ModelSpec",
    "Prompt",
    "Response",
    "Steering",
    "WorkerError",
]


def __getattr__(name: str) -> Any:
    """The names above, imported when they are asked for: torch takes its time."""
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_PLACE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
