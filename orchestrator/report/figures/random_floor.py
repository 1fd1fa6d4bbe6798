"""How far a direction moves the next token on neutral prompts, beside random directions of the same length."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.analysis.random_floor import FloorRow
from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.dots import DotLook
from orchestrator.report.figures.subjects import subjects
from orchestrator.report.findings import SweepFindings


def charts(found: SweepFindings) -> Iterator[Chart]:
    """Of each method its KL at every layer and strength, and the share of random directions that move it less."""
    for title, rows in subjects(found, "random_floor", FloorRow, "method"):
        yield Chart(f"{title}: KL of the next token on neutral prompts", [one for row in rows for one in _divergences(row)], _KL)
        yield Chart(f"{title}: random directions that move it less", [_rank(row) for row in rows], _RANK)


def _divergences(row: FloorRow) -> Iterator[Row]:
    """The direction itself once, and one kind of random ones, from their 5th to their 95th percentile."""
    at: Row = {"layer": row.source, "multiplier": row.multiplier, "at": _at(row)}
    if row.against == "isotropic":
        yield {**at, "kind": "the direction", "value": row.kl, "low": None, "high": None}
    told = {"value": row.random_kl, "low": row.random_p5, "high": row.random_p95}
    yield {**at, "kind": f"{row.random} random, {row.against}", **told}


def _rank(row: FloorRow) -> Row:
    at = {"layer": row.source, "multiplier": row.multiplier, "at": _at(row), "kind": row.against}
    return {**at, "value": row.share, "low": row.share_low, "high": row.share_high, "k": row.below, "n": row.random}


def _at(row: FloorRow) -> str:
    return f"layer {row.source} x {row.multiplier:g}"


_KL = DotLook("at", "kind", "KL(unsteered ‖ steered)", unit="nats", logarithmic=True)
_RANK = DotLook("at", "kind", "share that lies below")
