"""Success against damage: every steered cell whose damage was measured, and the front of those that no other beats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.planning.analyses import CONTROL
from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart, share_text
from orchestrator.report.figures.points import PointLook
from orchestrator.report.figures.tidy import of_behavior, rate_row, texts, weights_text
from orchestrator.report.findings import SweepFindings
from orchestrator.report.series import decoding_text
from orchestrator.report.values import success_rate, target_words
from orchestrator.results.rows import CellRow

LINEAR = 0.01
"""Nats up to which the scale of damage is linear, from there on logarithmic."""
PANELS = 12


def charts(found: SweepFindings) -> Iterator[Chart]:
    """A panel per model, behavior and decoding: answers that were drawn otherwise, or are longer, share no front."""
    groups: dict[tuple[str, str, str], list[CellRow]] = {}
    for row in found.rows:
        if row.kl is not None and row.labelled and row.n:
            groups.setdefault((weights_text(row), row.behavior, decoding_text(row)), []).append(row)
    steered = {key: rows for key, rows in groups.items() if any(row.steered for row in rows)}
    several = len({decoded for _, _, decoded in steered}) > 1
    for (model, behavior, decoded), rows in list(steered.items())[:PANELS]:
        words = target_words(rows)
        look = PointLook(
            "kl", "method", "KL(unsteered ‖ steered), nats per token", words, _told, ("symlog", LINEAR), "front", (CONTROL,)
        )
        best = {row.key for row in front(row for row in rows if row.method != CONTROL)}
        title = f"{model} · {of_behavior(behavior, words)} against damage{f' · {decoded}' if several else ''}"
        yield Chart(title, [_shown(row, row.key in best) for row in rows], look)


def front(rows: Iterable[CellRow]) -> list[CellRow]:
    """The cells than which no other of ``rows`` succeeds as often with less damage, by damage."""
    best: list[CellRow] = []
    for row in sorted(rows, key=lambda row: (row.kl or 0.0, -success_rate(row))):
        if not best or success_rate(row) > success_rate(best[-1]):
            best.append(row)
    return best


def _shown(row: CellRow, best: bool) -> Row:
    return {**rate_row(row), "kl": row.kl, "kl_low": row.kl_low, "kl_high": row.kl_high, "front": True if best else None}


def _told(row: Row) -> str:
    times = "" if row["multiplier"] is None else f" x {row['multiplier']:g}"
    return f"{texts(row, 'method', 'where')}{times}\n{share_text(row)}"
