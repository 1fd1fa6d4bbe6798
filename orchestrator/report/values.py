"""The numbers of a cell as they are written in every table."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.records.rows import CellRow
from orchestrator.report.grid import Column, Tone, Value
from orchestrator.report.series import depth_text, layer_text, mostly
from orchestrator.scoring import LABELS, LabelName
from orchestrator.statistics import interval_text, percent_text

IN_SAMPLE = "†"
"""Marks a rate that was measured on the prompts that chose its setting."""

PLANNED_NOTE = f"{IN_SAMPLE} in-sample: measured on the prompts that chose the setting."
BEST_NOTE = (
    f"{IN_SAMPLE} in-sample: the setting is the best of several by this very rate, or was chosen on these prompts; "
    "expect less on others."
)


def shown_labels(rows: Iterable[CellRow]) -> tuple[LabelName, ...]:
    """The labels that a table of ``rows`` shows: every one, but ``no_answer`` only where a response has it."""
    cut = any(row.count(LABELS.unanswered) for row in rows)
    return tuple(name for name in LABELS.names if cut or name != LABELS.unanswered)


def main_labels(rows: Iterable[CellRow]) -> tuple[LabelName, ...]:
    """The labels that a table of best cells shows: the behavior's, garbled, and ``no_answer`` where a response has it."""
    told = (LABELS.target, LABELS.incoherent, LABELS.unanswered)
    return tuple(name for name in shown_labels(rows) if name in told)


def rate_columns(labels: Iterable[LabelName]) -> tuple[Column, ...]:
    """A column for each of ``labels``."""
    kinds = map(LABELS.kind, labels)
    return tuple(Column(f"{kind.words} %", "" if kind.name == LABELS.target else kind.short) for kind in kinds)


def rate_values(row: CellRow, labels: Iterable[LabelName], in_sample: bool = False) -> tuple[Value, ...]:
    """What ``rate_columns`` of the same labels hold of a cell."""
    return tuple(rate_value(row, label, in_sample) for label in labels)


def number(text: str, tone: Tone = "") -> Value:
    """A value made of numbers alone."""
    return Value(text, tone=tone, number=True)


def rate_value(row: CellRow, label: LabelName, in_sample: bool = False) -> Value:
    """Percent with interval and count; where space is short only coherent refusals keep them."""
    if not row.labelled:
        return Value("unlabelled", short="?" if label != LABELS.target else None, number=True)
    k = row.count(label)
    mark = IN_SAMPLE if in_sample and label == LABELS.target else ""
    whole = f"{percent_text(k, row.n)}{mark} {interval_text(k, row.n)} {k}/{row.n}".replace("  ", " ")
    tone: Tone = label if mostly(row, k) else ""
    return Value(whole, short=None if label == LABELS.target else percent_text(k, row.n), tone=tone, number=True)


def where_text(row: CellRow) -> str:
    """The steered layers with their depth, and whether the method chose them; ``unsteered`` for a baseline."""
    if not row.steered:
        return "unsteered"
    depth = depth_text(row)
    return layer_text(row) + (f" ({depth})" if depth else "") + (" chosen" if row.layer_selected else "")


def fired_value(row: CellRow) -> Value:
    """Whether the steering was measured to act."""
    return Value({True: "yes", False: "NO", None: "-"}[row.fired], tone="alarm" if row.fired is False else "", number=True)


def decimals(value: float | None, places: int = 3) -> Value:
    """``0.974``; ``-`` for none."""
    return number("-" if value is None else f"{value:.{places}f}")


def planned_note(rows: Iterable[CellRow]) -> tuple[str, ...]:
    """The note that explains the mark, where a row carries it."""
    return (PLANNED_NOTE,) if any(row.in_sample for row in rows) else ()


def refusal_rate(row: CellRow) -> float:
    """The share of coherent refusals; 0 without responses."""
    return row.count(LABELS.target) / row.n if row.n else 0.0


def best_of(rows: Iterable[CellRow]) -> CellRow:
    """The highest rate of coherent refusals, then the fewest garbled or without an answer, then the weakest multiplier;
    ValueError on no rows."""
    return max(rows, key=lambda row: (refusal_rate(row), -_incoherent(row), -abs(row.multiplier or 0.0)))


def _incoherent(row: CellRow) -> int:
    return row.count(LABELS.incoherent) + row.count(LABELS.unanswered)
