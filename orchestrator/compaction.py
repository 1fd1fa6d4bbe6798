"""Finished cells, one at a time, to the two compacted tables. Memory holds one batch of responses and the rows of cells."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from orchestrator import schema
from orchestrator.atomic import write_atomic, write_if_changed
from orchestrator.classifiers import Label
from orchestrator.folder import Folder
from orchestrator.plan_file import PlannedCells
from orchestrator.rows import CellAxes, CellMeasures, CellRow, CellTally, tally_of
from orchestrator.schema import Table, UnreadableFileError

ROWS_PER_GROUP = 8192
"""Responses buffered before they are written as one Parquet row group."""


@dataclass(frozen=True)
class CompactSummary:
    """What the compacted tables hold. ``quarantined``: cells whose responses or labels were damaged and moved away;
    ``changed``: a table was rewritten."""

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


def compact(folder: Folder, planned: PlannedCells) -> CompactSummary:
    """Write ``cells.parquet`` and ``responses.parquet``, or nothing when no file changed since the last time.

    What was found is remembered in ``.compacted``, which may be deleted at any time: the tables follow from the parts.
    """
    state = _state(folder, planned)
    remembered = _remembered(folder, state)
    if remembered is not None:
        return remembered
    quarantined: list[str] = []
    summary = _write_tables(folder, _finished(folder, planned, quarantined), len(planned.cells))
    if not quarantined:
        content = {"state": state, "tables": _tables(folder), "summary": asdict(replace(summary, changed=False))}
        write_if_changed(folder.compacted, json.dumps(content).encode())
    return replace(summary, quarantined=tuple(quarantined))


def _finished(folder: Folder, planned: PlannedCells, quarantined: list[str]) -> Iterator[_Finished]:
    done, labelled = folder.ids("responses"), folder.ids("labels")
    for axes in planned.cells:
        if axes.cell_id not in done:
            continue
        try:
            responses, measures = folder.response_part(axes.cell_id)
        except UnreadableFileError:
            quarantined.append(axes.cell_id)
            continue
        labels, tally = None, CellTally()
        if axes.cell_id in labelled:
            try:
                labels, labelled_at = _labels(folder, axes.cell_id, responses)
                tally = tally_of(labels, labelled_at)
            except UnreadableFileError:
                quarantined.append(axes.cell_id)
        yield _Finished(_row(axes, measures, tally), responses, labels)


def _labels(folder: Folder, cell_id: str, responses: Table) -> tuple[list[Label], datetime]:
    """The labels in the order of the responses."""
    labels, labelled_at = folder.label_part(cell_id)
    by_prompt = {label.prompt_id: label for label in labels}
    answered = responses.column("prompt_id").to_pylist()
    if by_prompt.keys() != set(answered):
        with folder.quarantining():
            raise UnreadableFileError(folder.path("labels", cell_id), "labels other prompts than were answered")
    return [by_prompt[prompt_id] for prompt_id in answered], labelled_at


def _row(axes: CellAxes, measures: CellMeasures, tally: CellTally) -> CellRow:
    return CellRow(**{field.name: getattr(part, field.name) for part in (axes, measures, tally) for field in fields(part)})


def _write_tables(folder: Folder, finished: Iterable[_Finished], planned: int) -> CompactSummary:
    rows: list[CellRow] = []
    written = 0

    def stream_responses(file: BinaryIO) -> None:
        nonlocal written
        with schema.open_writer(file, schema.RESPONSES) as writer:
            for batch in _batches(finished, rows):
                writer.write_table(batch)
                written += batch.num_rows

    def write_cells(file: BinaryIO) -> None:
        with schema.open_writer(file, schema.CELLS) as writer:
            writer.write_table(schema.cells_table(rows))

    changed = write_atomic(folder.responses, stream_responses, keep_equal=True)
    changed |= write_atomic(folder.cells, write_cells, keep_equal=True)
    return CompactSummary(planned, len(rows), sum(not row.labelled for row in rows), written, changed=changed)


def _batches(finished: Iterable[_Finished], rows: list[CellRow]) -> Iterator[Table]:
    """Tables of ``ROWS_PER_GROUP`` responses or a cell more; the cells' rows are appended to ``rows`` on the way."""
    batch: list[Table] = []
    held = 0
    for cell in finished:
        rows.append(cell.row)
        batch.append(schema.responses_table(cell.row, cell.responses, cell.labels))
        held += batch[-1].num_rows
        if held >= ROWS_PER_GROUP:
            yield schema.concatenated(batch)
            batch, held = [], 0
    if batch:
        yield schema.concatenated(batch)


def _state(folder: Folder, planned: PlannedCells) -> str:
    """A digest of all that the tables follow from, without opening a part: names, sizes, times, inodes."""
    wanted = {axes.cell_id for axes in planned.cells}
    state = hashlib.sha256(str(schema.SCHEMA_VERSION).encode() + folder.plan.read_bytes())
    for cell_id in sorted(folder.ids("responses") & wanted):
        state.update(f"responses {cell_id} {_stat(folder.path('responses', cell_id))}\n".encode())
    for cell_id in sorted(folder.ids("labels") & wanted):
        state.update(f"labels {cell_id} {_stat(folder.path('labels', cell_id))}\n".encode())
    return state.hexdigest()


def _remembered(folder: Folder, state: str) -> CompactSummary | None:
    with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        remembered = json.loads(folder.compacted.read_bytes())
        if remembered["state"] == state and remembered["tables"] == _tables(folder):
            return CompactSummary(**{**remembered["summary"], "quarantined": ()})
    return None


def _tables(folder: Folder) -> list[list[int]]:
    return [_stat(folder.responses), _stat(folder.cells)]


def _stat(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]
