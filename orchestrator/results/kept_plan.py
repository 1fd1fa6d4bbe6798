"""What of a plan ``plan.json`` keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.cells import DirectionSpec, contrast_content, variant_id
from orchestrator.damage import DamageItem
from orchestrator.judging import JudgingItem
from orchestrator.results.plan_file import PlannedCells, PlannedDamage, PlannedDirection, PlannedOther, PlannedVariant
from orchestrator.results.rows import axes_of, digest_of

if TYPE_CHECKING:
    from orchestrator.plan import Plan, PlannedModel


def planned_cells(plan: Plan) -> PlannedCells:
    """What of ``plan`` is kept."""
    shapes = {model.variant: model.shape for model in plan.models}
    cells = {cell.id for cell in plan.cells}
    return PlannedCells(
        name=plan.name,
        cells=tuple(axes_of(cell, shapes.get(variant_id(cell.target)), plan.in_sample.get(cell.key)) for cell in plan.counted),
        directions=tuple(
            PlannedDirection(spec.id, variant_id(spec.model), spec.method, spec.extractor, contrast_digest(spec))
            for spec in plan.directions
        ),
        models=tuple(map(_planned_variant, plan.models)),
        warnings=tuple(plan.warnings),
        incomparable=plan.incomparable,
        scoring=plan.scoring.used(cell.labels.behavior for cell in plan.counted),
        others=tuple(
            PlannedOther(one.id, one.kind, one.variant, next((need for need in one.needs if need in cells), ""))
            for one in plan.others
            if one.kind != JudgingItem.kind
        ),
        analyses=plan.analyses,
        parity=plan.parity,
        twins=plan.twins,
        damage=_planned_damage(plan),
    )


def _planned_damage(plan: Plan) -> PlannedDamage | None:
    """All cells of a plan have the same settings."""
    settings = next((one.settings for one in plan.others if isinstance(one, DamageItem)), None)
    return None if settings is None else PlannedDamage(len(settings.prompts), settings.tokens, settings.answers)


def _planned_variant(model: PlannedModel) -> PlannedVariant:
    spec, shape = model.spec, model.shape
    return PlannedVariant(
        name=model.name,
        variant=model.variant,
        family=shape.family,
        n_layers=shape.n_layers,
        d_model=shape.d_model,
        source=spec.source,
        location=spec.location,
        revision=spec.revision,
        adapter=spec.adapter is not None,
        dtype=spec.dtype,
        quantization=spec.quantization,
        fingerprint=spec.fingerprint,
    )


def contrast_digest(spec: DirectionSpec) -> str:
    """The digest of the prompts that a direction is extracted from."""
    return digest_of(list(contrast_content(spec).values()))
