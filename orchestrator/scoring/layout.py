"""Is a text prose, or laid out: code, markup, a table, a list of short lines? Such text repeats its frame on purpose."""

from __future__ import annotations

import re

_CODE = re.compile(r"```|\w\(|[^\W_]_[^\W_]|</?\w|[={};]|\w\.[a-z]\w|\w::|0x\w|[a-z][A-Z]|\\\w")
_SHORT_LINE = 12


def is_laid_out(text: str) -> bool:
    """True for code and for listings of distinct short lines."""
    return is_code(text) or is_listing(text)


def is_code(text: str) -> bool:
    """Every fourth word bears a mark of code or markup, or a fenced block."""
    words = text.split()
    return "```" in text or sum(_CODE.search(word) is not None for word in words) >= max(3, 0.25 * len(words))


def is_listing(text: str) -> bool:
    """Five or more lines, short ones, nearly all of them different."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) < 5:
        return False
    words = sum(len(line.split()) for line in lines) / len(lines)
    return words <= _SHORT_LINE and len(set(lines)) >= 0.8 * len(lines)
