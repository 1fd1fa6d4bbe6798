"""The tables of analyses on the page: of each its own columns, as its entry in ``ANALYSES`` says."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.analysis import ANALYSES
from orchestrator.analysis.analysis import AnalysisRow
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.values import number


def analysis_table(name: str, title: str, rows: Sequence[AnalysisRow]) -> ReportTable | None:
    """The rows that the page shows; None where there are none."""
    shown = [row for row in rows if ANALYSES[name].on_page(row)]
    if not shown:
        return None
    heads = [ReportColumn(head, spare=place) for place, (head, _) in enumerate(ANALYSES[name].shown)]
    columns = (ReportColumn("model", left=True), ReportColumn("behavior", left=True), *heads)
    values = tuple(
        (Value(row.model), Value(row.behavior), *(number(text(row)) for _, text in ANALYSES[name].shown)) for row in shown
    )
    more = len(rows) - len(shown)
    notes = (ANALYSES[name].note, *([f"{more:,} more rows in {name}.parquet"] if more else []))
    return ReportTable(title, columns, values, notes)
