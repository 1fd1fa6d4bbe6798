"""Keeps secrets out of what is written down, shown or sent: the values of known variables, and whatever looks like a key."""

from __future__ import annotations

import os
import re

SECRETS = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "RAY_AUTH_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
"""Variables whose values must not leave this process, beside those whose names end with ``API_KEY``."""

SHORTEST = 8
"""Shorter values are no secrets and would blank out ordinary words."""

_PATTERNS = (
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), "[HF_TOKEN]"),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{16,}"), "[API_KEY]"),
    (re.compile(r"(?i)(api[_-]?key\W{0,8}(?:is\W{0,3})?)[0-9a-f]{40}\b"), r"\1[API_KEY]"),
    (re.compile(r"(?i)(authorization\W{1,8}(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}"), r"\1[TOKEN]"),
    (re.compile(r"(\w+://[^/\s:@]+:)[^/\s@]+(@)"), r"\1[PASSWORD]\2"),
)
"""Keys of other machines, which the environment of this one does not know."""


def redacted(text: str) -> str:
    """``text`` with the value of every such variable replaced by the variable's name, and what looks like a key too."""
    for name in (*SECRETS, *(name for name in os.environ if name.endswith("API_KEY"))):
        value = os.environ.get(name, "").strip()
        if len(value) >= SHORTEST:
            text = text.replace(value, f"[{name}]")
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def redacted_values(content: object) -> object:
    """The same for every text within nested mappings and lists; keys and other values stay."""
    if isinstance(content, str):
        return redacted(content)
    if isinstance(content, dict):
        return {key: redacted_values(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [redacted_values(value) for value in content]
    return content
