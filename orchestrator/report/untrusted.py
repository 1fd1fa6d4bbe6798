"""Text that a model or a stranger wrote, made safe to show: nothing in it can drive a terminal or a Markdown renderer."""

from __future__ import annotations

import html
import re
import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")


def visible(text: str, limit: int | None = None, keep_lines: bool = False) -> str:
    """``text`` with control, bidirectional and other hidden characters written out (``\\x1b``), at most ``limit`` characters.

    ``keep_lines`` leaves line feeds as they are. What is cut off shows as `` [...]``.
    """
    kept = text if limit is None or len(text) <= limit else text[:limit] + " [...]"
    return "".join(character if _plain(character, keep_lines) else _written_out(character) for character in kept)


def markdown(text: str) -> str:
    """``text`` on one line, with every character escaped that has a meaning in Markdown or HTML within a line."""
    return _MARKDOWN.sub(r"\\\1", html.escape(visible(text), quote=False))


def fenced(text: str, limit: int) -> str:
    """``text`` as a Markdown code block that it cannot break out of."""
    shown = visible(text, limit, keep_lines=True)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def _plain(character: str, keep_lines: bool) -> bool:
    return (keep_lines and character == "\n") or unicodedata.category(character) not in _HIDDEN


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode()
