"""Directions whose selected layer does not tell the classes apart."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.report.grid import Column, Grid, Value
from orchestrator.report.method_text import method_text
from orchestrator.results.comparison_rows import DirectionRow

_COLUMNS = (
    Column("model", left=True),
    Column("behavior", left=True, spare=1),
    Column("method", left=True),
    Column("layer"),
    Column("why", left=True),
)
_NOTE = "A method that selects a layer selects one whatever it is given. Cells with layer auto are steered with these."


def doubts_grid(directions: Iterable[DirectionRow]) -> Grid | None:
    """One line per selected direction with a warning; None where there is none."""
    values = tuple(
        (
            Value(row.model + (f"/{row.quantization}" if row.quantization != "none" else "")),
            Value(row.behavior),
            Value(method_text(row.method, row.method_options)),
            Value(f"L{row.layer}", number=True),
            Value(row.warning),
        )
        for row in directions
        if row.warning is not None
    )
    return Grid("Doubtful directions", _COLUMNS, values, (_NOTE,)) if values else None
