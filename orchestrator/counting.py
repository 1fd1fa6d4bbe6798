"""Counts for people."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """``1 cell``, ``13 cells``, ``1,300 cells``; ``noun`` is one whose plural ends in s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
