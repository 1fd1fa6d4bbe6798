"""The paper's Figures 1 to 8, as far as the sweep ran their cells: the paper's rates beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.compare.beside import Beside, paper_rate
from orchestrator.paper.tables import MODELS
from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart, share_text
from orchestrator.report.figures.dots import DotLook
from orchestrator.report.figures.lines import LineLook
from orchestrator.report.figures.points import PointLook
from orchestrator.report.findings import SweepFindings
from orchestrator.statistics import Interval, wilson

_DOTS = {
    "Figure 1: steering against size": ("3", "4"),
    "Figure 3: DIM against COSMIC": ("7",),
    "Figure 4: quantization": ("8",),
    "Figure 5: multipliers on Qwen 32B": ("9",),
}
"""Figures that set rates beside each other, with the tables that hold them."""
_PROFILES, _NORMS, _TURNS = ("5", "6"), ("11", "13", "14", "15", "17"), ("8",)
_RATE = "coherent refusal"


def charts(found: SweepFindings) -> Iterator[Chart]:
    """A panel per figure, of Figure 6 one per model."""
    pairs = found.beside_paper
    rates = {title: _rows(pairs, tables) for title, tables in _DOTS.items()}
    depths = _rows(_one_each(pairs), _PROFILES)
    first, *others = rates.items()
    yield from _dots(*first)
    yield from _best_depths(depths)
    for title, rows in others:
        yield from _dots(title, rows)
    for model in dict.fromkeys(row["model"] for row in depths):
        profile = [row for row in depths if row["model"] == model]
        yield Chart(f"Figure 6: {model} over depth", profile, LineLook("depth", "source", "steered depth (%)", _RATE))
    norms = [row for row in _rows(pairs, _NORMS) if row["norm"] is not None]
    if norms:
        look = PointLook("norm", "source", "norm of the direction (raw)", _RATE, _told, ("log", 0.0))
        yield Chart("Figure 7: norm of the direction against the rate", norms, look)
    turns = [row for row in _rows(pairs, _TURNS) if row["cosine"] is not None]
    if turns:
        look = PointLook("cosine", "source", "cosine to the direction at full precision", _RATE, _told)
        turns.sort(key=lambda row: row["source"] == "ours")
        yield Chart("Figure 8: turn of the direction and rate under quantization", turns, look)


def _one_each(pairs: Sequence[Beside]) -> list[Beside]:
    """Of the rates that a table prints for a condition (77 % of 30, 60 % of 50) that of as many prompts as ours, or the last."""
    kept: dict[tuple[str, str, str], Beside] = {}
    for one in sorted(pairs, key=lambda pair: pair.measurement.n == pair.row.n):
        kept[one.measurement.table, one.measurement.condition, one.row.cell_id] = one
    return [one for one in pairs if kept[one.measurement.table, one.measurement.condition, one.row.cell_id] is one]


def _dots(title: str, rows: Sequence[Row]) -> Iterator[Chart]:
    if rows:
        yield Chart(title, rows, DotLook("condition", "source", _RATE))


def _best_depths(rows: Sequence[Row]) -> Iterator[Chart]:
    """The depth of each model's best layer, in the paper and here."""
    best: dict[tuple[object, object], Row] = {}
    for row in rows:
        kept = best.setdefault((row["model"], row["source"]), row)
        if _value(row) > _value(kept):
            best[row["model"], row["source"]] = row
    shown = [
        {**row, "rate": row["value"], "value": _number(row, "depth") / 100, "low": None, "high": None, "k": None}
        for row in best.values()
    ]
    if shown:
        yield Chart("Figure 2: depth of the best layer", shown, DotLook("model", "source", "depth"))


def _rows(pairs: Sequence[Beside], tables: Sequence[str]) -> list[Row]:
    """Both rates of each pair, the paper's first."""
    return [row for one in pairs if one.measurement.table in tables for row in (_paper(one), _ours(one))]


def _about(one: Beside, source: str) -> dict[str, object]:
    measured = one.measurement
    return {
        "table": measured.table,
        "condition": measured.condition,
        "model": MODELS[measured.model].name,
        "source": source,
        "method": measured.method,
        "quantization": measured.quantization,
        "layer": measured.layer,
        "depth": measured.depth,
        "multiplier": measured.multiplier,
    }


def _paper(one: Beside) -> Row:
    measured, counts = one.measurement, one.measurement.counts
    interval = None if counts is None else wilson(*counts)
    rate = _rate(paper_rate(measured), interval, *(counts or (None, measured.n)))
    return {**_about(one, "paper"), **rate, "norm": measured.norm, "cosine": measured.cosine, "cell_id": None}


def _ours(one: Beside) -> Row:
    row = one.row
    rate = _rate(row.count("success") / row.n, row.interval("success"), row.count("success"), row.n)
    more = {"norm": row.direction_raw_norm, "cosine": row.direction_cosine_to_full_precision, "cell_id": row.cell_id}
    return {**_about(one, "ours"), **rate, **more}


def _rate(value: float, interval: Interval | None, k: int | None, n: int | None) -> dict[str, object]:
    ends = (None, None) if interval is None else (interval.low, interval.high)
    return {"value": value, "low": ends[0], "high": ends[1], "k": k, "n": n}


def _value(row: Row) -> float:
    return _number(row, "value")


def _number(row: Row, column: str) -> float:
    value = row[column]
    return float(value) if isinstance(value, int | float) else 0.0


def _told(row: Row) -> str:
    return f"{row['source']}: {row['condition']}\n{share_text(row)}"
