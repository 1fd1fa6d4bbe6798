"""How models mark what they think before they answer: the tags and special tokens in use. Known to the worker and to the driver.

The worker keeps what decoding would lose (marks that are special tokens) and says whether the prompt itself opens a thought;
what the answer is, the driver decides from that, so that it can be decided again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

PAIRS: tuple[tuple[str, str], ...] = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<reason>", "</reason>"),
    ("<analysis>", "</analysis>"),
    ("<reflection>", "</reflection>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<seed:think>", "</seed:think>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<mm:think>", "</mm:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<unused94>thought", "<unused95>"),
)
"""What opens a thought, and what closes it."""

AROUND_ANSWERS = ("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|begin_of_solution|>", "<|end_of_solution|>")
"""Tokens that stand around an answer and are no part of it."""

CHANNEL, MESSAGE, START, END = "<|channel|>", "<|message|>", "<|start|>", "<|end|>"
"""The marks of the harmony format: ``<|channel|>analysis<|message|>...<|end|>``, and so ``commentary`` and ``final``."""

IN_WORDS = "thought process"
"""Of the words with which a model marks its thoughts that has no other marks (Granite 3.2)."""

_HEADS = frozenset({"<|channel>", "<unused94>"})
_MARKS = frozenset({mark for pair in PAIRS for mark in pair} | {*_HEADS, *AROUND_ANSWERS, CHANNEL})
_HARMONY = frozenset({MESSAGE, START, END})
"""Marks only where there are channels: other models end their turns with them."""
_OPEN_CHANNEL = re.compile(r"<\|channel\|>(?:analysis|commentary)[^<]*<\|message\|>")


def marks_thoughts(text: str) -> bool:
    """Whether a chat template, a prompt or a tokenizer's settings hold a mark of thoughts."""
    return any(mark in text for pair in PAIRS for mark in pair) or CHANNEL in text or IN_WORDS in text.casefold()


def opened_by(rendered: str, prompt: str) -> str:
    """What opens the thought in which a ``rendered`` prompt ends, such as ``<think>``; empty when it ends in none.

    ``prompt`` is the user's own text, whose mentions of a tag open nothing.
    """
    own = prompt.strip()
    before, found, tail = rendered.rpartition(own) if own else ("", "", rendered)
    if not found and before == "":
        tail = tail.rstrip()[-40:]
    openings = [(tail.rfind(opening), opening, closing) for opening, closing in PAIRS]
    for place, opening, closing in sorted(openings, reverse=True):
        if place >= 0 and closing not in tail[place:]:
            return opening
    channels = list(_OPEN_CHANNEL.finditer(tail))
    return channels[-1].group() if channels and END not in tail[channels[-1].end() :] else ""


class Marks:
    """The marks of thoughts that are special tokens of one tokenizer: what ``skip_special_tokens`` would lose."""

    def __init__(self, tokenizer: Any) -> None:
        special = {int(number): str(token) for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.there = any(str(token) in _MARKS for token in tokenizer.added_tokens_decoder.values())
        """Whether a token of its own is a mark, special or not."""
        marks = _MARKS | _HARMONY if CHANNEL in special.values() else _MARKS
        self._tokenizer = tokenizer
        self._left_out = frozenset(number for number, token in special.items() if token not in marks)
        self._marks = frozenset(special) - self._left_out

    def text(self, token_ids: Sequence[int]) -> str | None:
        """The text of generated tokens with the marks in it, other special tokens left out; None where there is no mark."""
        if self._marks.isdisjoint(token_ids):
            return None
        kept = [number for number in token_ids if number not in self._left_out]
        return str(self._tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))
