"""Transfer as a table (the paper's Table 10): each transferred direction beside the target's own; the pairs not comparable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.method_text import method_text
from orchestrator.planned import IncomparablePair
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.values import IN_SAMPLE, PLANNED_NOTE, decimals, number
from orchestrator.results.comparison_rows import TransferRow
from orchestrator.statistics import Interval, interval_text, percent_text

_METHOD = ReportColumn("method", left=True, spare=2)
_NO_ANSWER = ReportColumn("no answer %", "no answer")
_COLUMNS = (
    ReportColumn("source -> target", left=True),
    _METHOD,
    ReportColumn("where", left=True),
    ReportColumn("transferred %", "transf. %"),
    ReportColumn("own %"),
    ReportColumn("garbled %", "garbled", spare=1),
    _NO_ANSWER,
    ReportColumn("TE [95 %, joint]"),
    ReportColumn("cross-cosine", "cross-cos", spare=3, note="Cross-cosine: of the two directions."),
)
_NOTE = (
    "TE: rate with the transferred direction over the rate with the target's own at the corresponding layer; undefined where "
    "that is 0. Interval: 95 % percentile bootstrap, joint (the same prompts drawn in both arms); transfer.parquet also has the "
    "independent one."
)


def transfer_table(transfers: Sequence[TransferRow], incomparable: Sequence[IncomparablePair] = ()) -> ReportTable | None:
    """One row per transfer cell, then the pairs that cannot be compared, with both widths; None when there are none of either."""
    if not transfers and not incomparable:
        return None
    behaviors = len({row.behavior for row in transfers}) > 1
    rows = [_row(row, behaviors) for row in transfers]
    rows += [_absent(pair) for pair in incomparable]
    marked = any(row.in_sample for row in transfers)
    several = len({(row.method, row.method_options) for row in transfers}) > 1
    columns = tuple(replace(column, spare=0) if several and column is _METHOD else column for column in _COLUMNS)
    table = ReportTable("Transfer", columns, tuple(rows), (_NOTE, PLANNED_NOTE) if marked else (_NOTE,))
    return table if any(row.no_answer_n for row in transfers) else table.without(_NO_ANSWER)


def te_text(row: TransferRow) -> str:
    """``1.25 [1.07, 1.5]``; why there is none otherwise."""
    if row.te is None or row.te_low is None or row.te_high is None:
        return missing_text(row)
    high = "inf" if math.isinf(row.te_high) else f"{row.te_high:.2f}"
    return f"{row.te:.2f} [{row.te_low:.2f}, {high}]"


def missing_text(row: TransferRow) -> str:
    """Why a transfer cell has no TE."""
    if row.control_id is None:
        return "no self-control"
    if row.success_n is None or row.control_success_n is None:
        return "unlabelled"
    return "undefined"


def _row(row: TransferRow, behaviors: bool) -> tuple[Value, ...]:
    te = te_text(row)
    at = f"L{row.source_layer} -> L{row.layer} x {row.multiplier:g}"
    if row.control_layer not in (None, row.layer):
        at += f" (own: L{row.control_layer})"
    return (
        Value(f"{row.source} -> {row.target}" + (f" · {row.behavior}" if behaviors else "")),
        Value(method_text(row.method, row.method_options)),
        number(at),
        _rate(row.success_n, row.n, (row.success_low, row.success_high), IN_SAMPLE if row.in_sample else ""),
        _rate(row.control_success_n, row.control_n or 0, (row.control_success_low, row.control_success_high)),
        *(number("-" if k is None else percent_text(k, row.n)) for k in (row.garbled_n, row.no_answer_n)),
        Value(te, tone="faint" if row.te is None else "", number=True),
        decimals(row.cross_cosine),
    )


def _absent(pair: IncomparablePair) -> tuple[Value, ...]:
    none = Value("-", tone="faint", number=True)
    wide = f"widths {pair.source_width}, {pair.target_width}"
    reason = wide if pair.source_width != pair.target_width else pair.reason
    said = Value(f"not comparable: {reason}", short=f"no: {reason}", tone="faint")
    return (Value(f"{pair.source} -> {pair.target}"), none, none, none, none, none, none, said, none)


def _rate(k: int | None, n: int, ends: tuple[float | None, float | None], mark: str = "") -> Value:
    low, high = ends
    if k is None or low is None or high is None:
        return number("-")
    short = f"{percent_text(k, n)}{mark} {interval_text(Interval(low, high))}"
    return Value(f"{short} {k}/{n}", short=short, number=True)
