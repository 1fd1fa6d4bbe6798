"""JSON that a stranger may have written: whatever is wrong with it is a ValueError."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence


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


def array_elements(text: str) -> Iterator[tuple[int, object]]:
    """The elements of a JSON array, each with the line (from 1) where it begins; errors as ``parse_json`` with ``keys_once``."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique)
    place, line = _gap(text, 0), 1
    if text[place : place + 1] != "[":
        raise ValueError("no array")
    first, counted = True, 0
    place = _gap(text, place + 1)
    while not (first and text[place : place + 1] == "]"):
        line, counted = line + text.count("\n", counted, place), place
        try:
            value, place = decoder.raw_decode(text, place)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        yield line, value
        first, place = False, _gap(text, place)
        if text[place : place + 1] == "]":
            break
        if text[place : place + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, place)
        place = _gap(text, place + 1)
    if text[place + 1 :].strip():
        raise json.JSONDecodeError("Extra data", text, place + 1)


_BLANKS = re.compile(r"[ \t\n\r]*")


def _gap(text: str, place: int) -> int:
    """The next place that is no blank."""
    found = _BLANKS.match(text, place)
    return found.end() if found else place


def _unique(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise DuplicateKeyError(key)
        found[key] = value
    return found
