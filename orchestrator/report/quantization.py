"""What quantization costs: a model's forms side by side at one setting (the paper's Table 8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.cells import CellKey
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
from orchestrator.results.comparison_rows import DirectionRow
from orchestrator.results.conditions import SETTING, condition
from orchestrator.results.rows import CellRow
from orchestrator.statistics import fisher, holm

_COLUMNS = (
    ReportColumn("model", left=True),
    ReportColumn("weights", left=True),
    ReportColumn("setting", left=True),
)
_LAST = (
    ReportColumn("cosine", spare=0),
    ReportColumn("norm", spare=2, note="Norm: the direction's before normalising, here and there."),
    ReportColumn("full norm", spare=3),
    ReportColumn(
        "p (Holm)",
        "p",
        spare=1,
        note="p: Fisher's exact test against the unquantized form, two-sided, Holm-adjusted over this table; for several samples "
        "the command compare has a test that is clustered by prompt.",
    ),
)
_NOTES = (
    "Each model at one setting, the best of its unquantized form or, where that did not run, of its first. Cosine: of the "
    "direction found in the quantized model to the one found in the same model unquantized.",
)

_FORMS = frozenset({Axis.VARIANT, Axis.QUANTIZATION})
"""What the forms of a model's weights differ in."""


def quantization_table(rows: Sequence[CellRow], directions: Iterable[DirectionRow]) -> ReportTable | None:
    """One row per model and form of its weights; None unless a model ran in several forms of which one is quantized."""
    groups = compared_forms(rows)
    if not groups:
        return None
    norms = {(one.direction_id, one.layer): one for one in directions}
    p = _adjusted(groups)
    lines = []
    shown = [row for group in groups for row in group.forms]
    outcomes = main_outcomes(shown)
    for group in groups:
        for row in group.forms:
            marked = row.in_sample is True or (group.chosen and row is group.forms[0])
            direction = norms.get((row.direction_id or "", row.direction_layer or 0))
            lines.append(_line(rate_values(row, outcomes, marked), row, direction, p.get(row.key)))
    marked = any(group.chosen or any(row.in_sample for row in group.forms) for group in groups)
    columns = (*_COLUMNS, *rate_columns(shown, outcomes), *_LAST)
    return ReportTable("Quantization", columns, tuple(lines), (*_NOTES, BEST_NOTE) if marked else _NOTES)


@dataclass(frozen=True)
class ModelForms:
    """One cell of each form of a model's weights at one setting, unquantized first; ``chosen``: the best of several settings."""

    forms: tuple[CellRow, ...]
    chosen: bool


def compared_forms(rows: Sequence[CellRow]) -> list[ModelForms]:
    """Per model and kind of steering that several forms ran of which one is quantized; a layer that the method chose in each
    form for itself counts as one setting."""
    kinds: dict[tuple[object, ...], list[CellRow]] = {}
    for row in rows:
        if row.labelled and row.multiplier and not row.is_transfer:
            kinds.setdefault((row.layer_selected, *condition(row, _FORMS | SETTING)), []).append(row)
    found = []
    for kind in kinds.values():
        full = [row for row in kind if row.quantization == "none"] or kind
        candidates = [row for row in full if row.variant == full[0].variant]
        best = best_of(candidates)
        forms = {best.variant: best}
        for row in kind:
            if (row.place, row.multiplier) == (best.place, best.multiplier):
                forms.setdefault(row.variant, row)
        found.append(ModelForms(tuple(forms.values()), len(candidates) > 1))
    return [group for group in found if len(group.forms) > 1 and any(row.quantization != "none" for row in group.forms)]


def _adjusted(groups: Sequence[ModelForms]) -> dict[CellKey, float]:
    """Cell -> p against the unquantized form, adjusted over all of ``groups``."""
    pairs = [
        (row, group.forms[0])
        for group in groups
        if group.forms[0].quantization == "none"
        for row in group.forms[1:]
        if row.n and row.samples == 1
    ]
    p = [fisher(row.count("success"), row.n, full.count("success"), full.n) for row, full in pairs]
    return {row.key: adjusted for (row, _), adjusted in zip(pairs, holm(p), strict=True)}


def _line(rates: Sequence[Value], row: CellRow, direction: DirectionRow | None, p: float | None) -> tuple[Value, ...]:
    weights = row.dtype if row.quantization == "none" else row.quantization
    setting = f"{row.method} {where_text(row)} x {multipliers_text(row)}"
    norms = (direction.raw_norm if direction else None, direction.full_precision_raw_norm if direction else None)
    return (
        Value(row.model),
        number(weights),
        number(setting),
        *rates,
        decimals(row.direction_cosine_to_full_precision),
        decimals(norms[0], 2),
        decimals(norms[1], 2),
        number("-" if p is None else p_text(p)),
    )


def p_text(p: float) -> str:
    """``0.17``, ``0.0049``; ``1.8e-07`` where it is small."""
    return f"{p:.2g}"
