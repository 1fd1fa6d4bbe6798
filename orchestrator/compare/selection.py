"""Which finished cells a word of the command line means: a cell's id or the beginning of it, or ``column=value,...``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.results.rows import CellRow

_DERIVED = ("layer", "relative_depth", "steered")
_HIDDEN = ("provenance", "labelled_at", "finished_at", "layers")
COLUMNS = tuple(sorted({*(field.name for field in fields(CellRow)), *_DERIVED} - set(_HIDDEN)))
"""What a filter may name: the columns of ``cells.parquet``, and ``layer`` (the first steered one), ``steered``."""

_ALIASES = {"cell": "cell_id", "id": "cell_id", "depth": "relative_depth", "transfer": "is_transfer", "quant": "quantization"}
_WORDS = {"baseline": "steered=no", "unsteered": "steered=no", "steered": "steered=yes", "all": ""}
_TRUTH = {"yes": True, "true": True, "no": False, "false": False}
_ID = re.compile(r"(?:cell-)?[0-9a-f]{4,20}")
_NUMBER = re.compile(r"L?(-?\d+(?:\.\d+)?(?:e-?\d+)?)\s*([x×%]?)", re.IGNORECASE)
_SHOWN = 12


def select(rows: Sequence[CellRow], text: str, field: str = "selection") -> list[CellRow]:
    """The rows that ``text`` means, in the order of ``rows``.

    ``text`` is a cell id or the beginning of one (with or without ``cell-``); ``baseline``; or ``column=value`` pairs with
    commas between. A column named twice takes either value; columns may be shortened as long as they stay unique, numbers
    may be written ``L16``, ``15x``, ``60%``, and ``none`` stands for an empty cell. InputError for an unknown column or
    value (with the nearest), and for a selection that no finished cell meets.
    """
    text = _WORDS.get(text.strip().casefold(), text.strip())
    if not text:
        return list(rows)
    if _ID.fullmatch(text.casefold()) and "=" not in text:
        return [_cell(rows, text.casefold(), field)]
    wanted: dict[str, list[str]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        column, value = _pair(_WORDS.get(part.casefold(), part), field)
        wanted.setdefault(column, []).append(value)
    found = [row for row in rows if all(_meets(row, column, values) for column, values in wanted.items())]
    return found or _explain(rows, wanted, field)


def value_of(row: CellRow, column: str) -> object:
    """A row's value in one of ``COLUMNS``."""
    value: object = getattr(row, column)
    return value


def column_named(name: str, field: str = "selection") -> str:
    """The column that ``name`` means: itself, an alias, or its only continuation. InputError otherwise."""
    folded = name.strip().casefold().replace("-", "_").replace(" ", "_")
    if folded in _ALIASES:
        return _ALIASES[folded]
    longer = [column for column in COLUMNS if column.startswith(folded)]
    if folded in COLUMNS:
        return folded
    if len(folded) >= 3 and len(longer) == 1:
        return longer[0]
    allowed = "model, quantization, method, layer, depth, multiplier, ... (the columns of cells.parquet)"
    nearest = nearest_name(folded, [*COLUMNS, *_ALIASES])
    raise InputError(Problem(field, name, "there is no such column", allowed, nearest))


def matches(value: object, wanted: str) -> bool:
    """Whether a row's ``value`` is what was written: numbers by value, words without regard to case."""
    word = wanted.strip().casefold()
    if value is None:
        return word in ("none", "null", "-", "")
    if isinstance(value, bool):
        return _TRUTH.get(word) is value
    if isinstance(value, (int, float)):
        number = _number(word)
        return number is not None and abs(number - value) <= 1e-9 * max(1.0, abs(value))
    return str(value).casefold() == word


def known_values(rows: Iterable[CellRow], column: str) -> list[str]:
    """The values of a column as they are written, each once, in the order of the rows."""
    return list(dict.fromkeys(value_text(value_of(row, column)) for row in rows))


def value_text(value: object) -> str:
    """A value as a filter takes it: ``15``, ``none``, ``yes``."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pair(part: str, field: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    if not equals:
        allowed = "a cell id, baseline, or column=value,column=value (model=..., layer=16, multiplier=15)"
        raise InputError.because("not a selection", field, part, allowed)
    return column_named(name, field), value


def _meets(row: CellRow, column: str, values: Sequence[str]) -> bool:
    return any(matches(value_of(row, column), value) for value in values)


def _number(word: str) -> float | None:
    found = _NUMBER.fullmatch(word)
    if found is None:
        return None
    return float(found[1]) / (100 if found[2] == "%" else 1)


def _cell(rows: Sequence[CellRow], text: str, field: str) -> CellRow:
    start = "cell-" + text.removeprefix("cell-")
    found = [row for row in rows if row.cell_id.startswith(start)]
    if not found:
        raise InputError(
            Problem(field, text, "no finished cell has this id", None, nearest_name(start, [r.cell_id for r in rows]))
        )
    if len(found) > 1:
        several = ", ".join(row.cell_id for row in found[:4])
        raise InputError.because(f"{len(found)} cells begin so", field, text, f"one of {several}")
    return found[0]


def _explain(rows: Sequence[CellRow], wanted: Mapping[str, Sequence[str]], field: str) -> list[CellRow]:
    """Raises with what is wrong: a value that no row has, or values that no row has together."""
    problems = []
    for column, values in wanted.items():
        known = known_values(rows, column)
        for value in values:
            if not any(matches(value_of(row, column), value) for row in rows):
                allowed = ", ".join(known[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
                problems.append(
                    Problem(f"{field}: {column}", value, "no finished cell has it", allowed, nearest_name(value, known))
                )
    if problems:
        raise InputError(*problems)
    alone = ", ".join(f"{column} {sum(_meets(row, column, values) for row in rows)}" for column, values in wanted.items())
    raise InputError.because(f"no finished cell has all of this together (each alone: {alone} cells)", field)
