"""Word salad: English words in an order that no grammar allows, or a heap of words that no function word holds together.

English only, by evidence: a text without English function words is a heap only where lingua too takes it for English.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from orchestrator.scoring.finding import Finding
from orchestrator.scoring.language import READ, likeliest

_WORDS = (
    "the a an of to in on at by for from with and or but not is are was were be been it its this that these those you "
    "your i my me we our he she they them his her their as if so can will would should could may have has had do does did there "
    "which who what when where how than then into about after before up out no all any some more most"
)
_FUNCTION_WORDS = frozenset(_WORDS.split())
_ENGLISH_ALONE = frozenset(["the", "and", "you", "your", "that", "this", "these", "with", "they", "their", "which"])
"""Those that other languages hardly have: a text without any of them is another's, whose words happen to look so."""
_MAY_BE_ASCII = ("en", "id", "it", "la", "nl", "sw", "tl")
"""Languages whose texts may be without a letter outside ASCII; others are closer to one of these than to English."""

_DETERMINERS = frozenset(["the", "a", "an", "my", "your", "our", "their"])
_ARTICLES = frozenset({"a", "an"})
_AFTER_ARTICLE = frozenset(["such", "like", "these", "those", "this", "some", "any", "there", "here"])
_PREPOSITIONS = frozenset(["of", "for", "with", "from", "by", "at", "to"])
_CONJUNCTIONS = frozenset(["and", "or", "but"])
_BE = frozenset(["is", "are", "was", "were"])
_PRONOUNS = frozenset(["it", "he", "she", "they", "we", "them", "him"])  # "the US" is none
_AFTER_DETERMINER = _PREPOSITIONS | _CONJUNCTIONS | _DETERMINERS | _BE | _PRONOUNS | frozenset(["not", "than", "as", "if"])
_AFTER_PREPOSITION = _CONJUNCTIONS | _BE | frozenset(["of", "to", "than"])
_NO_CONTRACTION = re.compile(r"\b(?:(?:i|he|she|it)'re|(?:i|you|we|they|he|she|it)'t)\b")
_MAY_DOUBLE = frozenset(
    [
        "that",
        "had",
        "is",
        "very",
        "so",
        "no",
        "ha",
        "he",
        "ho",
        "hee",
        "heh",
        "la",
        "na",
        "yeah",
        "hey",
        "bye",
        "oh",
        "knock",
        "much",
        "really",
        "many",
        "more",
        "far",
        "long",
        "chop",
        "tsk",
    ]
)
_STRETCH = re.compile(r"[^.,;:!?()\[\]\"|/=<>{}\n]+")
_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*|\d+")


def salad(text: str) -> Finding | None:
    """The first word-salad rule that fires on ``text`` (normal form), or None."""
    stretches = [words for part in _STRETCH.findall(text.casefold()) if (words := _WORD.findall(part))]
    words = [word for stretch in stretches for word in stretch]
    share = sum(word in _FUNCTION_WORDS for word in words) / max(len(words), 1)
    if len(odd := _NO_CONTRACTION.findall(text.casefold())) >= 2:
        return Finding("salad:contractions", odd=", ".join(dict.fromkeys(odd)))
    if share >= 0.15 and not _ENGLISH_ALONE.isdisjoint(words):
        return _impossible_pairs(stretches, words)
    return _no_function_words(text, stretches, share)


def _impossible_pairs(stretches: Sequence[Sequence[str]], words: Sequence[str]) -> Finding | None:
    """Neighbours that English grammar rules out ("the of", "of and", "any any"), as a share of all words."""
    bad = [f"{a} {b}" for stretch in stretches for a, b in pairwise(stretch) if _impossible(a, b)]
    share = len(bad) / max(len(words), 1)
    if len(bad) >= 2 and share >= 0.03:
        return Finding("salad:pairs", pairs=", ".join(dict.fromkeys(bad)), share=share)
    return None


def _impossible(first: str, second: str) -> bool:
    if first == second:
        return first not in _MAY_DOUBLE and not first.isdigit()
    return (
        (first in _DETERMINERS and second in _AFTER_DETERMINER)
        or (first in _ARTICLES and second in _AFTER_ARTICLE)
        or (first in _PREPOSITIONS and second in _AFTER_PREPOSITION)
        or (first in _CONJUNCTIONS and second in _CONJUNCTIONS)
        or (first in _BE and second in _BE)
    )


def _no_function_words(text: str, stretches: Sequence[Sequence[str]], share: float) -> Finding | None:
    """A long unpunctuated heap of English words without function words."""
    longest = max(map(len, stretches), default=0)
    letters = sum(map(str.isalpha, text))
    if (
        longest >= 15
        and share < 0.08
        and text.isascii()
        and letters * 2 > len(text)
        and likeliest(_MAY_BE_ASCII, text[:READ])[0] == "en"
    ):
        return Finding("salad:no_function_words", words=longest, function_share=share)
    return None
