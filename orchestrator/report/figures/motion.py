"""Where steered centroids go: how much of their shift is beside the direction, and how far along the segment they are."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.analysis.motion import MotionRow
from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.lines import LineLook
from orchestrator.report.figures.subjects import subjects
from orchestrator.report.findings import SweepFindings


def charts(found: SweepFindings) -> Iterator[Chart]:
    """Of each method and source layer the orthogonal share by layer, a line for each class and strength."""
    for title, rows in subjects(found, "motion", MotionRow, "method", "source"):
        if len({row.layer for row in rows}) > 1:
            where, _, source = title.rpartition(" · ")
            yield Chart(f"{where}: added at layer {source}, share of the shift beside the direction", [*map(_share, rows)], _LOOK)


def _share(row: MotionRow) -> Row:
    at = {"layer": row.layer, "line": f"{row.steered} x {row.multiplier:g}"}
    place = {"t": row.t, "bow": row.bow}
    return {**at, "value": row.orthogonal, "low": row.orthogonal_low, "high": row.orthogonal_high, **place}


_LOOK = LineLook("layer", "line", "seen at layer", "orthogonal share")
