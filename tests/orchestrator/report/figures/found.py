"""What a sweep found, of made-up rows and without a folder."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.report.findings import SweepFindings
from orchestrator.report.series import series_of
from orchestrator.results.rows import CellRow
from tests.orchestrator.report.made_up import rows_of
from tests.orchestrator.samples import Counts, grid

SWEPT: Counts = {None: (1, 0), (12, 2.0): (1, 0), (12, 8.0): (1, 9), (15, 2.0): (4, 0), (15, 8.0): (9, 1), (21, 8.0): (3, 0)}


def swept(name: str = "smollm2") -> list[CellRow]:
    """A baseline and three layers by three multipliers; the best cell is L15+ x 8."""
    return rows_of(SWEPT, grid((12, 15, 21), (2.0, 8.0, 20.0), name))


def found_of(rows: Sequence[CellRow]) -> SweepFindings:
    """The findings of ``rows``; whatever asks for the folder fails."""
    found = SweepFindings.__new__(SweepFindings)
    found.rows, found.series = list(rows), series_of(rows)
    return found
