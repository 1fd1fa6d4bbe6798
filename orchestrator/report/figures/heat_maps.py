"""Per series what the responses are at every layer and multiplier: success, garbled, without an answer, and the damage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.outcome import Outcome
from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import PERCENT, Chart, number_of, share_text
from orchestrator.report.figures.heat import HeatLook
from orchestrator.report.figures.tidy import cell_axes, measure_words, rate_row, usable
from orchestrator.report.findings import SweepFindings
from orchestrator.report.series import Series
from orchestrator.report.values import IN_SAMPLE, main_outcomes
from orchestrator.results.rows import CellRow
from orchestrator.statistics import percent_text


def charts(found: SweepFindings) -> Iterator[Chart]:
    """A panel for each outcome of a series, and one of the damage where it was measured."""
    for series in found.shown:
        rows = [row for row in series.steered if usable(row)]
        for outcome in main_outcomes(rows) if rows else ():
            title = f"{series.title}: {measure_words(rows[0], outcome)} (%){_unsteered(series, outcome)}"
            look = replace(_RATES, colours=_COLOURS[outcome])
            yield Chart(title, [rate_row(row, outcome) for row in rows], look, series.title)
        damaged = [row for row in series.steered if row.kl is not None]
        if damaged:
            look = replace(_DAMAGE, ends=(0.0, max(row.kl or 0.0 for row in damaged) or 1.0))
            title = f"{series.title}: damage, KL(unsteered ‖ steered) in nats"
            yield Chart(title, [_damage(row) for row in damaged], look, series.title)


def _percent(row: Row) -> str:
    return f"{100 * (number_of(row, 'value') or 0.0):.0f}{IN_SAMPLE if row['in_sample'] else ''}"


def _nats(row: Row) -> str:
    return f"{number_of(row, 'value'):.2f}"


def _nats_whole(row: Row) -> str:
    low, high = number_of(row, "low"), number_of(row, "high")
    return f"{number_of(row, 'value'):.4f} nats" + ("" if low is None or high is None else f" [{low:.4f}, {high:.4f}]")


_COLOURS: dict[Outcome, str] = {"success": "Blues", "garbled": "Oranges", "no_answer": "Purples"}
_RATES = HeatLook("where", "multiplier", "steered layer (depth)", "multiplier", _percent, share_text, unit=PERCENT)
_DAMAGE = replace(_RATES, text=_nats, told=_nats_whole, colours="Reds", unit="nats")


def _damage(row: CellRow) -> Row:
    values = {"measure": "KL", "value": row.kl, "low": row.kl_low, "high": row.kl_high, "k": None, "n": None}
    return {**cell_axes(row), **values, "in_sample": row.in_sample, "cell_id": row.cell_id}


def _unsteered(series: Series, outcome: Outcome) -> str:
    row = series.baseline
    if row is None or not row.labelled or not row.n:
        return ""
    return f"; unsteered {percent_text(row.count(outcome), row.n)}"
