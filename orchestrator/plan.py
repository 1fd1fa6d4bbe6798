"""Sweep -> Plan: every cell and direction of a sweep with its id, in the order to run. Pure: no file, no model, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.types import EngineOptions, ModelSpec, Resources
from orchestrator.cells import Cell, DirectionSpec, variant_id
from orchestrator.errors import InputError, Problem
from orchestrator.estimate import Estimate, VariantCost, estimate_plan, memory_limit, weight_bytes
from orchestrator.grid import IncomparablePair, grid_cells, transfer_cells
from orchestrator.models import ModelShape, is_pinned
from orchestrator.sweep import Sweep
from orchestrator.sweep_resolve import ModelVariant

__all__ = ["IncomparablePair", "Plan", "PlannedModel", "make_plan"]


@dataclass(frozen=True)
class PlannedModel:
    """One model variant to load. ``name`` is the sweep's key, followed by ``/quantization`` when it is quantized.

    ``variant`` is ``cells.variant_id(spec)``.
    """

    name: str
    spec: ModelSpec
    variant: str
    shape: ModelShape
    resources: Resources


@dataclass(frozen=True)
class Plan:
    """A sweep, worked out.

    ``cells``: unique ids, model-major in the order of ``models``, baseline first within a model and behavior.
    ``directions``: unique ids, model-major; every ``cell.steering.direction`` is among them.
    ``models``: one per variant. ``warnings``: one sentence each. ``incomparable``: transfer pairs that are not run.
    """

    name: str
    cells: tuple[Cell, ...]
    directions: tuple[DirectionSpec, ...]
    models: tuple[PlannedModel, ...]
    engine: EngineOptions
    classifier: str
    warnings: tuple[str, ...]
    incomparable: tuple[IncomparablePair, ...]
    estimate: Estimate

    def model(self, variant: str) -> PlannedModel:
        """The planned model of a variant id; KeyError when the plan has none such."""
        for model in self.models:
            if model.variant == variant:
                return model
        raise KeyError(f"no model {variant} in plan {self.name}")


def make_plan(sweep: Sweep) -> Plan:
    """Work out a sweep. Raises :class:`InputError` for a layer that a model lacks and for weights that cannot fit their GPUs."""
    variants, warnings = _unique(sweep.models)
    problems = [*_layer_problems(sweep, variants), *_memory_problems(sweep, variants)]
    if problems:
        raise InputError(*problems)
    transferred, incomparable = transfer_cells(sweep, variants)
    cells = _model_major(variants, [*grid_cells(sweep, variants), *transferred])
    models = tuple(PlannedModel(one.name, one.spec, variant_id(one.spec), one.shape, one.resources) for one in variants)
    directions = _directions(models, cells)
    if not cells:
        raise InputError.because("the sweep plans no cells: there is no baseline and nothing to steer")
    return Plan(
        name=sweep.name,
        cells=cells,
        directions=directions,
        models=models,
        engine=sweep.engine,
        classifier=sweep.classifier,
        warnings=(*warnings, *_unpinned(variants), *(text for found in sweep.behaviors for text in found.warnings)),
        incomparable=incomparable,
        estimate=estimate_plan(_costs(models, cells), cells, directions, sweep.engine),
    )


def _unique(models: Sequence[ModelVariant]) -> tuple[tuple[ModelVariant, ...], list[str]]:
    """One entry per variant id, and a warning for every name that stands for the same model as an earlier one."""
    found: dict[str, ModelVariant] = {}
    warnings = []
    for model in models:
        first = found.setdefault(variant_id(model.spec), model)
        if first is not model:
            warnings.append(f"models {first.name} and {model.name} are the same model: it runs once, as {first.name}")
    return tuple(found.values()), warnings


def _layer_problems(sweep: Sweep, variants: Sequence[ModelVariant]) -> list[Problem]:
    return [
        sweep.problem(
            "layers",
            number,
            message=f"layer {layer} is out of range: model {model.key} has {model.shape.n_layers} layers",
            value=layer,
            allowed=f"0..{model.shape.n_layers - 1}",
        )
        for model in variants
        for number, layer in enumerate(sweep.settings.layers or ())
        if layer >= model.shape.n_layers
    ]


def _memory_problems(sweep: Sweep, variants: Sequence[ModelVariant]) -> list[Problem]:
    problems = []
    for model in variants:
        needed, limit = weight_bytes(model.shape, model.spec), memory_limit(model.resources)
        if limit is not None and needed > limit:
            kind = model.resources.accelerator or "GPU of any known type"
            message = (
                f"model {model.name} cannot fit: its weights take {needed / 2**30:.1f} GiB, {model.resources.gpus:g} x {kind} "
            )
            path = ("models", model.key, "gpus")
            allowed = "a larger accelerator, a smaller dtype, or a quantization"
            problems.append(sweep.problem(*path, message=f"{message}has {limit / 2**30:.1f} GiB", allowed=allowed))
    return problems


def _model_major(variants: Sequence[ModelVariant], cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Each id once (the first label wins), by target model in the order of ``variants``, then by behavior, baseline first."""
    order = {variant_id(model.spec): number for number, model in enumerate(variants)}
    behaviors = {name: number for number, name in enumerate(dict.fromkeys(cell.labels.behavior for cell in cells))}
    unique: dict[str, Cell] = {}
    for cell in cells:
        unique.setdefault(cell.id, cell)
    return tuple(
        sorted(
            unique.values(),
            key=lambda cell: (order[variant_id(cell.target)], behaviors[cell.labels.behavior], cell.steering is not None),
        )
    )


def _directions(models: Sequence[PlannedModel], cells: Sequence[Cell]) -> tuple[DirectionSpec, ...]:
    order = {model.variant: number for number, model in enumerate(models)}
    unique = {cell.steering.direction.id: cell.steering.direction for cell in cells if cell.steering is not None}
    return tuple(sorted(unique.values(), key=lambda spec: order[variant_id(spec.model)]))


def _unpinned(variants: Sequence[ModelVariant]) -> list[str]:
    keys = {model.key: model.spec for model in variants if model.spec.source == "hub" and not is_pinned(model.spec.revision)}
    return [
        f"model {key}: revision not pinned ('{spec.revision}' may point elsewhere tomorrow): give the 40-digit commit"
        for key, spec in keys.items()
    ]


def _costs(models: Sequence[PlannedModel], cells: Sequence[Cell]) -> list[VariantCost]:
    """Each variant loads once; once more on one worker when it waits for a direction of a model that comes after it."""
    order = {model.variant: number for number, model in enumerate(models)}
    late = {
        variant_id(cell.target)
        for cell in cells
        if cell.steering is not None and order[variant_id(cell.steering.direction.model)] > order[variant_id(cell.target)]
    }
    return [VariantCost(one.name, one.spec, one.shape, one.resources, 1 + (one.variant in late)) for one in models]
