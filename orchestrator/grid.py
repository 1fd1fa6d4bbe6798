"""The cells of a sweep: the grid, which is the diagonal of the transfer matrix, and the transfers off the diagonal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from actors.types import Decoding
from orchestrator.cells import Cell, CellLabels, DirectionSpec, Options, Scope, SteeringSpec, variant_id
from orchestrator.layers import Place, places, steered_layers
from orchestrator.sweep import Sweep
from orchestrator.sweep_resolve import BehaviorPrompts, ModelVariant


@dataclass(frozen=True)
class IncomparablePair:
    """A transfer pair (``PlannedModel.name``) that is not run, with both widths (d_model) and the reason in words."""

    source: str
    target: str
    source_width: int
    target_width: int
    reason: str


@dataclass(frozen=True)
class _Point:
    """One point of the grid but its multiplier: whose direction, by which method, applied to whom, where.

    ``at``: the place in the source; ``axis``: the target's layers that a ``list`` scope steers.
    """

    source: ModelVariant
    target: ModelVariant
    found: BehaviorPrompts
    method: tuple[str, Options]
    scope: Scope
    at: Place
    axis: tuple[int, ...]


def grid_cells(sweep: Sweep, variants: Sequence[ModelVariant]) -> Iterator[Cell]:
    """Every variant steered with its own directions, baselines first."""
    for model, found in itertools.product(variants, sweep.behaviors):
        if sweep.settings.baseline:
            yield _baseline(sweep, model, found)
        yield from _pair_cells(sweep, model, model, found)


def transfer_cells(sweep: Sweep, variants: Sequence[ModelVariant]) -> tuple[list[Cell], tuple[IncomparablePair, ...]]:
    """Directions of one variant in another, each with the target's self-control at the same layer; and the pairs not run."""
    cells: list[Cell] = []
    incomparable: list[IncomparablePair] = []
    for source, target in _pairs(sweep, variants):
        if source.shape.d_model != target.shape.d_model:
            incomparable.append(_incomparable(source, target, "the residual streams differ in width"))
            continue
        if source.shape.n_layers != target.shape.n_layers and {"own", "list"} & set(sweep.settings.scope):
            reason = f"scopes own and list need equally many layers, not {source.shape.n_layers} and {target.shape.n_layers}"
            incomparable.append(_incomparable(source, target, reason))
        for found in sweep.behaviors:
            cells += _pair_cells(sweep, source, target, found)
    return cells, tuple(incomparable)


def _pair_cells(sweep: Sweep, source: ModelVariant, target: ModelVariant, found: BehaviorPrompts) -> Iterator[Cell]:
    """The cells of one source and target; off the diagonal also the self-controls that they are compared with."""
    for point in _points(sweep, source, target, found):
        for multiplier in target.multipliers:
            if multiplier == 0:
                yield _baseline(sweep, target, found)
                continue
            yield _steered(sweep, point, multiplier)
            if source is not target:
                own = _Point(target, target, found, point.method, point.scope, point.at.within(target.shape.n_layers), point.axis)
                yield _steered(sweep, own, multiplier)


def _points(sweep: Sweep, source: ModelVariant, target: ModelVariant, found: BehaviorPrompts) -> Iterator[_Point]:
    settings = sweep.settings
    axis = places(settings.depths or (), settings.layers or (), source.shape.n_layers)
    in_target = tuple(sorted({place.within(target.shape.n_layers).layer for place in axis}))
    for method, scope in itertools.product(sweep.methods, dict.fromkeys(settings.scope)):
        if scope in ("own", "list") and source.shape.n_layers != target.shape.n_layers:
            continue  # listed as incomparable: there is no corresponding layer for each layer
        for place in axis[:1] if scope == "list" else axis:
            yield _Point(source, target, found, method, scope, place, in_target)


def _baseline(sweep: Sweep, model: ModelVariant, found: BehaviorPrompts) -> Cell:
    labels = CellLabels(model=model.key, behavior=found.behavior.name, family=model.shape.family)
    return Cell(model.spec, found.prompts, _decoding(sweep), None, labels)


def _steered(sweep: Sweep, point: _Point, multiplier: float) -> Cell:
    behavior, (method, options), target = point.found.behavior, point.method, point.target
    layer = point.at.within(target.shape.n_layers).layer
    direction = DirectionSpec(point.source.spec, behavior.harmful, behavior.harmless, method, options, sweep.settings.extractor)
    steering = SteeringSpec(
        direction,
        source_layer=None if point.scope in ("own", "list") else point.at.layer,
        layers=point.axis if point.scope == "list" else steered_layers(point.scope, layer, target.shape.n_layers),
        multiplier=multiplier,
        intervention=sweep.settings.intervention,
    )
    labels = CellLabels(
        model=target.key,
        behavior=behavior.name,
        family=target.shape.family,
        source_model=point.source.key,
        scope=point.scope,
        depth=None if point.scope == "list" else float(point.at.depth),
    )
    return Cell(target.spec, point.found.prompts, _decoding(sweep), steering, labels)


def _decoding(sweep: Sweep) -> Decoding:
    return Decoding(sweep.settings.decoding.max_new_tokens)


def _pairs(sweep: Sweep, variants: Sequence[ModelVariant]) -> list[tuple[ModelVariant, ModelVariant]]:
    """The transfer pairs, each once, without a model into itself: that is the grid."""
    transfer = sweep.settings.transfer
    pairs = list(itertools.permutations(variants, 2)) if transfer.everything else []
    for pair in transfer.pairs or ():
        pairs += itertools.product(_named(sweep, variants, pair.source), _named(sweep, variants, pair.target))
    unique = {(source.name, target.name): (source, target) for source, target in pairs if source is not target}
    return list(unique.values())


def _named(sweep: Sweep, variants: Sequence[ModelVariant], name: str) -> list[ModelVariant]:
    """The variants that a name in a transfer pair stands for: one by its full name, else all of a model's key."""
    meant = {variant_id(model.spec) for model in sweep.models if model.key == name}
    meant |= {variant_id(model.spec) for model in sweep.models if model.name == name and "/" in name}
    return [model for model in variants if variant_id(model.spec) in meant]


def _incomparable(source: ModelVariant, target: ModelVariant, reason: str) -> IncomparablePair:
    return IncomparablePair(source.name, target.name, source.shape.d_model, target.shape.d_model, reason)
