"""Which finished cells a word of the command line means: a cell's id or the beginning of it, or ``column=value,...``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.filters import Filters
from orchestrator.results.rows import CellRow

_DERIVED = ("layer", "relative_depth", "steered")
_HIDDEN = ("provenance", "labelled_at", "finished_at", "layers")
COLUMNS = tuple(sorted({*(field.name for field in fields(CellRow)), *_DERIVED} - set(_HIDDEN)))
"""What a filter may name: the columns of ``cells.parquet``, and ``layer`` (the first steered one), ``steered``."""

_ALIASES = {"cell": "cell_id", "id": "cell_id", "depth": "relative_depth", "transfer": "is_transfer", "quant": "quantization"}
_WORDS = {"baseline": "steered=no", "unsteered": "steered=no", "steered": "steered=yes", "all": ""}
_ID = re.compile(r"(?:cell-)?[0-9a-f]{4,20}")

FILTERS: Filters[CellRow] = Filters(
    COLUMNS,
    _ALIASES,
    getattr,
    "model, quantization, method, layer, depth, multiplier, ... (those of cells.parquet); a cell id or baseline alone",
)


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
    wanted = FILTERS.wanted((_WORDS.get(part.strip().casefold(), part) for part in text.split(",")), field)
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
