"""What the tables on the disk lack of what is finished: they are read back and counted, whatever was remembered of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.cells import CellKey
from orchestrator.results import schema
from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.folder import Folder
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.ratings import is_rater
from orchestrator.results.scored_cells import ScoredCells
from orchestrator.results.unscored import unscored
from orchestrator.storage import StoredFile, UnreadableFileError

_T = TypeVar("_T")


@dataclass(frozen=True)
class Lacking:
    """Why the tables are not what they should be, table by table, and the scores of finished cells that there are not: ids of
    scorer and cell.

    Empty, and so false, when the tables hold every finished cell with all its responses and scores, and every direction set.
    """

    tables: tuple[str, ...] = ()
    unscored: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tables or self.unscored)

    def __str__(self) -> str:
        cells = len({cell_id for _, cell_id in self.unscored})
        return "; ".join([*self.tables, *([f"{cells} finished cells lack scores"] if cells else [])])


def lacking(folder: Folder, planned: PlannedCells, finished: Collection[str]) -> Lacking:
    """What the tables in ``folder`` lack of all ``finished`` items. A damaged one is moved away."""
    rows = _read(lambda: folder.rows(folder.cells, schema.CELLS))
    wanted = [axes for axes in planned.cells if axes.cell_id in finished]
    sets = {one.id for one in planned.directions if one.id in finished}
    found = _read(lambda: {row.direction_id for row in folder.rows(folder.direction_table, schema.DIRECTIONS)})
    transfers = _read(lambda: len(folder.rows(folder.transfers, schema.TRANSFERS)))
    steered_by_others = sum(row.is_transfer and row.layer is not None for row in rows or ())
    scored = ScoredCells(folder, planned)
    told = (
        _cells(folder.cells, None if rows is None else [row.key for row in rows], [axes.key for axes in wanted]),
        _responses(folder, wanted),
        _scores(folder, planned, scored, finished),
        _rates(folder, {row.key for row in rows or () if row.labelled}),
        _told(folder.direction_table, None if found is None else len(found & sets), len(sets), "direction sets"),
        _told(folder.transfers, transfers, steered_by_others, "transfer cells"),
    )
    return Lacking(tuple(filter(None, told)), unscored(folder, planned, finished))


def _scores(folder: Folder, planned: PlannedCells, scored: ScoredCells, finished: Collection[str]) -> str:
    found = _read(lambda: sum(not is_rater(one) for one in _cells_in(folder, folder.scores, "scorer")))
    there = ((scorer, planned.cells[place]) for (scorer, one), place in planned.scorings().items() if one in finished)
    expected = sum(axes.n for scorer, axes in there if axes.cell_id in scored.have(scorer))
    return _told(folder.scores, found, expected, "scores")


def _cells(table: StoredFile, found: Sequence[CellKey] | None, wanted: Sequence[CellKey]) -> str:
    if found is None or found == wanted:
        return _told(table, None if found is None else len(found), len(wanted), "finished cells")
    return f"{table.name} holds {len(set(found) & set(wanted))} of {len(wanted)} finished cells, and {len(found)} rows"


def _responses(folder: Folder, finished: Sequence[CellAxes]) -> str:
    wanted = Counter[str]()
    for axes in finished:
        wanted[axes.cell_id] += axes.n
    counts = _read(lambda: Counter(_cells_in(folder, folder.responses)))
    whole = None if counts is None else sum(min(counts[cell_id], n) for cell_id, n in wanted.items())
    if counts is not None and counts.total() != whole:
        return f"{folder.responses.name} holds {counts.total() - (whole or 0)} responses that it should not"
    return _told(folder.responses, whole, wanted.total(), "responses")


def _rates(folder: Folder, labelled: Set[CellKey]) -> str:
    columns = ("cell_id", "behavior")
    found = _read(lambda: set(zip(*(_cells_in(folder, folder.rates, one) for one in columns), strict=True)))
    return _told(folder.rates, None if found is None else len(found & labelled), len(labelled), "labelled cells")


def _cells_in(folder: Folder, table: StoredFile, column: str = "cell_id") -> list[str]:
    with folder.quarantining():
        return schema.texts_of(table, column)


def _told(table: StoredFile, found: int | None, wanted: int, what: str) -> str:
    if found is None:
        return f"{table.name} cannot be read"
    return "" if found == wanted else f"{table.name} holds {found} of {wanted} {what}"


def _read(read: Callable[[], _T]) -> _T | None:
    try:
        return read()
    except (FileNotFoundError, UnreadableFileError):
        return None
