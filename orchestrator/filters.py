"""``layer=15,multiplier=8``, ``baseline``, an id: how people say which cells they mean, in every command."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from orchestrator.errors import InputError, Problem, nearest_name

_T = TypeVar("_T")

IDS = ("cell_id", "item")
"""Columns of which the beginning of a value is enough, with or without its kind (``cell-``)."""
WORDS = {"baseline": "steered=no", "unsteered": "steered=no", "steered": "steered=yes", "all": ""}
"""What may stand for a pair."""
ALIASES = {"depth": "relative_depth", "transfer": "is_transfer", "quant": "quantization"}
"""Other names of columns that cells have."""

_TRUTH = {"yes": True, "true": True, "no": False, "false": False}
_NUMBER = re.compile(r"L?(-?\d+(?:\.\d+)?(?:e-?\d+)?)\s*([x×%]?)", re.IGNORECASE)
_ID = re.compile(r"(?:(?:cell|direction)-)?[0-9a-f]{4,20}")
_SHOWN = 12


@dataclass(frozen=True)
class Filters(Generic[_T]):
    """What filters of some items may name: ``columns``, one of ``IDS`` among them, and their ``aliases``.

    ``value_of``: an item's value in a column; ``about`` says the columns in words.
    """

    columns: tuple[str, ...]
    aliases: Mapping[str, str]
    value_of: Callable[[_T, str], object]
    about: str

    def column(self, name: str, field: str) -> str:
        """The column that ``name`` means: itself, an alias, or its only continuation. InputError otherwise."""
        folded = name.strip().casefold().replace("-", "_").replace(" ", "_")
        folded = self.aliases.get(folded, folded)
        longer = [column for column in self.columns if column.startswith(folded)]
        if folded in self.columns:
            return folded
        if len(folded) >= 3 and len(longer) == 1:
            return longer[0]
        nearest = nearest_name(folded, [*self.columns, *self.aliases])
        raise InputError(Problem(field, name, "there is no such column", self.about, nearest))

    def wanted(self, parts: Iterable[str], field: str) -> dict[str, list[str]]:
        """Column -> the values that were asked for; ``parts`` are pairs, ``WORDS`` and ids. InputError for an unknown column, and
        for what is none of these."""
        found: dict[str, list[str]] = {}
        for part in filter(None, (WORDS.get(part.strip().casefold(), part.strip()) for part in parts)):
            if is_id(part):
                found.setdefault(next(one for one in self.columns if one in IDS), []).append(part)
                continue
            name, equals, value = part.partition("=")
            if not equals:
                allowed = f"column=value,... with the columns {self.about}; an id; baseline, steered, all"
                raise InputError(Problem(field, part, "not a filter", allowed, nearest_name(part, list(WORDS))))
            found.setdefault(self.column(name, field), []).append(value)
        return found

    def meets(self, item: _T, column: str, values: Sequence[str]) -> bool:
        """Whether the item has one of ``values``."""
        value = self.value_of(item, column)
        return any((column in IDS and _begins(str(value), word)) or matches(value, word) for word in values)

    def chosen(self, items: Iterable[_T], wanted: Mapping[str, Sequence[str]]) -> list[_T]:
        """Those of ``items`` that have a wanted value in every column."""
        return [one for one in items if all(self.meets(one, column, values) for column, values in wanted.items())]

    def check(self, items: Sequence[_T], wanted: Mapping[str, Sequence[str]], field: str) -> None:
        """InputError with every value that none of ``items`` has."""
        problems = []
        for column, values in wanted.items():
            known = self.known(items, column)
            allowed = ", ".join(known[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
            absent = [value for value in values if not any(self.meets(one, column, [value]) for one in items)]
            problems += [Problem(f"{field}: {column}", one, "none has it", allowed, nearest_name(one, known)) for one in absent]
        if problems:
            raise InputError(*problems)

    def known(self, items: Iterable[_T], column: str) -> list[str]:
        """The values of a column as they are written, each once, in the order of the items."""
        return list(dict.fromkeys(value_text(self.value_of(one, column)) for one in items))


def is_id(text: str) -> bool:
    """Whether ``text`` can be an id, or the beginning of one."""
    return _ID.fullmatch(text.strip().casefold()) is not None


def matches(value: object, wanted: str) -> bool:
    """Whether a ``value`` is what was written: numbers by value or as they are shown, words without regard to case."""
    word = wanted.strip().casefold()
    if value is None:
        return word in ("none", "null", "-", "")
    if isinstance(value, bool):
        return _TRUTH.get(word) is value
    if isinstance(value, (int, float)):
        number = _number(word)
        near = number is not None and abs(number - value) <= 1e-9 * max(1.0, abs(value))
        return near or (number is not None and value_text(number) == value_text(float(value)))
    return (value_text(value) if isinstance(value, tuple) else str(value)).casefold() == word


def value_text(value: object) -> str:
    """A value as a filter takes it: ``15``, ``none``, ``yes``."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(map(value_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _begins(whole: str, word: str) -> bool:
    start = word.strip().casefold()
    return whole.startswith(start) or whole.partition("-")[2].startswith(start)


def _number(word: str) -> float | None:
    found = _NUMBER.fullmatch(word)
    if found is None:
        return None
    return float(found[1]) / (100 if found[2] == "%" else 1)
