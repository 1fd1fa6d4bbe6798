"""Every level of an axis against a reference level, each cell with the one that differs from it in that axis alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from orchestrator.compare.selection import FILTERS
from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.results.columns import Axis
from orchestrator.results.conditions import AXES, NAMED, STEERED
from orchestrator.results.rows import CellRow
from orchestrator.told_values import TOLD, told_value

_FOLLOWS: dict[str, frozenset[Axis]] = {
    "model": frozenset({Axis.MODEL, Axis.PLACE}),
    "family": frozenset({Axis.MODEL, Axis.PLACE}),
    "method": frozenset({Axis.METHOD}),
    "source_model": frozenset({Axis.ORIGIN}),
    "is_transfer": frozenset({Axis.ORIGIN}),
    "layer": frozenset({Axis.PLACE}),
    "relative_depth": frozenset({Axis.PLACE}),
    "steered": STEERED,
}
"""Column -> the axes that change with it of themselves, and so cannot be held equal."""

_UNTOLD = ("location", "adapter", "dtype", "system_prompt", "method_options")
_TOLD_AS = {"origin": "source_model", "place": "layer"}
_TELLING = tuple(_TOLD_AS.get(column, column) for column in NAMED if column not in _UNTOLD)
"""The columns that may tell the pairs of one level apart."""

_BY_DEPTH = ("model", "family")


@dataclass(frozen=True)
class Matched:
    """One level's cells and the reference level's, and in words what both have in common where strata differ."""

    level: str
    stratum: str
    rows: tuple[CellRow, ...]
    reference: tuple[CellRow, ...]


def by_level(rows: Sequence[CellRow], by: str, against: str, pool: bool = False) -> list[Matched]:
    """Each level of column ``by`` against the level ``against``, a pair of cells each, or with ``pool`` a pair of groups.

    A cell is paired with the reference level's cell that equals it on every other axis (at the same relative depth where
    the axis is the model); where both levels have one cell only, these are compared as they are. Cells without a partner
    are left out. InputError for an unknown column or level, and when no two cells match.
    """
    column = FILTERS.column(by, "--by")
    reference = [row for row in rows if FILTERS.meets(row, column, [against])]
    if not reference:
        known = FILTERS.known(rows, column)
        raise InputError(Problem("--against", against, f"no such {by}", ", ".join(known[:12]), nearest_name(against, known)))
    taken = {row.cell_id for row in reference}
    groups: dict[str, list[CellRow]] = {}
    for row in rows:
        if row.cell_id not in taken:
            groups.setdefault(told_value(row, column), []).append(row)
    if not groups:
        raise InputError.because(f"there is no other {by} to compare", "--by", against)
    found = [pair for level, group in groups.items() for pair in _pairs(level, group, reference, column)]
    if not found:
        raise InputError.because(f"no cell has a partner that differs in {by} alone; narrow it with --where, or name A and B", by)
    return _pooled(found) if pool else _told_apart(found)


def _pairs(level: str, group: Sequence[CellRow], reference: Sequence[CellRow], column: str) -> list[Matched]:
    partners: dict[tuple[object, ...], list[CellRow]] = {}
    for row in reference:
        partners.setdefault(_key(row, column), []).append(row)
    candidates = [(row, partners.get(_key(row, column), [])) for row in group]
    found = [Matched(level, "", (row,), tuple(same)) for row, same in candidates if len(same) == 1]
    if not found and len(group) == len(reference) == 1:
        return [Matched(level, "", tuple(group), tuple(reference))]
    return found


def _key(row: CellRow, column: str) -> tuple[object, ...]:
    free = _FOLLOWS.get(column, frozenset())
    key = [getattr(row, one) for one in NAMED if one != column and AXES[one] not in free]
    if column in _BY_DEPTH:
        key.append("selected" if row.layer_selected else row.relative_depth)
    return tuple(key)


def _pooled(found: Sequence[Matched]) -> list[Matched]:
    levels: dict[str, list[Matched]] = {}
    for pair in found:
        levels.setdefault(pair.level, []).append(pair)
    return [
        Matched(
            level, "", _once(row for pair in pairs for row in pair.rows), _once(row for pair in pairs for row in pair.reference)
        )
        for level, pairs in levels.items()
    ]


def _once(rows: Iterable[CellRow]) -> tuple[CellRow, ...]:
    return tuple({row.key: row for row in rows}.values())


def _told_apart(found: Sequence[Matched]) -> list[Matched]:
    """The pairs with the words that tell those of one level apart."""
    telling = [column for column in _TELLING if any(len(values) > 1 for values in _values_by_level(found, column).values())]
    return [replace(pair, stratum=_words(pair.rows[0], telling)) for pair in found]


def _values_by_level(found: Sequence[Matched], column: str) -> dict[str, set[object]]:
    values: dict[str, set[object]] = {}
    for pair in found:
        values.setdefault(pair.level, set()).add(getattr(pair.rows[0], column))
    return values


def _words(row: CellRow, columns: Sequence[str]) -> str:
    told = {column: told_value(row, column) for column in columns}
    return ", ".join(value if column in TOLD else f"{column}={value}" for column, value in told.items())
