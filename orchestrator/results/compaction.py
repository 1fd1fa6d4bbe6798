"""Finished cells, one at a time, to the compacted tables. Memory holds one batch of responses and the rows of cells."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, BinaryIO, cast

from orchestrator.capability import CapabilityItem
from orchestrator.cells import CellKey
from orchestrator.clusters import Count
from orchestrator.damage import DamageItem
from orchestrator.json_text import parse_json
from orchestrator.parity.study import ParityItem
from orchestrator.results import schema
from orchestrator.results.analyses import LAYOUTS, analysis_rows, measured_folders
from orchestrator.results.capability import CAPABILITIES, CAPABILITY, capability_rows
from orchestrator.results.directions_table import StoredDirections, add_cosines, direction_rows
from orchestrator.results.finished_cells import CellBatch, FinishedCells
from orchestrator.results.folder import LABELS_OF_OLD, Folder, scores_of
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.rows import CellRow
from orchestrator.results.schema import Table
from orchestrator.results.transfers import Controls, cross_cosine, transfer_rows
from orchestrator.storage import FileState, StoredFile, UnreadableFileError

PART_KINDS = ("responses", LABELS_OF_OLD)


@dataclass(frozen=True)
class CompactSummary:
    """What the compacted tables hold; a cell that several behaviors ask for counts once. ``quarantined``: cells whose responses
    or scores, and direction sets that, were damaged and moved away; ``changed``: a table was rewritten."""

    planned: int
    cells: int
    unlabelled: int
    responses: int
    quarantined: tuple[str, ...] = ()
    changed: bool = False


def compact(folder: Folder, planned: PlannedCells, processes: int = 1) -> CompactSummary:
    """Write the compacted tables (responses, scores, cells, rates, directions, transfer), or nothing when no file has changed.

    ``processes``: how many read at once, where there are many cells; other than one only in a program that they can import. What
    was found is remembered in ``.compacted``, which may be deleted at any time: the tables follow from the parts.
    """
    inputs = _inputs(folder, planned)
    state = _digest(folder, inputs)
    remembered = _remembered(folder, state)
    if remembered is not None and _is_later(folder.compacted, inputs):
        return remembered
    summary = _write_tables(folder, planned, FinishedCells(folder, planned).batches(processes))
    if not summary.quarantined:
        content = {"state": state, "tables": _tables(folder), "summary": asdict(replace(summary, changed=False))}
        folder.compacted.write_bytes(json.dumps(content).encode())
    return summary


def is_current(folder: Folder, planned: PlannedCells) -> bool:
    """Whether nothing has changed since the tables were made, so far as can be told without opening any of them."""
    try:
        return _remembered(folder, _digest(folder, _inputs(folder, planned))) is not None
    except (FileNotFoundError, UnreadableFileError):
        return False


def _write_tables(folder: Folder, planned: PlannedCells, batches: Iterable[CellBatch]) -> CompactSummary:
    rows: list[CellRow] = []
    succeeded: dict[CellKey, tuple[Count, ...]] = {}
    damaged: list[str] = []
    written, changed = 0, False

    def stream(responses: BinaryIO, scores: BinaryIO, rates: BinaryIO) -> None:
        nonlocal written
        with (
            schema.open_writer(responses, schema.RESPONSES.schema) as all_responses,
            schema.open_writer(scores, schema.SCORES.schema) as all_scores,
            schema.open_writer(rates, schema.RATES.schema) as all_rates,
        ):
            for batch in batches:
                all_responses.write_table(batch.responses)
                all_scores.write_table(batch.scores)
                all_rates.write_table(batch.rates)
                rows.extend(batch.rows)
                succeeded.update(batch.succeeded)
                damaged.extend(batch.damaged)
                written += batch.responses.num_rows

    def with_scores(scores: BinaryIO, rates: BinaryIO) -> None:
        nonlocal changed
        changed |= folder.responses.write_stream(lambda responses: stream(responses, scores, rates))

    def with_rates(rates: BinaryIO) -> None:
        nonlocal changed
        changed |= folder.scores.write_stream(lambda scores: with_scores(scores, rates))

    changed |= folder.rates.write_stream(with_rates)
    stored = StoredDirections(folder)
    directions = direction_rows(stored, planned)
    controls = Controls(planned, rows, directions)
    add_cosines(rows, directions, lambda row: cross_cosine(stored, controls, row))
    transfers = transfer_rows(planned, rows, controls, succeeded)
    changed |= _write_table(folder.cells, schema.CELLS.table(rows))
    changed |= _write_table(folder.direction_table, schema.DIRECTIONS.table(directions))
    changed |= _write_table(folder.transfers, schema.TRANSFERS.table(transfers))
    tried = capability_rows(folder, planned)
    if tried or folder.capability.exists():
        changed |= _write_table(folder.capability, CAPABILITY.table(tried))
    analysed = analysis_rows(folder, planned)
    for name, file in folder.analyses.items():
        if name in analysed or file.exists():
            changed |= _write_table(file, LAYOUTS[name].table(analysed.get(name, [])))
    cells, unlabelled = len({row.cell_id for row in rows}), len({row.cell_id for row in rows if not row.labelled})
    return CompactSummary(len(planned.generated), cells, unlabelled, written, (*damaged, *stored.damaged), changed)


def _write_table(file: StoredFile, table: Table) -> bool:
    def write(sink: BinaryIO) -> None:
        with schema.open_writer(sink, table.schema) as writer:
            writer.write_table(table)

    return file.write_stream(write)


_Inputs = Mapping[str, Mapping[str, FileState]]
"""Kind -> item -> state of its file."""


def _inputs(folder: Folder, planned: PlannedCells) -> _Inputs:
    """All parts that the tables follow from, without opening any."""
    wanted = {axes.cell_id for axes in planned.cells}
    found = {kind: folder.states(kind) for kind in ("directions", "ratings")}
    if any(one.kind == CapabilityItem.kind for one in planned.others):
        found[CAPABILITIES] = dict(folder.files.states(CAPABILITIES))
    if any(one.kind == DamageItem.kind for one in planned.others):
        found[DamageItem.kind] = dict(folder.files.states(f"analyses/{DamageItem.kind}"))
    for measured in measured_folders(planned):
        found[measured] = dict(folder.files.states(measured))
    if planned.parity:
        found[ParityItem.kind] = dict(folder.files.states(f"analyses/{ParityItem.kind}"))
    behaviors = {axes.behavior: axes for axes in planned.cells}
    scorers = {scorer for axes in behaviors.values() for scorer in planned.scorers_of(axes)}
    for kind in (*PART_KINDS, *map(scores_of, sorted(scorers))):
        states = folder.states(kind)
        found[kind] = states if states.keys() <= wanted else {one: states[one] for one in states.keys() & wanted}
    return found


def _digest(folder: Folder, inputs: _Inputs) -> str:
    state = hashlib.sha256(f"{schema.SCHEMA_VERSION} {schema.TABLES_VERSION}\n".encode() + folder.plan.read_bytes())
    for kind in sorted(inputs):
        lines = [f"{kind} {name} {[*one]}\n" for name, one in sorted(inputs[kind].items())]
        state.update("".join(lines).encode())
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
    return not step or (
        state is not None and all(one.changed + step < state.changed for states in inputs.values() for one in states.values())
    )


def _tables(folder: Folder) -> list[list[int] | None]:
    found = folder.files.states("")
    always = (folder.responses, folder.scores, folder.cells, folder.rates, folder.direction_table, folder.transfers)
    tables = (*always, *(file for file in folder.analyses.values() if file.name in found))
    return [list(found[one.name]) if one.name in found else None for one in tables]
