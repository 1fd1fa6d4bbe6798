"""The norm of a direction before it was made a unit vector, against what it does: the paper's Figure 7."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart, share_text
from orchestrator.report.figures.points import PointLook
from orchestrator.report.figures.tidy import of_behavior, rate_row, texts, usable, weights_text
from orchestrator.report.findings import SweepFindings
from orchestrator.report.values import best_of, target_words
from orchestrator.results.rows import CellRow

FEWEST = 3
"""Directions below which nothing is to be seen."""


def charts(found: SweepFindings) -> Iterator[Chart]:
    """A panel per behavior, a point per direction and layer: the best of its multipliers."""
    groups: dict[str, dict[tuple[object, ...], list[CellRow]]] = {}
    for row in found.rows:
        if usable(row) and not row.is_transfer and row.direction_raw_norm:
            groups.setdefault(row.behavior, {}).setdefault((row.direction_id, row.layer, row.scope), []).append(row)
    for behavior, directions in groups.items():
        if len(directions) >= FEWEST:
            best = [best_of(rows) for rows in directions.values()]
            words = target_words(best)
            look = PointLook("norm", "line", "norm of the direction (raw)", words, _told, ("log", 0.0))
            title = f"{of_behavior(behavior, words)} of each direction's best multiplier against its norm"
            yield Chart(title, [_shown(row) for row in best], look)


def _shown(row: CellRow) -> Row:
    of = {"norm": row.direction_raw_norm, "residual_norm": row.extraction_residual_norm}
    tidy = rate_row(row)
    return {**tidy, **of, "line": f"{weights_text(row)} · {tidy['method']}"}


def _told(row: Row) -> str:
    return f"{texts(row, 'line', 'where')} x {row['multiplier']:g}\n{share_text(row)}"
