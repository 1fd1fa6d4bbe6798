"""Finished cells, one at a time, to the compacted tables. Memory holds one batch of responses and the rows of cells."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, BinaryIO, cast

from orchestrator.json_text import parse_json
from orchestrator.results import schema
from orchestrator.results.columns import row_of
from orchestrator.results.directions_table import StoredDirections, direction_rows, with_cosines
from orchestrator.results.folder import LABELS_OF_OLD, Folder, scores_of
from orchestrator.results.parts import StoredCell, StoredScores
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.ratings import RatedCells
from orchestrator.results.rows import (
    CellAxes,
    CellGeometry,
    CellRow,
    CellTally,
    RateRow,
    rate_rows,
    scorer_rate_rows,
    tally_of,
)
from orchestrator.results.schema import Table
from orchestrator.results.scored_cells import CellScores, ScoredCells
from orchestrator.results.transfers import Controls, cross_cosine, transfer_rows
from orchestrator.scoring import Label
from orchestrator.storage import FileState, StoredFile, UnreadableFileError

ROWS_PER_GROUP = 8192
"""Responses buffered before they are written as one Parquet row group."""

PART_KINDS = ("responses", LABELS_OF_OLD)


@dataclass(frozen=True)
class CompactSummary:
    """What the compacted tables hold. ``quarantined``: cells whose responses or scores, and direction sets that, were damaged and
    moved away; ``changed``: a table was rewritten."""

    planned: int
    cells: int
    unlabelled: int
    responses: int
    quarantined: tuple[str, ...] = ()
    changed: bool = False


@dataclass(frozen=True, eq=False)
class _Finished:
    row: CellRow
    responses: Table
    labels: Sequence[Label] | None
    rates: Sequence[RateRow]
    scores: Mapping[str, Table]


def compact(folder: Folder, planned: PlannedCells) -> CompactSummary:
    """Write the compacted tables (responses, scores, cells, rates, directions, transfer), or nothing when no file has changed.

    What was found is remembered in ``.compacted``, which may be deleted at any time: the tables follow from the parts.
    """
    inputs = _inputs(folder, planned)
    state = _digest(folder, inputs)
    remembered = _remembered(folder, state)
    if remembered is not None and _is_later(folder.compacted, inputs):
        return remembered
    quarantined: list[str] = []
    summary = _write_tables(folder, planned, _finished(folder, planned, quarantined), quarantined)
    if not quarantined:
        content = {"state": state, "tables": _tables(folder), "summary": asdict(replace(summary, changed=False))}
        folder.compacted.write_bytes(json.dumps(content).encode())
    return replace(summary, quarantined=tuple(quarantined))


def is_current(folder: Folder, planned: PlannedCells) -> bool:
    """Whether nothing has changed since the tables were made, so far as can be told without opening any of them."""
    try:
        return _remembered(folder, _digest(folder, _inputs(folder, planned))) is not None
    except (FileNotFoundError, UnreadableFileError):
        return False


def _finished(folder: Folder, planned: PlannedCells, quarantined: list[str]) -> Iterator[_Finished]:
    done, scored, rated = folder.ids("responses"), ScoredCells(folder, planned), RatedCells(folder)
    for axes in planned.cells:
        if axes.cell_id not in done:
            continue
        try:
            stored = folder.response_part(axes.cell_id)
        except UnreadableFileError:
            quarantined.append(axes.cell_id)
            continue
        found = scored.of(axes, stored.table.column("prompt_id").to_pylist())
        if found.damaged:
            quarantined.append(axes.cell_id)
        scores = {**found.by_scorer, **rated.of(axes.cell_id, stored.table, found.declared)}
        rates = _rates(axes.cell_id, found, scores)
        yield _Finished(_row(axes, stored, _tally(found)), stored.table, found.labels, rates, _tables_of(scores))


def _tally(found: CellScores) -> CellTally:
    if found.labels is None or found.labelled_at is None:
        return CellTally()
    return tally_of(found.labels, found.labelled_at, found.declared)


def _rates(cell_id: str, found: CellScores, scores: Mapping[str, StoredScores]) -> list[RateRow]:
    rows = [] if found.labels is None else rate_rows(cell_id, found.labels, found.declared)
    for scorer, one in scores.items():
        rows += scorer_rate_rows(cell_id, scorer, one.says, one.scores)
    return rows


def _tables_of(scores: Mapping[str, StoredScores]) -> dict[str, Table]:
    return {scorer: one.table for scorer, one in scores.items() if one.table is not None}


_NO_GEOMETRY = vars(CellGeometry())


def _row(axes: CellAxes, stored: StoredCell, tally: CellTally) -> CellRow:
    at = stored.steered
    placed = axes if at is None else replace(axes, layers=at.layers, source_layer=at.source_layer)
    return row_of(
        CellRow, {**vars(placed), **vars(stored.measures), **vars(tally), "prompts_sha256": stored.prompts_sha256, **_NO_GEOMETRY}
    )


@dataclass(frozen=True, eq=False)
class _Gathered:
    """What the tables beside the responses are made of, collected while those are written."""

    rows: list[CellRow] = field(default_factory=list)
    rates: list[RateRow] = field(default_factory=list)
    succeeded: dict[str, tuple[bool, ...]] = field(default_factory=dict)

    def take(self, cell: _Finished) -> None:
        self.rows.append(cell.row)
        self.rates.extend(cell.rates)
        if cell.labels is not None and cell.row.steered:
            self.succeeded[cell.row.cell_id] = tuple(label.outcome == "success" for label in cell.labels)


def _write_tables(folder: Folder, planned: PlannedCells, finished: Iterable[_Finished], quarantined: list[str]) -> CompactSummary:
    found = _Gathered()
    written, changed = 0, False

    def stream_responses(file: BinaryIO, scores: schema.Writer) -> None:
        nonlocal written
        with schema.open_writer(file, schema.RESPONSES.schema) as writer:
            for batch, scored in _batches(finished, found):
                writer.write_table(batch)
                scores.write_table(scored)
                written += batch.num_rows

    def stream_both(file: BinaryIO) -> None:
        nonlocal changed
        with schema.open_writer(file, schema.SCORES.schema) as scores:
            changed |= folder.responses.write_stream(lambda sink: stream_responses(sink, scores))

    changed |= folder.scores.write_stream(stream_both)
    stored = StoredDirections(folder)
    directions = direction_rows(stored, planned)
    controls = Controls(planned, found.rows, directions)
    rows = with_cosines(found.rows, directions, lambda row: cross_cosine(stored, controls, row))
    transfers = transfer_rows(planned, rows, controls, found.succeeded)
    quarantined += stored.damaged
    changed |= _write_table(folder.cells, schema.CELLS.table(rows))
    changed |= _write_table(folder.rates, schema.RATES.table(found.rates))
    changed |= _write_table(folder.direction_table, schema.DIRECTIONS.table(directions))
    changed |= _write_table(folder.transfers, schema.TRANSFERS.table(transfers))
    return CompactSummary(len(planned.cells), len(rows), sum(not row.labelled for row in rows), written, changed=changed)


def _write_table(file: StoredFile, table: Table) -> bool:
    def write(sink: BinaryIO) -> None:
        with schema.open_writer(sink, table.schema) as writer:
            writer.write_table(table)

    return file.write_stream(write)


def _batches(finished: Iterable[_Finished], found: _Gathered) -> Iterator[tuple[Table, Table]]:
    """Tables of ``ROWS_PER_GROUP`` responses or a cell more, and of their scores; ``found`` takes up the cells on the way."""
    batch: list[_Finished] = []
    held = 0
    for cell in finished:
        found.take(cell)
        batch.append(cell)
        held += cell.responses.num_rows
        if held >= ROWS_PER_GROUP:
            yield _tabled(batch)
            batch, held = [], 0
    if batch:
        yield _tabled(batch)


def _tabled(batch: Sequence[_Finished]) -> tuple[Table, Table]:
    scores = [(cell.row.cell_id, scorer, table) for cell in batch for scorer, table in cell.scores.items()]
    return schema.responses_table([(cell.row, cell.responses, cell.labels) for cell in batch]), schema.scores_table(scores)


_Inputs = Mapping[str, FileState]


def _inputs(folder: Folder, planned: PlannedCells) -> _Inputs:
    """All parts that the tables follow from, without opening any."""
    wanted = {axes.cell_id for axes in planned.cells}
    found = {f"{kind} {name}": state for kind in ("directions", "ratings") for name, state in folder.states(kind).items()}
    scorers = {scorer for axes in planned.cells for scorer in planned.scorers_of(axes)}
    for kind in (*PART_KINDS, *map(scores_of, sorted(scorers))):
        found |= {f"{kind} {cell_id}": state for cell_id, state in folder.states(kind).items() if cell_id in wanted}
    return found


def _digest(folder: Folder, inputs: _Inputs) -> str:
    state = hashlib.sha256(f"{schema.SCHEMA_VERSION} {schema.TABLES_VERSION}\n".encode() + folder.plan.read_bytes())
    for name in sorted(inputs):
        state.update(f"{name} {_listed(inputs[name])}\n".encode())
    return state.hexdigest()


def _remembered(folder: Folder, state: str) -> CompactSummary | None:
    with suppress(FileNotFoundError, UnreadableFileError, ValueError, KeyError, TypeError):
        remembered = cast("dict[str, Any]", parse_json(folder.compacted.read_bytes()))
        if remembered["state"] == state and remembered["tables"] == _tables(folder):
            return CompactSummary(**{**remembered["summary"], "quarantined": ()})
    return None


def _is_later(compacted: StoredFile, inputs: _Inputs) -> bool:
    """Whether what was remembered then must hold: where times are coarse, a part may have been replaced within the same tick."""
    step = compacted.files.clock_step
    state = compacted.state() if step else None
    return not step or (state is not None and all(one.changed + step < state.changed for one in inputs.values()))


def _tables(folder: Folder) -> list[list[int] | None]:
    found = folder.files.states("")
    tables = (folder.responses, folder.scores, folder.cells, folder.rates, folder.direction_table, folder.transfers)
    return [_listed(found[one.name]) if one.name in found else None for one in tables]


def _listed(state: FileState) -> list[int]:
    return [state.size, state.changed, state.inode, state.touched]
