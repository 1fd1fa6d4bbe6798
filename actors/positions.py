"""At which tokens of a row a steering acts: of its prompt, and of the answer as it grows. Knows no torch.

A position is that of the token whose residual stream is edited. What the model says there is the token after it: the answer's
first token is chosen at the prompt's last one, so ``generation`` alone acts on the choice of the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

ALL = "all"
PROMPT_PARTS = ("prompt", "template", "last_prompt")
"""Which tokens of the prompt: every one, those of the chat template behind the user's text, the last of these."""
ALLOWED = "all, prompt, generation, last_prompt, template, {first: 8}, {from: 8}, or two of them as last_prompt+generation"
MOST = 1_000_000
_FAR = 2**40


class Spans(NamedTuple):
    """Positions in one text: from ``start`` until before ``stop``, and from ``again`` until before ``end``."""

    start: int
    stop: int
    again: int
    end: int

    def covers(self, place: int) -> bool:
        """Whether a position is among them."""
        return self.start <= place < self.stop or self.again <= place < self.end

    def within(self, length: int) -> Spans:
        """Those of the first ``length`` tokens, one span where two meet and ``NOWHERE`` where there are none: equal for all that
        act alike on these tokens."""
        start, stop, again, end = (min(place, length) for place in self)
        if start < stop == again:
            stop, again = end, end
        first, second = ((start, stop) if start < stop else (0, 0)), ((again, end) if again < end else (0, 0))
        return Spans(*first, *second) if any(first) else Spans(*second, 0, 0)


EVERYWHERE = Spans(0, _FAR, _FAR, _FAR)
NOWHERE = Spans(0, 0, 0, 0)


@dataclass(frozen=True)
class Positions:
    """``prompt``: one of ``PROMPT_PARTS``, or empty; ``generated``: the tokens of the answer, counted from 0, from the first
    number until before the second (equal: none)."""

    prompt: str = "prompt"
    generated: tuple[int, int] = (0, _FAR)

    @staticmethod
    def of(text: str) -> Positions:
        """From words: ``all``, ``prompt``, ``generation``, ``last_prompt``, ``template``, ``first:8``, ``from:8``, or one of the
        prompt and one of the answer, ``last_prompt+generation``. ValueError says what is wrong."""
        if text == ALL:
            return Positions()
        parts = text.split("+")
        prompt = [part for part in parts if part in PROMPT_PARTS]
        generated = [_generated(part) for part in parts if part not in PROMPT_PARTS]
        if len(prompt) > 1 or len(generated) > 1:
            raise ValueError(f"positions {text!r} name the {'prompt' if len(prompt) > 1 else 'answer'} twice")
        if prompt == ["prompt"] and generated == [(0, _FAR)]:
            raise ValueError(f"positions {text!r} are all of them: write all")
        return Positions(prompt[0] if prompt else "", generated[0] if generated else (0, 0))

    @property
    def text(self) -> str:
        """The words that say it, always the same ones."""
        first, until = self.generated
        said = "generation" if first == 0 else f"from:{first}"
        said = said if until == _FAR else f"first:{until}"
        if self == Positions():
            return ALL
        return "+".join(filter(None, (self.prompt, said if first < until else "")))

    def spans(self, prompt: int, template: int) -> Spans:
        """In a text that begins with ``prompt`` tokens of a prompt, the last ``template`` of which follow the user's text."""
        start = {"prompt": 0, "template": prompt - template, "last_prompt": prompt - 1, "": prompt}[self.prompt]
        first, until = self.generated
        return EVERYWHERE if self == Positions() else Spans(start, prompt, prompt + first, prompt + until)

    def acts(self, new_tokens: int) -> bool:
        """Whether it can act in an answer of at most ``new_tokens`` tokens, the last of which is never read."""
        return bool(self.prompt) or self.generated[0] < new_tokens - 1


def _generated(part: str) -> tuple[int, int]:
    word, _, number = part.partition(":")
    if part == "generation":
        return 0, _FAR
    if word not in ("first", "from"):
        raise ValueError(f"positions {part!r} are unknown")
    if not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= MOST and len(number) < 9):
        also = ": from 0 on is generation" if part == "from:0" else ""
        raise ValueError(f"positions {part!r} need a count of the answer's tokens from 1 to {MOST}{also}")
    return (0, int(number)) if word == "first" else (int(number), _FAR)
