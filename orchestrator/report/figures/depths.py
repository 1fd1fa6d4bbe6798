"""How success lies over the depth, a line per multiplier; a panel per series."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.lines import LineLook
from orchestrator.report.figures.tidy import rate_row, usable
from orchestrator.report.findings import SweepFindings
from orchestrator.report.series import multiplier_text
from orchestrator.report.values import target_words

POINTS = 3
"""A line of fewer depths is none."""


def charts(found: SweepFindings) -> Iterator[Chart]:
    """A panel per series with a line, without the layers that a method chose: those lie where the sweep did not ask."""
    for series in found.shown:
        rows = [row for row in series.steered if usable(row) and not row.layer_selected and row.relative_depth is not None]
        depths: dict[float | None, set[float | None]] = {}
        for row in rows:
            depths.setdefault(row.multiplier, set()).add(row.relative_depth)
        shown = [row for row in rows if len(depths[row.multiplier]) >= POINTS]
        shown.sort(key=lambda row: row.multiplier or 0.0)
        if shown:
            words = target_words(shown)
            tidy = [{**rate_row(row), "line": f"x {multiplier_text(row)}"} for row in shown]
            look = LineLook("depth_percent", "line", "steered depth (%)", words)
            tidy = [{**one, "depth_percent": 100 * (row.relative_depth or 0.0)} for one, row in zip(tidy, shown, strict=True)]
            yield Chart(f"{series.title}: {words} over depth", tidy, look, series.title)
