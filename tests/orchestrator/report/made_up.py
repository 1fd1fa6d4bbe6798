"""Rows for the reports, without a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime

from orchestrator.cells import Cell
from orchestrator.results.rows import CellRow, CellTally, axes_of, measures_of, tally_of
from orchestrator.results.schema import LABEL_PART
from orchestrator.results.scored_cells import given_labels
from tests.orchestrator.samples import SHAPE, Counts, direction_set, grid, labels_of, result_of

NOW = datetime(2026, 11, 21, 3, 4, tzinfo=UTC)
COUNTS: Counts = {None: (0, 0), (12, 2.0): (0, 0), (12, 8.0): (1, 9), (15, 2.0): (4, 0), (15, 8.0): (9, 1)}


def row_of(one: Cell, refusals: int = 0, garbled: int = 0, labelled: bool = True) -> CellRow:
    """The row of a cell with these counts of its ten responses."""
    tally = tally_of(given_labels(LABEL_PART.table(labels_of(one, refusals, garbled))), NOW) if labelled else CellTally()
    parts = (
        axes_of(one, SHAPE),
        measures_of(one, result_of(one), direction_set() if one.steering else None, 1, NOW),
        tally,
    )
    return CellRow(**{field.name: getattr(part, field.name) for part in parts for field in fields(part)})


def rows_of(counts: Counts = COUNTS, cells: Sequence[Cell] | None = None) -> list[CellRow]:
    """The rows of ``cells`` (the sample grid) with these counts."""
    rows = []
    for one in grid() if cells is None else cells:
        key = None if one.steering is None else (one.steering.layers[0], one.steering.action.multiplier)
        rows.append(row_of(one, *counts.get(key, (0, 0))))
    return rows
