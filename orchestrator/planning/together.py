"""The cells of a grid whose rows are steered by several directions at once, and by ones under a condition.

Every combination of the parts' multipliers is a cell on the test prompts of each of the grid's behaviors; a part of multiplier 0
is left out of it. It is scored as each behavior that it is asked, or steers: what one direction does to another's success is so
told by the same answers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from actors.interventions import idle
from actors.methods import METHODS, Asked
from actors.sites import OUTPUT
from orchestrator.behaviors import Behavior
from orchestrator.cells import Cell, CellLabels, ConditionSpec, DirectionSpec, Options, SteeringSpec
from orchestrator.models.layers import steered_layers
from orchestrator.planning.grid import read_at
from orchestrator.sweep_file.resolve import BehaviorPrompts, Grid, ModelVariant
from orchestrator.sweep_file.together import SteerPart, When


def together(grid: Grid, model: ModelVariant) -> Iterator[Cell]:
    """All cells of one model variant, with the unsteered ones if the grid wants them."""
    for found in grid.behaviors:
        others = (part.behavior.name for part in grid.together if part.behavior.name != found.key)
        names = dict.fromkeys((found.behavior.name, *others))
        for name in names:
            for multipliers in itertools.product(*(part.multipliers for part in grid.together)):
                acting = [
                    (part, number)
                    for part, number in zip(grid.together, multipliers, strict=True)
                    if number or not idle(part.action.intervention, 0.0)
                ]
                if acting or grid.baseline:
                    yield _cell(grid, model, found, name, acting)
            if grid.baseline:
                yield _cell(grid, model, found, name, [])


def unfit_part(grid: Grid, model: ModelVariant) -> tuple[str, str, str] | None:
    """A behavior and a method that can find no direction in the model, and why; None when all can."""
    conditions = [part.when for part in grid.together if part.when is not None]
    used: list[SteerPart | When] = [*grid.together, *conditions]
    for one in used:
        name, options = one.method
        method, behavior = METHODS[name], one.behavior
        asked = Asked(len(behavior.positive), len(behavior.negative), model.shape.n_layers, model.shape.model_type)
        if reason := method.unfit(asked, method.options.model_validate(dict(options))):
            return behavior.name, name, reason
    return None


def _cell(grid: Grid, model: ModelVariant, found: BehaviorPrompts, name: str, acting: Sequence[tuple[SteerPart, float]]) -> Cell:
    labels = CellLabels(
        model=model.key,
        behavior=name,
        family=model.shape.family,
        asked="" if name == found.behavior.name else found.behavior.name,
        categories=found.categories,
    )
    if not acting:
        return Cell(model.spec, found.prompts, grid.decoding, None, labels)
    parts = [_steering(grid, model, part, multiplier) for part, multiplier in acting]
    steering = replace(parts[0], then=tuple(parts[1:]), orthogonal=grid.orthogonal and len(parts) > 1)
    first = acting[0][0]
    labels = replace(
        labels,
        source_model=model.key,
        scope=first.scope,
        depth=None if first.at.depth is None else float(first.at.depth),
        steers=tuple(part.behavior.name for part, _ in acting),
        conditions=tuple("" if part.when is None else part.when.behavior.name for part, _ in acting),
        meant=tuple({} if part.when is None else _meant(part.when) for part, _ in acting),
    )
    return Cell(model.spec, found.prompts, grid.decoding, steering, labels)


def _meant(when: When) -> dict[str, bool]:
    """Of the categories that only one class of the condition's contrast prompts has, whether the part is to act on them."""
    behavior, of = when.behavior, when.behavior.categories
    shows, lacks = ({of[one.id] for one in side if one.id in of} for side in (behavior.positive, behavior.negative))
    return {name: (name in shows) is when.above for name in shows ^ lacks}


def _steering(grid: Grid, model: ModelVariant, part: SteerPart, multiplier: float) -> SteeringSpec:
    n_layers = model.shape.n_layers
    layer = part.at.within(n_layers).layer
    return SteeringSpec(
        _direction(grid, model, part.behavior, part.method, part.action.site),
        None if part.scope == "own" else layer,
        steered_layers(part.scope, layer, n_layers),
        replace(part.action, multiplier=multiplier),
        condition=None if part.when is None else _condition(grid, model, part.when),
    )


def _condition(grid: Grid, model: ModelVariant, when: When) -> ConditionSpec:
    direction = _direction(grid, model, when.behavior, when.method)
    return ConditionSpec(direction, when.at.within(model.shape.n_layers).layer, when.threshold, when.above)


def _direction(
    grid: Grid, model: ModelVariant, behavior: Behavior, method: tuple[str, Options], site: str = OUTPUT
) -> DirectionSpec:
    name, options = method
    return DirectionSpec(model.spec, behavior.positive, behavior.negative, name, read_at(options, site), grid.extractor)
