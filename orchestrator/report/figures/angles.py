"""How far directions turn: the angle to the next layer's direction, and between any two layers, with noise and without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.analysis.angles import AngleRow
from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart, number_of, told_in
from orchestrator.report.figures.heat import HeatLook
from orchestrator.report.figures.lines import LineLook
from orchestrator.report.figures.subjects import subjects
from orchestrator.report.findings import SweepFindings

DEGREES = "°"
RIGHT = 90.0


def charts(found: SweepFindings) -> Iterator[Chart]:
    """Of each contrast: the neighbours, then every two layers, raw and corrected."""
    for title, rows in subjects(found, "angles", AngleRow, "classes"):
        pairs = [row for row in rows if row.layer is not None]
        next_ones = [row for row in pairs if row.other == (row.layer or 0) + 1]
        if len(next_ones) > 1:
            yield Chart(f"{title}: angle to the next layer's direction", [*_neighbours(next_ones)], _NEXT)
        for name in ("raw", "corrected"):
            yield Chart(f"{title}: {name} angle between the directions of two layers", [*_both_ways(pairs, name)], _PAIRS)


def _neighbours(rows: Sequence[AngleRow]) -> Iterator[Row]:
    for row in rows:
        at = {"layer": row.layer, "other": row.other}
        yield {**at, "line": "raw", "value": row.raw, "low": row.raw_low, "high": row.raw_high}
        told = {"value": row.corrected, "low": row.corrected_low, "high": row.corrected_high}
        yield {**at, "line": "corrected", **told}
        yield {**at, "line": "if nothing turned", "value": row.unturned, "low": None, "high": None}


def _both_ways(rows: Sequence[AngleRow], name: str) -> Iterator[Row]:
    for row in rows:
        told = {"value": getattr(row, name), "low": getattr(row, f"{name}_low"), "high": getattr(row, f"{name}_high")}
        yield {"layer": row.layer, "other": row.other, **told}
        yield {"layer": row.other, "other": row.layer, **told}


def _text(row: Row) -> str:
    value = number_of(row, "value")
    return "" if value is None else f"{value:.0f}"


def _told(row: Row) -> str:
    return told_in(DEGREES, row)


_NEXT = LineLook("layer", "line", "layer", "angle to the next layer", unit=DEGREES)
_PAIRS = HeatLook(
    *("layer", "other", "layer", "other layer", _text, _told),
    colours="viridis",
    ends=(0.0, RIGHT),
    dark_low=True,
    cell=(0.2, 0.2),
    unit=DEGREES,
)
