"""The cells of a sweep as tables, one per series, and where they are many the best cell of each series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.outcome import Outcome
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.series import Series, decoding_text
from orchestrator.report.values import (
    BEST_NOTE,
    best_of,
    decimals,
    fired_value,
    kl_value,
    loss_notes,
    main_outcomes,
    multipliers_text,
    number,
    planned_note,
    rate_columns,
    rate_values,
    shown_outcomes,
    where_text,
)
from orchestrator.results.plan_file import PlannedDamage
from orchestrator.results.rows import CellRow
from orchestrator.statistics import percent_text

_WHERE = (ReportColumn("layer", left=True), ReportColumn("multiplier", "mult."), ReportColumn("x norm", spare=2))
_STABLE = ReportColumn(
    "stable %",
    "stable",
    spare=3,
    note="Stable: the share of a prompt's samples that have its commonest label, mean over prompts.",
)
_SAMPLED = "{}. Intervals are clustered by prompt."
_KL = ReportColumn("KL", spare=5)
_KL_NOTE = (
    "KL: the damage, KL(unsteered ‖ steered) of the next token in nats, on {}; in brackets its 95 % t interval over prompts."
)
_LOSS = ReportColumn("loss", spare=4, note="Loss: of the answers under the unsteered model, in nats per token.")
_FIRED = ReportColumn("fired", spare=6)
_SECONDS = ReportColumn("seconds", "s", spare=1)
_BEST = (ReportColumn("series", left=True), ReportColumn("unsteered %", "unst."), ReportColumn("best cell", left=True))


def cells_table(series: Series, damage: PlannedDamage | None = None) -> ReportTable:
    """A series, baseline first. ``x norm``: multiplier / residual norm; ``-`` where the multiplier is no length. ``damage``: how
    it was measured, where that is known. A steering that did not fire is told however narrow the table is."""
    rows, outcomes = series.rows, shown_outcomes(series.rows)
    kl = replace(_KL, note=_KL_NOTE.format("neutral prompts" if damage is None else damage.size))
    fired = replace(_FIRED, spare=0) if any(row.fired is False for row in rows) else _FIRED
    columns = (*_WHERE, *rate_columns(rows, outcomes), _STABLE, kl, _LOSS, fired, _SECONDS)
    sampled = [row for row in rows if row.samples > 1]
    notes = [*planned_note(rows), *(_SAMPLED.format(text) for text in dict.fromkeys(map(decoding_text, sampled)))]
    lacking = [] if sampled else [_STABLE]
    lacking += [column for name, column in (("kl", kl), ("loss", _LOSS)) if all(getattr(row, name) is None for row in rows)]
    table = ReportTable(series.title, columns, tuple(_cell(row, outcomes) for row in rows), (*notes, *loss_notes(rows)))
    for column in lacking:
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
    return ReportTable("The best cell of each series", columns, rows, (*((BEST_NOTE,) if marked else ()), *loss_notes(best)))


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
        kl_value(row),
        decimals(row.loss),
        fired_value(row),
        number(f"{row.seconds:.1f}"),
    )
