"""Curves through behavioural centroids: the path of the knots in a layer's first two principal components, and how it bends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.analysis.splines import SplineRow
from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.lines import LineLook
from orchestrator.report.figures.paths import PathLook
from orchestrator.report.figures.subjects import subjects
from orchestrator.report.findings import SweepFindings

PLACES = (0.25, 0.5, 0.75)
"""Of the depth: the layers whose path is drawn."""


def charts(found: SweepFindings) -> Iterator[Chart]:
    """Of each contrast the bow of every layer's curve beside a straight one's, and the paths of a few layers."""
    for title, rows in subjects(found, "splines", SplineRow, "classes"):
        whole = [row for row in rows if row.knot is None and row.bow is not None]
        if len(whole) > 1:
            yield Chart(f"{title}: how far the curve of a layer bends", [one for row in whole for one in _bows(row)], _BOWS)
        for layer in dict.fromkeys(whole[int(place * len(whole))].layer for place in PLACES if whole):
            knots = [row for row in rows if row.layer == layer and row.knot is not None and row.first is not None]
            if knots:
                yield Chart(f"{title}: the knots of layer {layer} by strength", [*_path(knots)], _PATH)


def _bows(row: SplineRow) -> Iterator[Row]:
    common = {"layer": row.layer, "low": None, "high": None}
    yield {**common, "line": "as found", "value": row.bow}
    yield {**common, "line": "if straight, with the same scatter", "value": row.bow_straight}


def _path(knots: Sequence[SplineRow]) -> Iterator[Row]:
    for row in knots:
        told = {"strength": row.strength, "soft": row.soft, "instability": row.instability, "error": row.error, "n": row.n}
        yield {"layer": row.layer, "knot": row.knot, "x": row.first, "value": row.second, **told}


_BOWS = LineLook("layer", "line", "layer", "bow over the curve's length", unit="")
_PATH = PathLook()
