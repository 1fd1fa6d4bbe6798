"""How a steering's strength changes over the tokens of an answer. Knows no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

CONSTANT = "constant"
ALLOWED = "constant, {linear: 32} (to nothing after so many tokens), {exponential: 16} (half after so many)"
MOST = 1_000_000


@dataclass(frozen=True)
class Schedule:
    """``linear``: tokens of the answer after which nothing is left; ``half_life``: after which half is. Infinite: never."""

    linear: float = math.inf
    half_life: float = math.inf

    @staticmethod
    @lru_cache
    def of(text: str) -> Schedule:
        """From words: ``constant``, ``linear:32``, ``exponential:16``; ValueError says what is wrong."""
        if text == CONSTANT:
            return Schedule()
        word, _, number = text.partition(":")
        if word not in ("linear", "exponential"):
            raise ValueError(f"schedule {text!r} is unknown")
        if not (number.isascii() and number.isdigit() and len(number) < 8 and 1 <= int(number) <= MOST):
            raise ValueError(f"schedule {text!r} needs a number of tokens from 1 to {MOST}")
        return Schedule(linear=int(number)) if word == "linear" else Schedule(half_life=int(number))

    @property
    def text(self) -> str:
        """The words that say it."""
        if self.linear < math.inf:
            return f"linear:{self.linear:.0f}"
        return f"exponential:{self.half_life:.0f}" if self.half_life < math.inf else CONSTANT

    def share(self, token: int) -> float:
        """The part of the strength at the answer's token number ``token``, from 0; all of it in the prompt (negative ones)."""
        return max(0.0, 1.0 - max(token, 0) / self.linear) * 0.5 ** (max(token, 0) / self.half_life)
