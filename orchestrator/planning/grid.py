"""The cells of one grid: every variant with its own directions (the diagonal of the transfer matrix), and the transfers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from actors.curves import CURVE
from actors.interventions import idle
from actors.sites import EVERYWHERE, OUTPUT
from actors.types import Action
from orchestrator.cells import (
    SELECTED,
    Cell,
    CellLabels,
    DirectionSpec,
    LayerSpan,
    Options,
    Scope,
    SourceLayer,
    SteeringSpec,
    variant_id,
)
from orchestrator.models.layers import LayerPoint, places, steered_layers
from orchestrator.planned import IncomparablePair
from orchestrator.sweep_file.resolve import BehaviorPrompts, Grid, ModelVariant

AxisPlace = LayerPoint | None
"""A point of the layer axis; None: the layer that the method selects."""


@dataclass(frozen=True)
class Group:
    """The cells of a grid that differ in their setting only: one source, one target (the same off transfers), one behavior,
    one method with its options, one action but for its multiplier."""

    source: ModelVariant
    target: ModelVariant
    found: BehaviorPrompts
    method: tuple[str, Options]
    action: Action

    @property
    def name(self) -> str:
        """For messages: ``model``, or ``source -> model``."""
        return self.target.name if self.source is self.target else f"{self.source.name} -> {self.target.name}"


@dataclass(frozen=True)
class SteeredCell:
    """A steered cell with its place in the source. ``control``: it is the target's own, run beside a transfer."""

    group: Group
    place: AxisPlace
    cell: Cell
    control: bool = False

    @property
    def multiplier(self) -> float:
        """How strongly it is steered."""
        assert self.cell.steering is not None
        return self.cell.steering.action.multiplier


def axis_places(grid: Grid, source: ModelVariant) -> tuple[AxisPlace, ...]:
    """The layer axis in ``source``, by ascending layer, the selected layer last."""
    found = places(grid.axis.depths, grid.axis.layers, source.shape.n_layers)
    return (*found, None) if grid.axis.auto else found


def baselines(grid: Grid) -> Iterator[Cell]:
    """The unsteered cells: of every variant and behavior, if the grid wants them."""
    if grid.baseline:
        for model, found in itertools.product(unique_variants(grid.variants), grid.behaviors):
            yield _baseline(grid, model, found)


def own_groups(grid: Grid) -> Iterator[Group]:
    """Every variant with its own directions."""
    for model, found in itertools.product(unique_variants(grid.variants), grid.behaviors):
        for method, action in itertools.product(grid.methods, grid.actions):
            yield Group(model, model, found, method, action)


def transfer_groups(grid: Grid) -> tuple[list[Group], tuple[IncomparablePair, ...]]:
    """Directions of one variant in another, for every pair that can be compared; and the pairs that cannot, with the reason."""
    groups: list[Group] = []
    incomparable: list[IncomparablePair] = []
    for source, target in _pairs(grid):
        if source.shape.d_model != target.shape.d_model:
            incomparable.append(_incomparable(source, target, "the residual streams differ in width"))
            continue
        if source.shape.n_layers != target.shape.n_layers and {"own", "list"} & set(grid.scopes):
            reason = f"scopes own and list need equally many layers, not {source.shape.n_layers} and {target.shape.n_layers}"
            incomparable.append(_incomparable(source, target, reason))
        axes = itertools.product(grid.behaviors, grid.methods, grid.actions)
        groups += [Group(source, target, found, method, action) for found, method, action in axes]
    return groups, tuple(incomparable)


def cells_of(grid: Grid, group: Group, axis: Sequence[AxisPlace], multipliers: Sequence[float]) -> Iterator[Cell | SteeredCell]:
    """The cells of a group over places in the source and multipliers: steered ones, off the diagonal each with the target's
    self-control, and for multiplier 0 (which steers nothing) the baseline."""
    n_target = group.target.shape.n_layers
    own = replace(group, source=group.target)
    direction, own_direction = _direction(grid, group), _direction(grid, own)
    in_target = tuple(sorted({place.within(n_target).layer for place in axis if place is not None}))
    for place, scope in _placements(grid, group, axis):
        cell_at = _steered(grid, group, direction, place, (scope, in_target))
        within = None if place is None else place.within(n_target)
        control_at = None if group.source is group.target else _steered(grid, own, own_direction, within, (scope, in_target))
        for multiplier in multipliers:
            if multiplier == 0 and not _acts_at_zero(group.action):
                yield _baseline(grid, group.target, group.found)
                continue
            yield SteeredCell(group, place, cell_at(multiplier))
            if control_at is not None:
                yield SteeredCell(own, within, control_at(multiplier), control=True)


def _placements(grid: Grid, group: Group, axis: Sequence[AxisPlace]) -> Iterator[tuple[AxisPlace, Scope]]:
    for scope in grid.scopes:
        if scope in ("own", "list") and group.source.shape.n_layers != group.target.shape.n_layers:
            continue  # listed as incomparable: there is no corresponding layer for each layer
        for place in axis[:1] if scope == "list" else axis:
            yield place, scope


def _direction(grid: Grid, group: Group) -> DirectionSpec:
    behavior, (method, options) = group.found.behavior, group.method
    used = grid.vectors_of(group.method)
    file = None if used is None else used.path
    options = read_at(options, group.action.site)
    return DirectionSpec(group.source.spec, behavior.positive, behavior.negative, method, options, grid.extractor, file)


def read_at(options: Options, steered: str) -> Options:
    """A method's options with the site that it reads at: its own, or else where the cells are steered; left out where that is the
    output of blocks."""
    given = dict(options)
    site = given.pop("site", None) or (OUTPUT if steered == EVERYWHERE else steered)
    return tuple(sorted((given if site == OUTPUT else {**given, "site": site}).items()))


def _steered(
    grid: Grid, group: Group, direction: DirectionSpec, place: AxisPlace, scoped: tuple[Scope, tuple[int, ...]]
) -> Callable[[float], Cell]:
    """A group's cell at a place, by its multiplier. ``scoped``: the scope, and the target's layers that a ``list`` steers."""
    scope, listed = scoped
    n_source, n_target = group.source.shape.n_layers, group.target.shape.n_layers
    labels = CellLabels(
        model=group.target.key,
        behavior=group.found.behavior.name,
        family=group.target.shape.family,
        source_model=group.source.key if group.source is group.target else group.source.name,
        scope=scope,
        depth=None if scope == "list" or place is None else float(place.depth),
    )
    where: tuple[SourceLayer, tuple[int, ...]] = (SELECTED, ())
    span = LayerSpan("single" if scope == "single" else "from_layer", n_source, n_target) if place is None else None
    if place is not None:
        layers = listed if scope == "list" else steered_layers(scope, place.within(n_target).layer, n_target)
        where = (None if scope in ("own", "list") else place.layer, layers)

    def cell(multiplier: float) -> Cell:
        steering = SteeringSpec(direction, *where, replace(group.action, multiplier=multiplier), span)
        return Cell(group.target.spec, group.found.prompts, grid.decoding, steering, labels)

    return cell


def _acts_at_zero(action: Action) -> bool:
    """Whether a multiplier of 0 is no baseline, as of an angle, or of a function of the user's own."""
    return action.intervention != CURVE and not idle(action.intervention, 0.0)


def _baseline(grid: Grid, model: ModelVariant, found: BehaviorPrompts) -> Cell:
    labels = CellLabels(model=model.key, behavior=found.behavior.name, family=model.shape.family)
    return Cell(model.spec, found.prompts, grid.decoding, None, labels)


def _pairs(grid: Grid) -> list[tuple[ModelVariant, ModelVariant]]:
    """The transfer pairs, each once, without a model into itself: that is the diagonal."""
    pairs = list(itertools.permutations(unique_variants(grid.variants), 2)) if grid.transfer.everything else []
    for pair in grid.transfer.pairs or ():
        pairs += itertools.product(_named(grid, pair.source), _named(grid, pair.target))
    unique = {(source.name, target.name): (source, target) for source, target in pairs if source is not target}
    return list(unique.values())


def _named(grid: Grid, name: str) -> list[ModelVariant]:
    """The variants that a name in a transfer pair stands for: one by its full name, else all of a model's key."""
    meant = [model for model in grid.variants if model.key == name or (model.name == name and "/" in name)]
    ids = {variant_id(model.spec) for model in meant}
    return [model for model in unique_variants(grid.variants) if variant_id(model.spec) in ids]


def unique_variants(variants: Sequence[ModelVariant]) -> list[ModelVariant]:
    """The first of the variants that are the same model under several names."""
    found: dict[str, ModelVariant] = {}
    for variant in variants:
        found.setdefault(variant_id(variant.spec), variant)
    return list(found.values())


def _incomparable(source: ModelVariant, target: ModelVariant, reason: str) -> IncomparablePair:
    return IncomparablePair(source.name, target.name, source.shape.d_model, target.shape.d_model, reason)
