"""The form of a text that the rules read: one spelling for apostrophes and spaces, no markdown emphasis, no hidden characters."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_APOSTROPHES = dict.fromkeys(map(ord, "’‘ʼ‛′´＇`"), "'")
_QUOTES = dict.fromkeys(map(ord, "“”„‟″＂«»「」『』"), '"')
_MARK = r"(?:(?<!\*)\*+|(?<!~)~~+)"
_EMPHASIS = re.compile(rf"(?<=[^\s*~_])(?:{_MARK}|_+(?![^\W_]))|(?:{_MARK}|(?<!\w)_+|(?<=_)_)(?=[^\s*~_])")
"""Marks that touch a word, each run looked at from its start alone; stray ones stay, since nothing but stray marks is noise."""
_LINE_MARK = re.compile(r"^[ \t]*(?:#{1,6}[ \t]|>[ \t]?)+", re.MULTILINE)
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[ \n]*")
_KEPT_CONTROLS = frozenset("\n\t\r")


def visible(text: str) -> str:
    """``text`` without the format characters that show nothing (zero-width, direction marks, byte order marks)."""
    return "".join(char for char in text if unicodedata.category(char) != "Cf")


def control_share(text: str) -> float:
    """Share of ``text`` that is control, replacement, surrogate, private or unassigned characters."""
    bad = sum(char not in _KEPT_CONTROLS and (char == "\ufffd" or unicodedata.category(char) in _CONTROLS) for char in text)
    return bad / max(len(text), 1)


_CONTROLS = frozenset({"Cc", "Cs", "Co", "Cn"})


@lru_cache(maxsize=8)
def normal_form(text: str) -> str:
    """NFKC, straight apostrophes and quotes, no emphasis or heading marks, single spaces, single newlines. Case stays. Kept for
    the rules that read the same answer one after another."""
    straight = text.translate(_APOSTROPHES).translate(_QUOTES)  # before NFKC, which splits ´ into a space and an accent
    plain = unicodedata.normalize("NFKC", visible(straight))
    plain = _EMPHASIS.sub("", _LINE_MARK.sub("", plain.replace("\r", "\n")))
    return _LINES.sub("\n", _BLANKS.sub(" ", plain)).strip()
