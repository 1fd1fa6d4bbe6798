"""Text that a model, a library or a stranger wrote, made safe to show: nothing in it can drive a terminal."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def visible(text: str, limit: int | None = None, keep_lines: bool = False) -> str:
    """``text`` with control, bidirectional and other hidden characters written out (``\\x1b``), at most ``limit`` characters.

    ``keep_lines`` leaves line feeds as they are. What is cut off shows as `` [...]``.
    """
    kept = text if limit is None or len(text) <= limit else text[:limit] + " [...]"
    if kept.isascii() and kept.isprintable():
        return kept
    return "".join(character if _plain(character, keep_lines) else _written_out(character) for character in kept)


def _plain(character: str, keep_lines: bool) -> bool:
    return (keep_lines and character == "\n") or unicodedata.category(character) not in _HIDDEN


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode()
