"""Transfer: each finished cell steered with another model's direction, beside its self-control (the paper's section 11.1).

The self-control is an ordinary cell of the grid, the diagonal of the matrix: nothing here was run for this table alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.results.comparison_rows import DirectionRow, TransferRow
from orchestrator.results.conditions import SAME_CONTROL, condition
from orchestrator.results.directions_table import StoredDirections
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.rows import CellRow
from orchestrator.statistics import mcnemar, transfer_effectiveness

Succeeded = Mapping[str, Sequence[bool]]
"""Cell id -> whether each response counts as success, in the order of the cell's prompts; labelled cells only."""


class Controls:
    """The self-control of a transfer cell, and the target's own direction."""

    def __init__(self, planned: PlannedCells, rows: Iterable[CellRow], directions: Iterable[DirectionRow]) -> None:
        self._contrast = {direction.id: direction.prompts_sha256 for direction in planned.directions}
        self._cells: dict[tuple[object, ...], list[CellRow]] = {}
        for row in rows:
            if row.steered and not row.is_transfer:
                self._cells.setdefault(self._conditions(row), []).append(row)
        self._own: dict[tuple[object, ...], str] = {
            (one.variant, one.method, one.method_options, one.extractor, one.prompts_sha256): one.direction_id
            for one in directions
        }
        self._digests = {one.direction_id: one.prompts_sha256 for one in directions}

    def of(self, row: CellRow) -> CellRow | None:
        """The finished cell that a transfer cell compares to; None when there is none."""
        equal = self._cells.get(self._conditions(row), [])
        exact = [one for one in equal if one.layers == row.layers and one.direction_layer == row.layer]
        chosen = [one for one in equal if one.layer_selected] if row.layer_selected else []
        return next(iter((*exact, *chosen)), None)

    def own_direction(self, row: CellRow) -> str | None:
        """The set that the same method found in the target itself; None when it is not stored."""
        digest = self._digests.get(row.direction_id or "")
        return self._own.get((row.variant, row.method, row.method_options, row.extractor, digest))

    def _conditions(self, row: CellRow) -> tuple[object, ...]:
        """All that must be equal but the layer and whose direction it is."""
        return (self._contrast.get(row.direction_id or ""), *condition(row, SAME_CONTROL))


def cross_cosine(stored: StoredDirections, controls: Controls, row: CellRow) -> float | None:
    """Between the direction that steered a transfer cell and the target's own at the corresponding layer."""
    own = controls.own_direction(row)
    return stored.cosine((row.direction_id, row.direction_layer), (own, row.layer))


def transfer_rows(planned: PlannedCells, rows: Sequence[CellRow], controls: Controls, succeeded: Succeeded) -> list[TransferRow]:
    """One row per finished transfer cell, in the order of ``rows``."""
    sources = {direction.id: planned.named(direction.variant) for direction in planned.directions}
    return [
        _row(
            row,
            controls.of(row),
            _Names(sources.get(row.direction_id or "", row.source_model or ""), planned.named(row.variant)),
            succeeded,
        )
        for row in rows
        if row.is_transfer and row.layer is not None
    ]


@dataclass(frozen=True)
class _Names:
    source: str
    target: str


@dataclass(frozen=True)
class _Effect:
    """TE with both intervals and McNemar's p; all None without labels in both arms."""

    te: float | None = None
    te_low: float | None = None
    te_high: float | None = None
    te_independent_low: float | None = None
    te_independent_high: float | None = None
    mcnemar_p: float | None = None


def _effect(transferred: Sequence[bool] | None, control: Sequence[bool] | None) -> _Effect:
    if not transferred or not control:
        return _Effect()
    joint = transfer_effectiveness(transferred, control, "joint")
    independent = transfer_effectiveness(transferred, control, "independent")
    ends = (joint.low, joint.high, independent.low, independent.high)
    return _Effect(joint.value, *ends, mcnemar_p=mcnemar(transferred, control))


def _row(row: CellRow, control: CellRow | None, names: _Names, succeeded: Succeeded) -> TransferRow:
    found = _effect(succeeded.get(row.cell_id), None if control is None else succeeded.get(control.cell_id))
    return TransferRow(
        cell_id=row.cell_id,
        control_id=None if control is None else control.cell_id,
        source=names.source,
        target=names.target,
        behavior=row.behavior,
        method=row.method or "",
        method_options=row.method_options or "{}",
        extractor=row.extractor or "",
        scope=row.scope,
        intervention=row.intervention or "",
        multiplier=row.multiplier or 0.0,
        max_new_tokens=row.max_new_tokens,
        source_layer=row.direction_layer,
        layer=row.layer or 0,
        depth=row.relative_depth,
        control_layer=None if control is None else control.layer,
        layer_selected=row.layer_selected,
        in_sample=row.in_sample,
        n=row.n,
        success_n=row.success_n,
        success_rate=row.success_rate,
        success_low=row.success_low,
        success_high=row.success_high,
        garbled_n=row.garbled_n,
        no_answer_n=row.no_answer_n,
        control_n=None if control is None else control.n,
        control_success_n=None if control is None else control.success_n,
        control_success_rate=None if control is None else control.success_rate,
        control_success_low=None if control is None else control.success_low,
        control_success_high=None if control is None else control.success_high,
        cross_cosine=row.cross_cosine,
        te=found.te,
        te_low=found.te_low,
        te_high=found.te_high,
        te_independent_low=found.te_independent_low,
        te_independent_high=found.te_independent_high,
        mcnemar_p=found.mcnemar_p,
    )
