"""Is a response garbled? Empty, a loop, an echo that drifts, too compressible, noise, or word salad.

Judged by form alone, in any language: wrong, odd or off-topic text is not garbled, and neither is one cut by the token limit.
A unit said twice is not yet a loop, unless the two copies are nearly all there is. Text that turns in circles without a loop may
be odd prose or on its way to one: ``loose`` says so, with numbers and ``sure`` False, for what knows more than the text's form.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from orchestrator.scoring.finding import Finding
from orchestrator.scoring.layout import is_code, is_laid_out
from orchestrator.scoring.noise import noise, odd_spelling, stray_brackets, words_of
from orchestrator.scoring.normal_form import control_share, normal_form
from orchestrator.scoring.repetition import (
    MAX_CHAR_PERIOD,
    MAX_WORD_PERIOD,
    Loop,
    clip,
    compression_ratio,
    distinct_share,
    echo_share,
    loops,
)
from orchestrator.scoring.salad import salad

_LIST_MARK = re.compile(r"^[ ]*(?:(?:step|day)? ?\d+[.):]|[a-z][.)]|[-•·])[ ]*(?=\S)", re.MULTILINE | re.IGNORECASE)
_RULE = re.compile(r"([-=_~#·—|:])(?:[ ]?\1){3,}")
_MARKS_AT_END = re.compile(r"([.,;:])(?:\s+\1){9,}$")
"""One mark again and again to the end; dots that lead to a page number end in one."""
_ENDING = 25
"""Words at the end that must not turn in circles."""
_BLANK_FROM, MAX_BLANK = 40, 0.6
"""Blank lines and spaces may fill this share of a response of so many characters; an ASCII picture stays below."""
_WINDOW = 200
"""Words over which distinct ones are counted: their share falls with length in any language."""
_TAIL, _TAIL_LETTERS = 40, 6
"""Of how many characters at the end only so many differ in noise."""
_LOOSE_WINDOW, _LOOSE_DISTINCT, _LOOSE_ENDING, _LOOSE_OPENINGS = 40, 0.55, 0.6, 4
_SUBJECT = re.compile(r"(?:^|[.!?)\n]\s*)(i|you|it|he|they|we|this|that|no)\b", re.IGNORECASE)
_LAUGHTER = frozenset(["ha", "haha", "he", "hehe", "ho", "hee", "la", "na", "yeah", "hey"])


def garbled(response: str) -> Finding | None:
    """The first rule by which ``response`` is garbled, or None."""
    text = normal_form(response)
    if not text:
        return Finding("empty", characters=len(response))
    if (share := control_share(response)) > 0.1:
        return Finding("noise:control_characters", share=share)
    if (blank := blank_share(response)) > MAX_BLANK and len(response) >= _BLANK_FROM:
        return Finding("noise:blank", share=blank)
    body = _LIST_MARK.sub("", text)
    words = clip(words_of(body))
    found = word_loop(words) or char_loop(body) or dense(text) or noise(text)
    if found is None and not is_code(text):
        found = stray_brackets(text)
    if found is not None or is_laid_out(text):
        return found
    return echo(words) or tail_noise(text) or odd_spelling(text) or salad(text)


def loose(response: str) -> Finding | None:
    """What makes doubtful whether a response that is not ``garbled`` is language that goes anywhere; None where nothing does."""
    text = normal_form(response)
    words = clip(words_of(text))
    if len(words) < _ENDING or is_laid_out(text):
        return None
    distinct, ending = distinct_share(words[-_LOOSE_WINDOW:]), echo_share(words[-_ENDING:], 2, 2)
    openings = Counter(_SUBJECT.findall(text.casefold()))
    most = max(openings.values(), default=0)
    if distinct < _LOOSE_DISTINCT or ending >= _LOOSE_ENDING or (most >= _LOOSE_OPENINGS and most * 10 >= len(words)):
        return Finding("doubt:circles", distinct=distinct, ending=ending, openings=most, sure=False)
    return None


def word_loop(words: Sequence[str]) -> Finding | None:
    """A loop of words: the shorter the unit, the more often it must come."""
    for loop in sorted(loops(words, MAX_WORD_PERIOD), key=lambda found: -found.span):
        unit = words[loop.start : loop.start + loop.period]
        if _is_word_loop(loop) and not set(unit) <= _LAUGHTER:
            return Finding("loop:words", unit=" ".join(unit), repeats=loop.repeats, share=loop.share)
    return None


def _is_word_loop(loop: Loop) -> bool:
    at_end = loop.start + loop.span >= loop.total - 1
    if loop.repeats < 3:
        return loop.period >= 6 and loop.share >= 0.66
    if loop.period == 1:
        return loop.repeats >= 5 and (loop.share >= 0.25 or at_end)
    return loop.span >= 9 and loop.share >= (0.15 if at_end else 0.3)


def char_loop(text: str) -> Finding | None:
    """A loop of characters, for run-together words and for scripts without spaces."""
    chars = clip(" ".join(_RULE.sub(r"\1\1\1", text.casefold()).split()))
    for loop in sorted(loops(chars, MAX_CHAR_PERIOD), key=lambda found: -found.span):
        unit = "".join(chars[loop.start : loop.start + loop.period])
        spoken = any(char.isalnum() for char in unit)
        long_enough = loop.span >= (12 if not spoken else 16 if loop.period == 1 else 20) and loop.repeats >= _least_repeats(unit)
        if long_enough and loop.share >= (0.3 if spoken else 0.5) and not set(unit.split()) <= _LAUGHTER:
            return Finding("loop:characters", unit=unit, repeats=loop.repeats, share=loop.share)
    return None


def _least_repeats(unit: str) -> int:
    return 3 if len(unit) >= 12 else 5 if " " in unit else 4


def tail_noise(text: str) -> Finding | None:
    """An end of one mark, or of a handful of characters that come again and again in no order that is a loop; numbers and
    laughter are none."""
    if (run := _MARKS_AT_END.search(text)) is not None:
        return Finding("loop:marks", unit=run.group(1), repeats=run.group().count(run.group(1)))
    tail = "".join(_RULE.sub(r"\1", text).casefold().split())[-_TAIL:]
    if len(tail) < _TAIL or tail.isdecimal() or set(tail) <= set("haeo!?."):
        return None
    return Finding("loop:tail", distinct=len(set(tail))) if len(set(tail)) <= _TAIL_LETTERS else None


def echo(words: Sequence[str]) -> Finding | None:
    """A loop that drifts: nearly every word lies in a phrase that was said before, to the end, or few words do all the work."""
    if len(words) < 15:
        return None
    tail = words[len(words) // 2 :]
    thrice, thrice_tail, twice = echo_share(words, 3, 3), echo_share(tail, 3, 3), echo_share(words, 4, 2)
    ending, distinct = echo_share(words[-_ENDING:], 2, 3), distinct_share(words[-_WINDOW:])
    long = len(words) > _ENDING
    if (
        (thrice >= 0.6 and thrice_tail >= 0.35)
        or thrice_tail >= 0.7
        or (long and twice >= 0.75)
        or (long and ending >= 0.6)
        or distinct < 0.3
    ):
        return Finding("echo", thrice=thrice, thrice_tail=thrice_tail, twice=twice, ending=ending, distinct=distinct)
    return None


def blank_share(response: str) -> float:
    """Share of the characters that show nothing; sentences have about 0.2, verse and code up to 0.5."""
    return sum(map(str.isspace, response)) / len(response) if response else 0.0


def dense(text: str) -> Finding | None:
    """Compresses far better than language does; short texts compress badly, so they must be longer to count."""
    ratio = compression_ratio(text)
    return Finding("compression", ratio=ratio) if ratio >= (6 if is_code(text) else 3.5) and len(text) >= 120 else None
