"""Methods of finding a direction side by side (the paper's Table 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.method_text import method_text
from orchestrator.outcome import Outcome
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.values import (
    BEST_NOTE,
    best_of,
    decimals,
    main_outcomes,
    multipliers_text,
    number,
    rate_columns,
    rate_values,
    where_text,
)
from orchestrator.results.columns import Axis
from orchestrator.results.conditions import SETTING, condition
from orchestrator.results.rows import CellRow

REFERENCE = "dim"
"""The method that the others' directions are compared with; where it did not run, the first that did."""

_ANY_METHOD = SETTING | {Axis.MODEL, Axis.METHOD}
"""What the lines of one group may differ in; a variant is one whatever the sweep calls it."""

Cosine = Callable[[CellRow, CellRow], float | None]
"""Between the directions that steered two cells; None when one is not stored."""

_COLUMNS = (
    ReportColumn("model", left=True),
    ReportColumn("method", left=True),
    ReportColumn("layer", left=True),
    ReportColumn("multiplier", "mult."),
)
_LAST = (ReportColumn("cosine"), ReportColumn("of", spare=1, note="Of: how many cells a line is the best of."))
_NOTE = (
    "Each line is the best of its cells; 'chosen' marks the layer that the method chose itself. "
    "Cosine: of this line's direction to that of the model's first line, each at its own layer."
)


@dataclass(frozen=True)
class MethodLine:
    """A method's best cell in one target, of so many."""

    best: CellRow
    among: int


def methods_table(rows: Sequence[CellRow], cosine: Cosine) -> ReportTable | None:
    """One line per model, method and way of choosing the layer; None where no model was steered by two methods."""
    groups = compared_methods(rows)
    if not groups:
        return None
    behaviors = len({line.best.behavior for lines in groups for line in lines}) > 1
    shown = [line.best for lines in groups for line in lines]
    outcomes = main_outcomes(shown)
    columns = (*_COLUMNS, *rate_columns(shown, outcomes), *_LAST)
    values = tuple(
        (*_place(line.best, behaviors), *_rates(line, outcomes), *_last(line, lines[0].best, cosine))
        for lines in groups
        for line in lines
    )
    marked = any(line.among > 1 or line.best.in_sample for lines in groups for line in lines)
    return ReportTable("Methods", columns, values, (_NOTE, BEST_NOTE) if marked else (_NOTE,))


def compared_methods(rows: Sequence[CellRow]) -> list[list[MethodLine]]:
    """Per target and test that several methods steered the lines of these, the reference first."""
    groups: dict[tuple[object, ...], dict[tuple[object, ...], list[CellRow]]] = {}
    for row in rows:
        if row.labelled and row.multiplier and not row.is_transfer:
            lines = groups.setdefault(condition(row, _ANY_METHOD), {})
            lines.setdefault((*_method(row), row.layer_selected), []).append(row)
    return [
        sorted(
            (MethodLine(best_of(cells), len(cells)) for cells in lines.values()), key=lambda line: line.best.method != REFERENCE
        )
        for lines in groups.values()
        if len({method[:2] for method in lines}) > 1
    ]


def _method(row: CellRow) -> tuple[str | None, str | None]:
    return (row.method, row.method_options)


def _place(row: CellRow, behaviors: bool) -> tuple[Value, ...]:
    model = row.model + (f"/{row.quantization}" if row.quantization != "none" else "")
    return (
        Value(model + (f" · {row.behavior}" if behaviors else "")),
        Value(method_text(row.method, row.method_options)),
        number(where_text(row)),
        number(multipliers_text(row)),
    )


def _rates(line: MethodLine, outcomes: Sequence[Outcome]) -> tuple[Value, ...]:
    return rate_values(line.best, outcomes, in_sample=line.among > 1 or line.best.in_sample is True)


def _last(line: MethodLine, first: CellRow, cosine: Cosine) -> tuple[Value, ...]:
    return decimals(None if line.best is first else cosine(line.best, first)), number(str(line.among))
