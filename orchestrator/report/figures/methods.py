"""Methods of finding a direction side by side, each at its best cell: the paper's Figure 3."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.dots import DotLook
from orchestrator.report.figures.tidy import of_behavior, rate_row, weights_text
from orchestrator.report.findings import SweepFindings
from orchestrator.report.methods import MethodLine, compared_methods
from orchestrator.report.values import target_words


def charts(found: SweepFindings) -> Iterator[Chart]:
    """A panel per behavior, a dot per method and way of choosing the layer, by model."""
    groups: dict[str, list[tuple[MethodLine, float | None]]] = {}
    for lines in compared_methods(found.rows):
        first = lines[0].best
        for line in lines:
            cosine = None if line.best is first else found.cosine(line.best, first)
            groups.setdefault(line.best.behavior, []).append((line, cosine))
    for behavior, found_lines in groups.items():
        words = target_words(line.best for line, _ in found_lines)
        title = f"{of_behavior(behavior, words)} at each method's best cell"
        yield Chart(title, [_shown(line, cosine) for line, cosine in found_lines], DotLook("name", "line", words))


def _shown(line: MethodLine, cosine: float | None) -> Row:
    tidy = rate_row(line.best)
    chosen = " (own layer)" if line.best.layer_selected else ""
    in_sample = line.among > 1 or line.best.in_sample
    extra = {"among": line.among, "cosine_to_first": cosine, "in_sample": in_sample}
    return {**tidy, **extra, "name": weights_text(line.best), "line": f"{tidy['method']}{chosen}"}
