"""The driver: plans, schedules, stores, reports. Imports no torch. The names below are for scripts and notebooks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.behaviors import Behavior
    from orchestrator.library import Evaluation, evaluate, load_behavior
    from orchestrator.loaded import Results, load_results

_PLACES = {
    "orchestrator.behaviors": ("Behavior",),
    "orchestrator.library": ("Evaluation", "evaluate", "load_behavior"),
    "orchestrator.loaded": ("Results", "load_results"),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__all__ = ["Behavior", "Evaluation", "Results", "evaluate", "load_behavior", "load_results"]


def __getattr__(name: str) -> Any:
    """The names above, imported when they are asked for: polars takes its time."""
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_PLACE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
