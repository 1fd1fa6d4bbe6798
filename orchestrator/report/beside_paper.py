"""The paper's tables, each rate that the sweep ran beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.compare.beside import Beside
from orchestrator.paper.tables import Measurement, PaperTable, paper_tables
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.values import number, rate_value
from orchestrator.statistics import interval_text, p_text, percent_text, wilson

_COLUMNS = (
    ReportColumn("condition", left=True),
    ReportColumn("paper %"),
    ReportColumn("ours %"),
    ReportColumn("points"),
    ReportColumn("p (Holm)", "p", spare=1, note="p: Fisher's exact test, two-sided, Holm-adjusted within the table."),
    ReportColumn("others: paper, ours", left=True, spare=2),
    ReportColumn("how ours differs", left=True, spare=3),
)
_NOTE = (
    "Rates are coherent refusals with their 95 % interval and count, the paper's counts being n times its printed rate; points: "
    "ours minus the paper's. {} of the table's {} rates "
    "were run here."
)


def paper_report_tables(found: Sequence[Beside]) -> Iterator[ReportTable]:
    """A table for each of the paper's of which the sweep ran a rate."""
    for table in paper_tables():
        ours = [one for one in found if one.measurement.table == table.table]
        if ours:
            yield _table(table, ours)


def paper_text(one: Measurement) -> str:
    """``60 [46.2, 72.4] 30/50``, or the printed rate alone where the paper gives no n."""
    if one.counts is None:
        return f"{one.coherent:g}"
    return f"{percent_text(*one.counts)} {interval_text(wilson(*one.counts))} {one.counts[0]}/{one.counts[1]}"


def _table(table: PaperTable, found: Sequence[Beside]) -> ReportTable:
    run = {id(one.measurement) for one in found}
    rows = tuple(_row(one) for one in found)
    return ReportTable(f"{table.title}: {table.caption}", _COLUMNS, rows, (_NOTE.format(len(run), len(table.measured)),))


def _row(one: Beside) -> tuple[Value, ...]:
    p = one.p if one.p_holm is None else one.p_holm
    others = [f"{name} {paper:g}, {ours:.4g}" for name, paper, ours in one.others]
    if one.te is not None and one.te.value is not None:
        others.append(f"TE {one.measurement.te}, {one.te.value:.2f}")
    return (
        Value(one.measurement.condition),
        number(paper_text(one.measurement)),
        rate_value(one.row, "success", in_sample=one.row.in_sample is True),
        number(f"{one.points:+.0f}"),
        number("-" if p is None else p_text(p)),
        Value("; ".join(others) or "-"),
        Value("; ".join(one.notes) or "-"),
    )
