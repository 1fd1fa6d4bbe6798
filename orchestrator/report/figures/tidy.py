"""Cells as tidy rows: where they lie, and one number of them with its interval."""

from __future__ import annotations

from orchestrator.method_text import method_text
from orchestrator.outcome import Outcome, in_words
from orchestrator.report.blocks import Row
from orchestrator.report.values import line_text, target_words
from orchestrator.results.rows import CellRow
from orchestrator.untrusted import visible


def measure_words(row: CellRow, outcome: Outcome) -> str:
    """The label that counts as success, or the outcome."""
    return target_words([row]) if outcome == "success" else in_words(outcome)


def of_behavior(behavior: str, words: str) -> str:
    """How the title of a panel begins: the behavior and what is counted of it, or the one word that both are."""
    return words if words.casefold() == behavior.casefold() else f"{behavior}: {words}"


def weights_text(row: CellRow) -> str:
    """The model, with its quantization where it has one."""
    return visible(row.model if row.quantization == "none" else f"{row.model} {row.quantization}")


def cell_axes(row: CellRow) -> dict[str, object]:
    """Where a cell lies. ``norm_ratio``: multiplier / mean norm of the residual stream at the first steered layer."""
    return {
        "model": visible(row.model),
        "quantization": row.quantization,
        "behavior": visible(row.behavior),
        "method": method_text(row.method, row.method_options) if row.steered else "unsteered",
        "layer": row.layer,
        "where": line_text(row),
        "depth": row.relative_depth,
        "multiplier": row.multiplier,
        "norm_ratio": row.norm_ratio,
    }


def rate_row(row: CellRow, outcome: Outcome = "success") -> dict[str, object]:
    """A cell with the share of one outcome and its 95 % interval."""
    interval, k = row.interval(outcome), row.count(outcome)
    return {
        **cell_axes(row),
        "measure": measure_words(row, outcome),
        "value": k / row.n,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "k": k,
        "n": row.n,
        "in_sample": row.in_sample,
        "cell_id": row.cell_id,
    }


def usable(row: CellRow) -> bool:
    """Whether a cell is steered, and its responses are labelled."""
    return row.steered and row.labelled and row.n > 0


def texts(row: Row, *columns: str) -> str:
    """What a row says in these columns, beside each other."""
    return " · ".join(str(row[name]) for name in columns if row.get(name) not in (None, "", "none"))
