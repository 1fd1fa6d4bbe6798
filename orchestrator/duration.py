"""A span of time in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Seconds for people, in two significant units: ``42 s``, ``3 min``, ``1 h 20 min``, ``2 d 3 h``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 2880 else f"{minutes // 1440} d {minutes % 1440 // 60} h"
