"""The numbers of a cell as they are written in every table."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.classifiers import LabelName
from orchestrator.records.rows import CellRow
from orchestrator.report.grid import Tone, Value
from orchestrator.report.series import depth_text, layer_text, mostly
from orchestrator.statistics import interval_text, percent_text

IN_SAMPLE = "†"
"""Marks a rate that was measured on the prompts that chose its setting."""

PLANNED_NOTE = f"{IN_SAMPLE} in-sample: measured on the prompts that chose the setting."
BEST_NOTE = (
    f"{IN_SAMPLE} in-sample: the setting is the best of several by this very rate, or was chosen on these prompts; "
    "expect less on others."
)

LABELS: tuple[LabelName, ...] = ("coherent_refusal", "garbled", "normal")


def number(text: str, tone: Tone = "") -> Value:
    """A value made of numbers alone."""
    return Value(text, tone=tone, number=True)


def rate_value(row: CellRow, label: LabelName, in_sample: bool = False) -> Value:
    """Percent with interval and count; where space is short only coherent refusals keep them."""
    if not row.labelled:
        return Value("unlabelled", short="?" if label != "coherent_refusal" else None, number=True)
    k = row.count(label)
    mark = IN_SAMPLE if in_sample and label == "coherent_refusal" else ""
    whole = f"{percent_text(k, row.n)}{mark} {interval_text(k, row.n)} {k}/{row.n}".replace("  ", " ")
    tone: Tone = label if mostly(row, k) else ""
    return Value(whole, short=None if label == "coherent_refusal" else percent_text(k, row.n), tone=tone, number=True)


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
    return row.count("coherent_refusal") / row.n if row.n else 0.0


def best_of(rows: Iterable[CellRow]) -> CellRow:
    """The highest rate of coherent refusals, then the fewest garbled, then the weakest multiplier; ValueError on no rows."""
    return max(rows, key=lambda row: (refusal_rate(row), -row.count("garbled"), -abs(row.multiplier or 0.0)))
