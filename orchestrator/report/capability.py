"""What steerings do to what a model can do, beside the unsteered model."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.series import setting_text
from orchestrator.report.values import number
from orchestrator.results.capability import CapabilityRow
from orchestrator.results.rows import CellRow

_COLUMNS = (
    ReportColumn("model", left=True),
    ReportColumn("cell", left=True),
    ReportColumn("task", left=True),
    ReportColumn("metric", left=True),
    ReportColumn("value"),
    ReportColumn("unsteered"),
    ReportColumn("n"),
    ReportColumn("shots", spare=1),
)
_NOTE = "By lm-evaluation-harness, through this program's engine; n documents each."


def capability_table(tried: Sequence[CapabilityRow], rows: Sequence[CellRow]) -> ReportTable | None:
    """A row per steered cell, task and metric; None where no task has run."""
    cells = {row.cell_id: row for row in reversed(rows)}
    there = [(cells[one.cell_id], one) for one in tried if one.cell_id in cells]
    plain = {(row.variant, one.task, one.metric): one.value for row, one in there if not row.steered}
    values = tuple(
        (
            Value(row.model if row.quantization == "none" else f"{row.model} {row.quantization}"),
            number(f"{row.method} {setting_text(row)}"),
            Value(one.task),
            Value(one.metric.removesuffix(",none")),
            number(f"{one.value:.4g}"),
            number(f"{before:.4g}" if (before := plain.get((row.variant, one.task, one.metric))) is not None else "-"),
            number(f"{one.n:,}"),
            number("" if one.shots is None else str(one.shots)),
        )
        for row, one in there
        if row.steered
    )
    return ReportTable("Capability", _COLUMNS, values, (_NOTE,)) if values else None
