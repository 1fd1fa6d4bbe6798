"""JSON that a stranger may have written: whatever is wrong with it is a ValueError."""

from __future__ import annotations

import json
from collections.abc import Sequence


class DuplicateKeyError(ValueError):
    """An object gives ``key`` twice: which of the two holds is every reader's own choice."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key!r} is given twice")
        self.key = key


def parse_json(text: str | bytes, keys_once: bool = False) -> object:
    """As ``json.loads``; ValueError also for text that is nested too deeply to be read. ``keys_once``: ``DuplicateKeyError`` for
    an object that gives a key twice (else the last one holds)."""
    try:
        return json.loads(text, object_pairs_hook=_unique if keys_once else None)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise DuplicateKeyError(key)
        found[key] = value
    return found
