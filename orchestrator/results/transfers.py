"""Transfer: each finished cell steered with another model's direction, beside its self-control (the paper's section 11.1).

The self-control is an ordinary cell of the grid, the diagonal of the matrix: nothing here was run for this table alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from orchestrator.cells import CellKey
from orchestrator.clusters import Count
from orchestrator.results.comparison_rows import DirectionRow, TransferRow
from orchestrator.results.conditions import SAME_CONTROL, condition
from orchestrator.results.directions_table import StoredDirections
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.rows import CellRow
from orchestrator.statistics import BootstrapKind, sign_flip, transfer_effectiveness

Succeeded = Mapping[CellKey, Sequence[Count]]
"""How many responses to each prompt are a success, in the order of the cell's prompts; labelled cells only."""


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
            succeeded,
            source=sources.get(row.direction_id or "", row.source_model or ""),
            target=planned.named(row.variant),
            source_layer=row.direction_layer,
            depth=row.relative_depth,
        )
        for row in rows
        if row.is_transfer and row.layer is not None
    ]


_EFFECT = ("te", "te_low", "te_high", "te_independent_low", "te_independent_high", "mcnemar_p")
_KINDS: tuple[BootstrapKind, ...] = ("joint", "independent")
_CONTROL = "control_"
_NAMES = tuple(one.name for one in fields(TransferRow))
_OF_THE_CONTROL = tuple(name for name in _NAMES if name.startswith(_CONTROL) and name != "control_id")
_OF_THE_CELL = tuple(name for name in _NAMES if hasattr(CellRow, name) or name in CellRow.__dataclass_fields__)
"""Columns that a transfer has of its own cell, by their names there, and of its control."""


def _row(row: CellRow, control: CellRow | None, succeeded: Succeeded, **told: str | float | None) -> TransferRow:
    """``told``: what stands in neither of the two rows."""
    content: dict[str, Any] = {
        **{name: getattr(row, name) for name in _OF_THE_CELL},
        **{name: None if control is None else getattr(control, name.removeprefix(_CONTROL)) for name in _OF_THE_CONTROL},
        **_effect(succeeded.get(row.key), None if control is None else succeeded.get(control.key)),
        **told,
    }
    return TransferRow(**content, control_id=None if control is None else control.cell_id)


def _effect(transferred: Sequence[Count] | None, control: Sequence[Count] | None) -> dict[str, float | None]:
    """TE with both intervals and the paired p; all None without labels in both arms."""
    if not transferred or not control:
        return dict.fromkeys(_EFFECT)
    shares, own = ([k / n for k, n in arm] for arm in (transferred, control))
    joint, independent = (transfer_effectiveness(shares, own, kind) for kind in _KINDS)
    ends = (joint.low, joint.high, independent.low, independent.high)
    p = sign_flip([k - of_own for (k, _), (of_own, _) in zip(transferred, control, strict=True)])
    return dict(zip(_EFFECT, (joint.value, *ends, p), strict=True))
