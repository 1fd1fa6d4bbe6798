"""The numbers of a cell as they are written in every table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.outcome import COUNTED, OUTCOMES, Outcome, in_words, success_in_words
from orchestrator.report.report_table import ReportColumn, Tone, Value
from orchestrator.report.series import Series, depth_text, layer_text, mostly, multiplier_text, then_text
from orchestrator.results.rows import CellRow
from orchestrator.scoring.score import GARBLED_BY_LOSS, reads_losses
from orchestrator.statistics import interval_text, percent_text

IN_SAMPLE = "†"
"""Marks a rate that was measured on the prompts that chose its setting."""

PLANNED_NOTE = f"{IN_SAMPLE} in-sample: measured on the prompts that chose the setting."
BEST_NOTE = (
    f"{IN_SAMPLE} in-sample: the setting is the best of several by this very rate, or was chosen on these prompts; "
    "expect less on others."
)


def shown_outcomes(rows: Sequence[CellRow]) -> tuple[Outcome, ...]:
    """The outcomes that a table of ``rows`` shows: every one, but ``no_answer`` only where a response has it."""
    cut = any(row.count("no_answer") for row in rows)
    return tuple(outcome for outcome in OUTCOMES if cut or outcome != "no_answer")


def main_outcomes(rows: Sequence[CellRow]) -> tuple[Outcome, ...]:
    """The same for a table of best cells: without ``other``, which is the rest."""
    return tuple(outcome for outcome in shown_outcomes(rows) if outcome in COUNTED)


def target_words(rows: Iterable[CellRow]) -> str:
    """The label that counts as success in all of ``rows``, in words; ``success`` where they have none, or several."""
    return success_in_words(row.target for row in rows if row.labelled)


def rate_columns(rows: Sequence[CellRow], outcomes: Iterable[Outcome]) -> tuple[ReportColumn, ...]:
    """A column for each of ``outcomes``; that of success is headed by the label that counts as such in ``rows``."""
    return tuple(
        ReportColumn(f"{target_words(rows)} %")
        if outcome == "success"
        else ReportColumn(f"{in_words(outcome)} %", in_words(outcome))
        for outcome in outcomes
    )


def rate_values(row: CellRow, outcomes: Iterable[Outcome], in_sample: bool = False) -> tuple[Value, ...]:
    """What ``rate_columns`` of the same outcomes hold of a cell."""
    return tuple(rate_value(row, outcome, in_sample) for outcome in outcomes)


def number(text: str, tone: Tone = "") -> Value:
    """A value made of numbers alone."""
    return Value(text, tone=tone, number=True)


def rate_value(row: CellRow, outcome: Outcome, in_sample: bool = False) -> Value:
    """Percent with interval and count; where space is short only success keeps them."""
    success = outcome == "success"
    if not row.labelled:
        return Value("unlabelled", short=None if success else "?", number=True)
    k = row.count(outcome)
    mark = IN_SAMPLE if in_sample and success else ""
    whole = f"{percent_text(k, row.n)}{mark} {interval_text(row.interval(outcome))} {k}/{row.n}".replace("  ", " ")
    tone: Tone = outcome if mostly(row, k) else ""
    return Value(whole, short=None if success else percent_text(k, row.n), tone=tone, number=True)


def where_text(row: CellRow) -> str:
    """The steered layers with their depth, and whether the method chose them; ``unsteered`` for a baseline."""
    if not row.steered:
        return "unsteered"
    depth = depth_text(row)
    return layer_text(row) + (f" ({depth})" if depth else "") + (" chosen" if row.layer_selected else "")


def line_text(row: CellRow) -> str:
    """What a cell has in common with those that differ from it in its multiplier alone: where it is steered, and how strong
    further directions are."""
    return where_text(row) + then_text(row)


def multipliers_text(row: CellRow) -> str:
    """``8``; of several directions ``8, 5`` in their order."""
    return ", ".join([multiplier_text(row), *(f"{one:g}" for one in row.then_multipliers or ())])


def fired_value(row: CellRow) -> Value:
    """Whether the steering was measured to act."""
    return Value({True: "yes", False: "NO", None: "-"}[row.fired], tone="alarm" if row.fired is False else "", number=True)


def decimals(value: float | None, places: int = 3) -> Value:
    """``0.974``; ``-`` for none."""
    return number("-" if value is None else f"{value:.{places}f}")


def kl_value(row: CellRow, mark: str = "") -> Value:
    """``0.376 [0.162, 0.590]``, the interval where there is room for it; of an unsteered cell, which differs from nothing, the
    number alone. ``mark`` stands behind the number."""
    if row.kl is None:
        return number("-")
    ends = "" if not row.steered or row.kl_low is None or row.kl_high is None else f" [{row.kl_low:.3f}, {row.kl_high:.3f}]"
    told = f"{row.kl:.3f}{mark}"
    return Value(told + ends, short=told if ends else None, number=True)


def by_loss(rows: Iterable[CellRow]) -> list[bool]:
    """Whether the loss of the answers has a say in what is garbled, of each labelled cell."""
    return [reads_losses((row.classifier or "").rpartition("+")[2]) for row in rows if row.labelled]


def loss_notes(rows: Iterable[CellRow]) -> tuple[str, ...]:
    """What is to be said below a table of ``rows`` whose garbled rates are not those by rules alone."""
    return (GARBLED_BY_LOSS,) if any(by_loss(rows)) else ()


def planned_note(rows: Iterable[CellRow]) -> tuple[str, ...]:
    """The note that explains the mark, where a row carries it."""
    return (PLANNED_NOTE,) if any(row.in_sample for row in rows) else ()


def success_rate(row: CellRow) -> float:
    """The share of successes; 0 without responses."""
    return row.count("success") / row.n if row.n else 0.0


def best_of(rows: Iterable[CellRow]) -> CellRow:
    """The highest success rate, then the fewest garbled or without an answer, then the weakest multiplier; ValueError on no
    rows."""
    return max(rows, key=lambda row: (success_rate(row), -_incoherent(row), -abs(row.multiplier or 0.0)))


def most_successful(series: Sequence[Series], limit: int) -> list[Series]:
    """The ``limit`` series whose best cells have the highest success rates, in the order given."""
    best = sorted(range(len(series)), key=lambda place: -max(map(success_rate, series[place].rows)))
    return [series[place] for place in sorted(best[:limit])]


def _incoherent(row: CellRow) -> int:
    return row.count("garbled") + row.count("no_answer")
