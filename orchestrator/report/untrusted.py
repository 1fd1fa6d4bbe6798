"""Text that a model or a stranger wrote, made safe for Markdown too: nothing in it means anything to a renderer."""

from __future__ import annotations

import html
import re

from orchestrator.untrusted import visible

_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")


def markdown(text: str) -> str:
    """``text`` on one line, with every character escaped that has a meaning in Markdown or HTML within a line."""
    return _MARKDOWN.sub(r"\\\1", html.escape(visible(text), quote=False))


def fenced(text: str, limit: int) -> str:
    """``text`` as a Markdown code block that it cannot break out of."""
    shown = visible(text, limit, keep_lines=True)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"
