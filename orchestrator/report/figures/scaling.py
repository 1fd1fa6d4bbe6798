"""Success over a model's size, and the depth of its best cell: the paper's Figures 1 and 2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.lines import LineLook
from orchestrator.report.figures.tidy import of_behavior, rate_row, usable
from orchestrator.report.findings import SweepFindings
from orchestrator.report.values import best_of, target_words
from orchestrator.results.rows import CellRow

_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s?([bm])(?![a-z0-9])", re.IGNORECASE)


def charts(found: SweepFindings) -> Iterator[Chart]:
    """Two panels per behavior, a line per family and method, of models of two sizes or more; unquantized, own directions."""
    groups: dict[str, dict[tuple[str, str, float], list[CellRow]]] = {}
    for row in found.rows:
        size = size_of(row)
        if size is not None and usable(row) and row.multiplier and not row.is_transfer and row.quantization == "none":
            line = f"{row.family} · {row.method}"
            groups.setdefault(row.behavior, {}).setdefault((line, row.family, size), []).append(row)
    look = LineLook("size", "line", "parameters (billions, as its name says)", "", logarithmic=True)
    for behavior, sizes in groups.items():
        many = {line for line, _, _ in sizes if len({size for other, _, size in sizes if other == line}) > 1}
        best = [(line, size, best_of(rows)) for (line, _, size), rows in sizes.items() if line in many]
        if not best:
            continue
        words = target_words(row for _, _, row in best)
        tidy = [{**rate_row(row), "size": size, "line": line} for line, size, row in best]
        yield Chart(f"{of_behavior(behavior, words)} of the best cell over size", tidy, replace(look, y_title=words))
        depths = [
            {**one, "rate": one["value"], "value": row.relative_depth, "low": row.relative_depth, "high": row.relative_depth,
             "k": None}
            for one, (_, _, row) in zip(tidy, best, strict=True)
        ]  # fmt: skip
        yield Chart(f"{behavior}: depth of the best cell over size", depths, replace(look, y_title="depth"))


def size_of(row: CellRow) -> float | None:
    """Billions of parameters, as the name of its repository or folder says, else the sweep's name; None where neither does."""
    for name in (row.location, row.model):
        found = _SIZE.search(name.replace("_", "-"))
        if found:
            return float(found.group(1)) / (1 if found.group(2).lower() == "b" else 1000)
    return None
