"""Per series how success grows with the strength, a line per steered layer: over the multiplier, and over the multiplier
relative to the residual stream's norm, which is what models have in common."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.lines import LineLook
from orchestrator.report.figures.tidy import rate_row, usable
from orchestrator.report.findings import SweepFindings
from orchestrator.report.values import line_text, target_words

POINTS = 3
"""A line of fewer points is none."""
_X = {"multiplier": "multiplier", "norm_ratio": "multiplier / residual norm"}


def charts(found: SweepFindings) -> Iterator[Chart]:
    """A panel for each way to measure the strength."""
    for series in found.shown:
        rows = [row for row in series.steered if usable(row)]
        strengths: dict[str, set[float | None]] = {}
        for row in rows:
            strengths.setdefault(line_text(row), set()).add(row.multiplier)
        tidy = [rate_row(row) for row in rows if len(strengths[line_text(row)]) >= POINTS]
        for x, title in _X.items():
            shown = [one for one in tidy if one[x] is not None]
            if shown:
                words = target_words(rows)
                yield Chart(f"{series.title}: {words} over {title}", shown, LineLook(x, "where", title, words), series.title)
