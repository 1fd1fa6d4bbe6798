"""A budget for what a model thinks and one for what it answers, counted over the tokens of one row."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from actors.spoken import BORDERS, told_apart
from actors.types import FinishReason

_OVERLAP = 32
"""Tokens that are read again, so that a mark is found which was not whole before; none takes more."""


class ThoughtBudget:
    """So many tokens for all thoughts of a row, their marks included, and so many for its answer.

    ``opens``: the mark that opens the thought in which the prompt ends, or empty. ``text``: what tokens say, marks included.
    The text is looked at only when a budget may be used up: a few times per row.
    """

    def __init__(self, thought: int, answer: int, opens: str, text: Callable[[Sequence[int]], str]) -> None:
        self._limits = {True: thought, False: answer}
        self._opens, self._text = opens, text
        self.restart()

    def restart(self) -> None:
        """Nothing is generated yet."""
        self._open = told_apart(self._opens).open
        self._used = {True: 0, False: 0}
        self._look_at = self._next_look(0)

    def spent(self, tokens: Sequence[int]) -> FinishReason | None:
        """How a row that has generated ``tokens`` ends now: ``thought`` inside a thought, else ``length``; None: it goes on."""
        if len(tokens) < self._look_at:
            return None
        self._count(tokens)
        self._look_at = self._next_look(len(tokens))
        if self._left(self._open) > 0:
            return None
        return "thought" if self._is_open(tokens) else "length"

    def _left(self, inside: bool) -> int:
        return self._limits[inside] - self._used[inside]

    def _next_look(self, n: int) -> int:
        """From ``n`` tokens on the first number at which a budget may be used up: a mark that opens a thought counts at once."""
        return n + max(1, min(self._left(False), self._left(True) - (0 if self._open else _OVERLAP)))

    def _count(self, tokens: Sequence[int]) -> None:
        """Share those tokens out that are not counted yet. A mark belongs to the thought that it opens or closes."""
        first = max(0, sum(self._used.values()) - _OVERLAP)
        window = tokens[first:]
        text = self._text(window)
        for mark in BORDERS.finditer(text):
            end = first + self._tokens_to_read(window, text[: mark.end()])
            if end <= sum(self._used.values()) or self._is_open(tokens[: end + 1]) is self._open:
                continue
            if not self._open:
                self._count_up_to(first + self._tokens_before(window, mark.start()))
                self._open = True
                self._count_up_to(end)
            else:
                self._count_up_to(end)
                self._open = False
        self._count_up_to(len(tokens))

    def _count_up_to(self, n: int) -> None:
        """The tokens up to the ``n``-th are of what the row is in now; some may have been counted so too early."""
        self._used[self._open] += n - sum(self._used.values())

    def _is_open(self, tokens: Sequence[int]) -> bool:
        return told_apart(self._opens + self._text(tokens)).open

    def _tokens_to_read(self, window: Sequence[int], text: str) -> int:
        """How many tokens it takes to say all of ``text``."""
        return bisect_left(range(len(window)), True, key=lambda n: self._text(window[:n]).startswith(text))

    def _tokens_before(self, window: Sequence[int], start: int) -> int:
        """How many tokens say nothing of what begins at ``start``."""
        return bisect_right(range(len(window)), start, key=lambda n: len(self._text(window[:n]))) - 1
