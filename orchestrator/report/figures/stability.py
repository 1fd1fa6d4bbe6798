"""How a direction settles with its prompts: the agreement of two directions from other prompts, over how many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.analysis.stability import StabilityRow
from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.lines import LineLook
from orchestrator.report.figures.subjects import subjects
from orchestrator.report.findings import SweepFindings

PLACES = (0.25, 0.5, 0.75, 1.0)
"""Of the depth: the layers that have a curve."""
SIZES = tuple(2**power for power in range(2, 11))
"""Prompts of each class at which the curves are drawn."""


def charts(found: SweepFindings) -> Iterator[Chart]:
    """Of each contrast its learning curves at a few layers, and every layer's agreement at the prompts there are."""
    for title, rows in subjects(found, "stability", StabilityRow, "classes"):
        known = [row for row in rows if row.k is not None]
        if known:
            few = list(dict.fromkeys(known[min(len(known) - 1, int(place * len(known)))].layer for place in PLACES))
            curves = [one for row in known if row.layer in few for one in _curve(row)]
            yield Chart(f"{title}: agreement of directions from other prompts, by how many", curves, _CURVES)
            yield Chart(f"{title}: agreement at the prompts there are", [*_layers(rows)], _LAYERS)


def _curve(row: StabilityRow) -> Iterator[Row]:
    for size in SIZES:
        told = {"value": _agreement(row.k, row.floor, size)}
        told |= {"low": _agreement(row.k_high, row.floor_high, size), "high": _agreement(row.k_low, row.floor_low, size)}
        yield {"prompts": size, "line": f"layer {row.layer}", **told}


def _agreement(k: float | None, floor: float | None, size: int) -> float | None:
    return None if k is None or floor is None else 1 / (1 + max(0.0, k / size + floor))


def _layers(rows: Sequence[StabilityRow]) -> Iterator[Row]:
    for row in rows:
        told = {"value": row.agreement, "low": row.agreement_low, "high": row.agreement_high}
        yield {"layer": row.layer, "line": f"{row.n_positive} + {row.n_negative} prompts", **told}
        yield {"layer": row.layer, "line": "wanted", "value": row.wanted, "low": row.wanted, "high": row.wanted}


_CURVES = LineLook("prompts", "line", "prompts of each class", "agreement", logarithmic=True)
_LAYERS = LineLook("layer", "line", "layer", "agreement")
