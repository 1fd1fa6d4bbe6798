"""Counts for people."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 4


def counted(count: int, noun: str) -> str:
    """``1 cell``, ``13 cells``, ``1,300 cells``; ``noun`` is one whose plural ends in s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def some(names: Sequence[str]) -> str:
    """Names in a line, each once: at most ``NAMED``, else the first of them and how many more there are."""
    listed = list(dict.fromkeys(names))
    return ", ".join(listed) if len(listed) <= NAMED else f"{', '.join(listed[: NAMED - 1])} and {len(listed) - NAMED + 1} more"
