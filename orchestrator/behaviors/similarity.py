"""When two prompts say the same, or nearly the same."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

NEAR_DUPLICATE = 0.5
"""Share of content words (Jaccard index) from which two prompts count as near duplicates."""

_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about an and are as at be by can could do does for from had has have how i in into is it me my of on or our please "
        "s should so some t tell that the their them then there these they this to up was we were what when where "
        "which who why will with would you your",
    )
)


def normalized(text: str) -> str:
    """The words alone: no case, punctuation, spacing or typographic variants. Falls back to the text where there are none."""
    return " ".join(_words(text)) or text.strip()


def near_pairs(ones: Sequence[str], others: Sequence[str]) -> list[tuple[int, int]]:
    """Places (in ``ones``, in ``others``) of texts whose content words have a Jaccard index of ``NEAR_DUPLICATE`` or more.

    Only texts that share one of their rarest words are compared: sets of n words that are near enough share at least
    ``NEAR_DUPLICATE * n``, so one of the n - that + 1 rarest of each is in both. Thousands of prompts take seconds at most.
    """
    left, right = ([_content_words(text) for text in texts] for texts in (ones, others))
    frequency = Counter(word for words in (*left, *right) for word in words)
    holders: defaultdict[str, list[int]] = defaultdict(list)
    for place, words in enumerate(right):
        for word in _rarest(words, frequency):
            holders[word].append(place)
    found = []
    for place, words in enumerate(left):
        candidates = {other for word in _rarest(words, frequency) for other in holders[word]}
        found += [(place, other) for other in sorted(candidates) if _jaccard(words, right[other]) >= NEAR_DUPLICATE]
    return found


def _rarest(words: frozenset[str], frequency: Counter[str]) -> list[str]:
    kept = len(words) - math.ceil(NEAR_DUPLICATE * len(words)) + 1
    return sorted(words, key=lambda word: (frequency[word], word))[:kept]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold().replace("’", "'"))


def _content_words(text: str) -> frozenset[str]:
    return frozenset(_words(text)) - _FUNCTION_WORDS


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared words / all words; 0 where either has none."""
    return len(one & other) / len(one | other) if one and other else 0.0
