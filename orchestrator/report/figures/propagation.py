"""What becomes of a direction that is added at one layer: its cosines at every later one, beside those of random directions."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.analysis.propagation import PropagationRow
from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.lines import LineLook
from orchestrator.report.figures.subjects import subjects
from orchestrator.report.findings import SweepFindings

SHOWN = {
    "alignment": ("own direction there", "chance"),
    "kept": ("what was added", "kept_chance"),
}


def charts(found: SweepFindings) -> Iterator[Chart]:
    """A panel for each source layer, of its first multiplier."""
    seen = set[str]()
    for title, rows in subjects(found, "propagation", PropagationRow, "method", "source", "multiplier"):
        place, _, multiplier = title.rpartition(" · ")
        where, _, source = place.rpartition(" · ")
        if place not in seen and len(rows) > 1:
            seen.add(place)
            words = f"{where}: added at layer {source} x {float(multiplier):g}, cosine of the shift with"
            yield Chart(words, [one for row in rows for one in _cosines(row)], _LOOK)


def _cosines(row: PropagationRow) -> Iterator[Row]:
    for name, (words, chance) in SHOWN.items():
        told = {"value": getattr(row, name), "low": getattr(row, f"{name}_low"), "high": getattr(row, f"{name}_high")}
        yield {"layer": row.layer, "line": words, **told}
        low, high = getattr(row, f"{chance}_low"), getattr(row, f"{chance}_high")
        yield {"layer": row.layer, "line": f"random: {words}", "value": (low + high) / 2, "low": low, "high": high}


_LOOK = LineLook("layer", "line", "layer", "cosine", unit="", ends=(-1.0, 1.0))
