"""Directions whose selected layer does not tell the classes apart."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.method_text import method_text
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.results.comparison_rows import DirectionRow

_COLUMNS = (
    ReportColumn("model", left=True),
    ReportColumn("behavior", left=True, spare=1),
    ReportColumn("method", left=True),
    ReportColumn("layer"),
    ReportColumn("why", left=True),
)
_NOTE = "A method that selects a layer selects one whatever it is given. Cells with layer auto are steered with these."


def doubts_table(directions: Iterable[DirectionRow]) -> ReportTable | None:
    """One line per selected direction with a warning; None where there is none."""
    values = tuple(
        (
            Value(row.model + (f"/{row.quantization}" if row.quantization != "none" else "")),
            Value(row.behavior),
            Value(method_text(row.method, row.method_options)),
            Value(f"L{row.layer}", number=True),
            Value(row.warning),
        )
        for row in directions
        if row.warning is not None
    )
    return ReportTable("Doubtful directions", _COLUMNS, values, (_NOTE,)) if values else None
