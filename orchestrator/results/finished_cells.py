"""Finished cells from their parts, in batches: what of each goes into the tables. Many are read by several processes at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from orchestrator.cells import CellKey
from orchestrator.clusters import Count
from orchestrator.damage import DamageItem, MeasuredDamage
from orchestrator.processes import helpers
from orchestrator.results import schema
from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.columns import values_of
from orchestrator.results.folder import Folder
from orchestrator.results.parts import StoredCell
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.rate_rows import RateRow, rate_rows, scorer_rate_rows
from orchestrator.results.ratings import RatedCells
from orchestrator.results.rows import CellDamage, CellGeometry, CellRow, CellTally, ResponseLoss, damage_of, losses_of, tally_of
from orchestrator.results.schema import Table
from orchestrator.results.scored_cells import ScoredCells, given, given_labels
from orchestrator.storage import Place, UnreadableFileError

ROWS_PER_GROUP = 8192
"""Responses of a batch, or a cell more: they are written as one Parquet row group."""

WORTH_PROCESSES = 2000
"""Cells from which on it takes longer to read them than to start processes."""


_Asked = tuple[CellAxes, ...]
"""A cell, for each behavior that asks for it."""


@dataclass(frozen=True, eq=False)
class CellBatch:
    """Finished cells in the plan's order: their rows, their responses, scores and rates as tables, and for steered ones how many
    responses to each prompt were a success. ``damaged``: cells of which a file is damaged."""

    rows: list[CellRow]
    responses: Table
    scores: Table
    rates: Table
    succeeded: dict[CellKey, tuple[Count, ...]]
    damaged: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Finished:
    row: CellRow
    responses: Table
    labels: Table | None
    succeeded: tuple[Count, ...]
    rates: Sequence[RateRow]
    scores: Mapping[str, Table]
    losses: Sequence[ResponseLoss]


class FinishedCells:
    """Reads the cells of a plan that are finished. Files that are damaged are moved away, their cells left out."""

    def __init__(self, folder: Folder, planned: PlannedCells) -> None:
        self._folder, self._planned = folder, planned
        self._done, self._scored, self._rated = folder.ids("responses"), ScoredCells(folder, planned), RatedCells(folder)
        self._measured = folder.done(f"analyses/{DamageItem.kind}")
        self._damage = {one.cell_id: one.id for one in planned.others if one.kind == DamageItem.kind}

    def batches(self, processes: int = 1) -> Iterator[CellBatch]:
        """All of them; ``processes``: how many read at once, where there are many cells on a disk."""
        pieces = self._pieces()
        few = len(self._done) < WORTH_PROCESSES
        if few or processes < 2 or self._folder.place != self._folder.local:
            yield from map(self.batch, pieces)
            return
        with helpers(processes, partial(_begin, self._folder.place, self._planned)) as pool:
            ahead = deque((piece, pool.submit(_read, piece)) for piece in pieces[: processes + 1])
            for number in range(len(pieces)):
                piece, found = ahead.popleft()
                batch = found.result()
                if number + processes + 1 < len(pieces):
                    later = pieces[number + processes + 1]
                    ahead.append((later, pool.submit(_read, later)))
                yield self.batch(piece) if batch.damaged else batch  # only this process moves files away

    def batch(self, piece: Sequence[_Asked]) -> CellBatch:
        """Those of ``piece`` that are whole."""
        damaged: list[str] = []
        cells = [cell for asked in piece for cell in self._read(asked, damaged)]
        scores = [(cell.row.cell_id, scorer, table) for cell in cells for scorer, table in cell.scores.items()]
        return CellBatch(
            [cell.row for cell in cells],
            schema.responses_table([(cell.row, cell.responses, cell.labels, cell.losses) for cell in cells]),
            schema.scores_table(scores),
            schema.RATES.table([row for cell in cells for row in cell.rates]),
            {cell.row.key: cell.succeeded for cell in cells if cell.labels is not None and cell.row.steered},
            tuple(damaged),
        )

    def _pieces(self) -> list[list[_Asked]]:
        pieces: list[list[_Asked]] = []
        held = ROWS_PER_GROUP
        for cell_id, asked in self._planned.by_id().items():
            if cell_id in self._done:
                if held >= ROWS_PER_GROUP:
                    pieces.append([])
                    held = 0
                pieces[-1].append(asked)
                held += sum(axes.n for axes in asked)
        return pieces

    def _read(self, asked: _Asked, damaged: list[str]) -> list[_Finished]:
        cell_id = asked[0].cell_id
        try:
            stored = self._folder.response_part(cell_id)
        except UnreadableFileError:
            damaged.append(cell_id)
            return []
        found = [self._scored.of(axes, stored.table) for axes in asked]
        if any(one.damaged for one in found):
            damaged.append(cell_id)
        measured = self._damage_of(cell_id)
        damage = CellDamage() if measured is None else damage_of(measured)
        losses = () if measured is None else losses_of(measured)
        tabled: set[str] = set()
        cells = []
        for axes, one in zip(asked, found, strict=True):
            rated = self._rated.of(cell_id, stored.table, one.declared) if axes is asked[0] else {}
            scores = {**one.by_scorer, **rated}
            tables = {name: known.table for name, known in scores.items() if name not in tabled}
            tabled |= tables.keys()
            rates = [
                rate
                for name, known in scores.items()
                for rate in scorer_rate_rows(axes.key, given(name, known.table), known.says)
            ]
            tally = CellTally()
            succeeded: tuple[Count, ...] = ()
            if one.labels is not None and one.labelled_at is not None:
                said = given_labels(one.labels)
                rates = [*rate_rows(axes.key, said, one.declared), *rates]
                tally = tally_of(said, one.labelled_at, one.declared)
                succeeded = said.by_prompt(one.declared.of_outcome("success"))
            row = _row(axes, stored, tally, damage)
            cells.append(_Finished(row, stored.table, one.labels, succeeded, rates, tables, losses))
        return cells

    def _damage_of(self, cell_id: str) -> MeasuredDamage | None:
        """None where it is not there. A damaged file is moved away: its item runs anew."""
        item_id = self._damage.get(cell_id)
        if item_id not in self._measured:
            return None
        try:
            return self._folder.damage(item_id)
        except (FileNotFoundError, UnreadableFileError):
            return None


class _Untouched(Folder):
    """Moves no damaged file away: that is for the process that has the lock."""

    def quarantine(self, error: UnreadableFileError) -> None:
        pass


_here: list[FinishedCells] = []
"""In a process that reads: what it reads."""


def _begin(place: Place, planned: PlannedCells) -> None:
    _here.append(FinishedCells(_Untouched(place), planned))


def _read(piece: Sequence[_Asked]) -> CellBatch:
    return _here[0].batch(piece)


def _row(axes: CellAxes, stored: StoredCell, tally: CellTally, damage: CellDamage) -> CellRow:
    at = {} if stored.steered is None else vars(stored.steered)
    found = {**values_of(axes), **at, **vars(stored.measures), **vars(tally), **vars(damage), **vars(CellGeometry())}
    return CellRow(**found, prompts_sha256=stored.prompts_sha256)
