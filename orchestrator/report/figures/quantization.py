"""What quantization costs: the forms of a model's weights at one setting, and how far the direction turned: Figures 4 and 8."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart, share_text
from orchestrator.report.figures.dots import DotLook
from orchestrator.report.figures.points import PointLook
from orchestrator.report.figures.tidy import of_behavior, rate_row, texts
from orchestrator.report.findings import SweepFindings
from orchestrator.report.quantization import compared_forms
from orchestrator.report.values import target_words
from orchestrator.results.rows import CellRow


def charts(found: SweepFindings) -> Iterator[Chart]:
    """A panel per behavior of the rates, and one of them against the cosine to full precision."""
    groups: dict[str, list[Row]] = {}
    shown = [row for group in compared_forms(found.rows) for row in group.forms]
    for row in shown:
        groups.setdefault(row.behavior, []).append(_shown(row))
    words = target_words(shown)
    for behavior, rows in groups.items():
        yield Chart(f"{of_behavior(behavior, words)} by the form of the weights", rows, DotLook("name", "weights", words))
        turned = [row for row in rows if row["cosine"] is not None]
        if turned:
            look = PointLook("cosine", "quantization", "cosine to the direction at full precision", words, _told)
            yield Chart(f"{of_behavior(behavior, words)} against the turn of the direction", turned, look)


def _shown(row: CellRow) -> Row:
    tidy = rate_row(row)
    more: dict[str, object] = {"cosine": row.direction_cosine_to_full_precision, "norm": row.direction_raw_norm}
    more["weights"] = row.dtype if row.quantization == "none" else row.quantization
    return {**tidy, **more, "name": f"{tidy['model']} · {tidy['method']} {tidy['where']} x {row.multiplier:g}"}


def _told(row: Row) -> str:
    return f"{texts(row, 'name', 'quantization')}\n{share_text(row)}"
