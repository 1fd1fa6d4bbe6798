"""Repetition: how much of a text is one unit said again and again, at the level of words and of characters.

A loop is a stretch in which every item equals the one ``period`` items before. Refrains, lists and tables repeat as
well, but with something new in between, so that no such stretch is both long and a large part of the text.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAX_WORD_PERIOD = 60
MAX_CHAR_PERIOD = 160
MAX_ITEMS = 20_000
"""Longer texts are judged by their first and last items; a response of a sweep is some hundred tokens long."""


@dataclass(frozen=True)
class Loop:
    """The longest stretch of one period: items ``start`` to ``start + span`` repeat with ``period``."""

    period: int
    start: int
    span: int
    total: int

    @property
    def repeats(self) -> float:
        """How many times the unit occurs."""
        return self.span / self.period

    @property
    def share(self) -> float:
        """Share of the text that the loop covers."""
        return self.span / self.total


def clip(items: Sequence[str]) -> Sequence[str]:
    """``items``, or the first and last ``MAX_ITEMS / 2`` of them."""
    half = MAX_ITEMS // 2
    return items if len(items) <= MAX_ITEMS else [*items[:half], *items[-half:]]


def loops(items: Sequence[str], max_period: int) -> list[Loop]:
    """For every period up to ``max_period``, the longest loop with it, when it occurs at least twice in full."""
    codes: dict[str, int] = {}
    ids = np.array([codes.setdefault(item, len(codes)) for item in items], dtype=np.int64)
    found = []
    for period in range(1, min(max_period, len(ids) // 2) + 1):
        equal = ids[period:] == ids[:-period]
        if np.count_nonzero(equal) < period:
            continue  # too few for a loop however they lie; so it is for most periods of most texts
        start, run = _longest_run(equal)
        if run >= period:
            found.append(Loop(period, start, run + period, len(ids)))
    return found


def _longest_run(equal: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[int, int]:
    """Start and length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], equal, [False])).astype(np.int8)))
    if not len(edges):
        return 0, 0
    lengths = edges[1::2] - edges[::2]
    longest = int(np.argmax(lengths))
    return int(edges[2 * longest]), int(lengths[longest])


def echo_share(words: Sequence[str], n: int = 3, times: int = 3) -> float:
    """Share of ``words`` inside word ``n``-grams that occur at least ``times`` times: loops that drift score high as well."""
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    counts = Counter(grams)
    covered = np.zeros(len(words), dtype=np.bool_)
    for i, gram in enumerate(grams):
        if counts[gram] >= times:
            covered[i : i + n] = True
    return float(covered.mean()) if len(words) else 0.0


def distinct_share(words: Sequence[str]) -> float:
    """Distinct words over words (1 when there are none); falls with length in any language."""
    return len(set(words)) / len(words) if words else 1.0


def compression_ratio(text: str) -> float:
    """UTF-8 bytes over their zlib size; English prose of 500 bytes gives about 1.8, a loop 5 and more."""
    raw = text.encode("utf-8", "replace")
    return len(raw) / len(zlib.compress(raw, 9)) if raw else 0.0
