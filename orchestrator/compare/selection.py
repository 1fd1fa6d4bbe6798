"""Which finished cells a word of the command line means: a cell's id or the beginning of it, or ``column=value,...``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.filters import ALIASES, Filters, is_id
from orchestrator.results.rows import CellRow
from orchestrator.told_values import TOLD, told_value

_DERIVED = ("layer", "relative_depth", "steered")
_HIDDEN = ("provenance", "labelled_at", "finished_at", "layers")
COLUMNS = tuple(sorted({*(field.name for field in fields(CellRow)), *_DERIVED} - set(_HIDDEN)))
"""What a filter may name: the columns of ``cells.parquet``, and ``layer`` (the first steered one), ``steered``."""

_ALIASES = {"cell": "cell_id", "id": "cell_id", **ALIASES}


def _value(row: CellRow, column: str) -> object:
    """A column of a cell; what is no word there as people read it."""
    return told_value(row, column) if column in TOLD else getattr(row, column)


FILTERS: Filters[CellRow] = Filters(
    COLUMNS,
    _ALIASES,
    _value,
    "model, quantization, method, layer, depth, multiplier, ... (those of cells.parquet)",
)


def select(rows: Sequence[CellRow], text: str, field: str = "selection") -> list[CellRow]:
    """The rows that ``text`` means, in the order of ``rows``.

    ``text`` is a cell id or the beginning of one (with or without ``cell-``); ``baseline``; or ``column=value`` pairs with
    commas between. A column named twice takes either value; columns may be shortened as long as they stay unique, numbers
    may be written ``L16``, ``15x``, ``60%``, and ``none`` stands for an empty cell. InputError for an unknown column or
    value (with the nearest), and for a selection that no finished cell meets.
    """
    if is_id(text):
        return [_cell(rows, text.strip().casefold(), field)]
    wanted = FILTERS.wanted(text.split(","), field)
    found = FILTERS.chosen(rows, wanted)
    if found:
        return found
    FILTERS.check(rows, wanted, field)
    alone = ", ".join(f"{column} {len(FILTERS.chosen(rows, {column: values}))}" for column, values in wanted.items())
    raise InputError.because(f"no finished cell has all of this together (each alone: {alone} cells)", field)


def _cell(rows: Sequence[CellRow], text: str, field: str) -> CellRow:
    start = "cell-" + text.removeprefix("cell-")
    found = [row for row in rows if row.cell_id.startswith(start)]
    if not found:
        raise InputError(
            Problem(field, text, "no finished cell has this id", None, nearest_name(start, [r.cell_id for r in rows]))
        )
    if len({row.cell_id for row in found}) == 1 < len(found):
        behaviors = ", ".join(row.behavior for row in found)
        raise InputError.because("several behaviors share this cell", field, text, f"--where behavior=NAME, one of {behaviors}")
    if len(found) > 1:
        several = ", ".join(row.cell_id for row in found[:4])
        raise InputError.because(f"{len(found)} cells begin so", field, text, f"one of {several}")
    return found[0]
