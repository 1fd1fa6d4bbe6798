"""The driver: plans, schedules, stores, reports. Imports no torch. ``load_results`` is for those who read what it wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.results.frames import Results, load_results

__all__ = ["Results", "load_results"]


def __getattr__(name: str) -> Any:
    """The names above, imported when they are asked for: polars takes its time."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from orchestrator.results import frames

    return getattr(frames, name)
