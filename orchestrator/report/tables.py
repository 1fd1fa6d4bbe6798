"""The cells of a sweep as tables, one per series, and where they are many the best cell of each series."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.outcome import Outcome
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.series import Series, decoding_text
from orchestrator.report.values import (
    BEST_NOTE,
    best_of,
    decimals,
    fired_value,
    main_outcomes,
    multipliers_text,
    number,
    planned_note,
    rate_columns,
    rate_values,
    shown_outcomes,
    where_text,
)
from orchestrator.results.rows import CellRow
from orchestrator.statistics import percent_text

_WHERE = (ReportColumn("layer", left=True), ReportColumn("multiplier", "mult."), ReportColumn("x norm", spare=2))
_STABLE = ReportColumn(
    "stable %",
    "stable",
    spare=1,
    note="Stable: the share of a prompt's samples that have its commonest label, mean over prompts.",
)
_SAMPLED = "{}. Intervals are clustered by prompt."
_DAMAGE = {
    "kl": ReportColumn("KL", spare=1, note="KL: how far the steering moves the model on neutral prompts, in nats."),
    "loss": ReportColumn("loss", spare=2, note="Loss: of the answers under the unsteered model."),
}
_RUN = (ReportColumn("fired"), ReportColumn("seconds", "s", spare=1))
_BEST = (ReportColumn("series", left=True), ReportColumn("unsteered %", "unst."), ReportColumn("best cell", left=True))


def cells_table(series: Series) -> ReportTable:
    """A series, baseline first. ``x norm``: multiplier / residual norm; ``-`` where the multiplier is no length."""
    outcomes = shown_outcomes(series.rows)
    columns = (*_WHERE, *rate_columns(series.rows, outcomes), _STABLE, *_DAMAGE.values(), *_RUN)
    sampled = [row for row in series.rows if row.samples > 1]
    notes = [*planned_note(series.rows), *(_SAMPLED.format(text) for text in dict.fromkeys(map(decoding_text, sampled)))]
    lacking = [column for name, column in _DAMAGE.items() if all(getattr(row, name) is None for row in series.rows)]
    table = ReportTable(series.title, columns, tuple(_cell(row, outcomes) for row in series.rows), tuple(notes))
    for column in (*lacking, *([] if sampled else [_STABLE])):
        table = table.without(column)
    return table


def best_table(series: Sequence[Series]) -> ReportTable:
    """Per series its baseline's rate and its best cell, an in-sample choice wherever there are several; ``of``: how many."""
    found = [(one, labelled) for one in series if (labelled := [row for row in one.steered if row.labelled and row.multiplier])]
    best = [best_of(labelled) for _, labelled in found]
    outcomes = main_outcomes(best)
    rows = tuple(_best(one, labelled, outcomes) for one, labelled in found)
    marked = any(len(labelled) > 1 or labelled[0].in_sample for _, labelled in found)
    columns = (*_BEST, *rate_columns(best, outcomes), ReportColumn("of"))
    return ReportTable("The best cell of each series", columns, rows, (BEST_NOTE,) if marked else ())


def _best(series: Series, labelled: Sequence[CellRow], outcomes: Sequence[Outcome]) -> tuple[Value, ...]:
    best = best_of(labelled)
    baseline = series.baseline
    unsteered = number("-" if baseline is None or not baseline.labelled else percent_text(baseline.count("success"), baseline.n))
    rates = rate_values(best, outcomes, in_sample=len(labelled) > 1 or best.in_sample is True)
    place = f"{where_text(best)} x {multipliers_text(best)}"
    return (Value(series.title), unsteered, number(place), *rates, number(str(len(labelled))))


def _cell(row: CellRow, outcomes: Sequence[Outcome]) -> tuple[Value, ...]:
    ratio = number("-" if row.norm_ratio is None else f"{row.norm_ratio:.2f}")
    rates = rate_values(row, outcomes, in_sample=row.in_sample is True)
    return (
        number(where_text(row)),
        number(multipliers_text(row)),
        ratio,
        *rates,
        number("-" if row.stability is None else f"{100 * row.stability:.0f}"),
        *(decimals(getattr(row, name)) for name in _DAMAGE),
        fired_value(row),
        number(f"{row.seconds:.1f}"),
    )
