"""Finished cells, one at a time, to the compacted tables. Memory holds one batch of responses and the rows of cells."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import BinaryIO

from orchestrator.cells import CellKey
from orchestrator.clusters import Count
from orchestrator.results import schema
from orchestrator.results.analyses import LAYOUTS, analysis_rows
from orchestrator.results.capability import CAPABILITY, capability_rows
from orchestrator.results.directions_table import StoredDirections, add_cosines, direction_rows
from orchestrator.results.finished_cells import CellBatch, FinishedCells
from orchestrator.results.folder import Folder
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.remembered import CompactSummary, digest_of_inputs, inputs_of, is_later, remembered, table_states
from orchestrator.results.rows import CellRow
from orchestrator.results.schema import Table
from orchestrator.results.transfers import Controls, cross_cosine, transfer_rows
from orchestrator.storage import StoredFile


def compact(folder: Folder, planned: PlannedCells, processes: int = 1) -> CompactSummary:
    """Write the compacted tables (responses, scores, cells, rates, directions, transfer), or nothing when no file has changed.

    ``processes``: how many read at once, where there are many cells; other than one only in a program that they can import. What
    was found is remembered in ``.compacted``, which may be deleted at any time: the tables follow from the parts.
    """
    inputs = inputs_of(folder, planned)
    state = digest_of_inputs(folder, inputs)
    known = remembered(folder, state)
    if known is not None and is_later(folder.compacted, inputs):
        return known
    summary = _write_tables(folder, planned, FinishedCells(folder, planned).batches(processes))
    if not summary.quarantined:
        content = {"state": state, "tables": table_states(folder), "summary": asdict(replace(summary, changed=False))}
        folder.compacted.write_bytes(json.dumps(content).encode())
    return summary


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
    return CompactSummary(len(set(planned.axis("cell_id"))), cells, unlabelled, written, (*damaged, *stored.damaged), changed)


def _write_table(file: StoredFile, table: Table) -> bool:
    def write(sink: BinaryIO) -> None:
        with schema.open_writer(sink, table.schema) as writer:
            writer.write_table(table)

    return file.write_stream(write)
