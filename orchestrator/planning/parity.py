"""The parity studies of a sweep: one for every model and behavior of its cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from actors.parity.jobs import Classes
from actors.types import EngineOptions, Resources
from orchestrator.cells import Cell
from orchestrator.models.files import ModelShape
from orchestrator.parity.effort import Effort
from orchestrator.parity.planned import PlannedParity
from orchestrator.parity.study import ParityItem, ParityStudy, rated_answers, steering_place
from orchestrator.planning.costs import DEFAULT_COSTS, Costs
from orchestrator.planning.estimate import VariantCost, estimate_plan
from orchestrator.sweep import Sweep


@dataclass(frozen=True)
class ParityPlan:
    """The studies, and what workers do for them, each once."""

    studies: tuple[PlannedParity, ...] = ()
    items: tuple[ParityItem, ...] = ()


def plan_parity(sweep: Sweep, counted: Sequence[Cell], models: Mapping[str, tuple[str, int]]) -> ParityPlan:
    """What ``sweep`` asks for; ``counted``: every cell once for each behavior, ``models``: the names of the variants and how many
    layers they have. A model is read in its own dtype alone: others are models of their own in a sweep."""
    asked = sweep.parity
    if asked is None:
        return ParityPlan()
    used = {one.behavior.name: one.behavior for one in sweep.behaviors}
    cells = {(cell.variant, cell.labels.behavior): cell for cell in counted}
    studies, items = list[PlannedParity](), dict[str, ParityItem]()
    for (variant, behavior), cell in cells.items():
        name, n_layers = models[variant]
        of = used[behavior]
        classes = Classes(of.positive[: asked.prompts], of.negative[: asked.prompts])
        study = ParityStudy(
            cell.target,
            behavior,
            classes,
            asked.tools,
            faults=asked.faults,
            pairs=asked.pairs,
            dtypes=(),
            place=steering_place(classes, of.test, n_layers) if asked.steering else None,
            rated=None if asked.rates is None else rated_answers(classes, of.test, n_layers, asked.rates),
        )
        studies.append(study.planned(name))
        items |= {item.id: item for item in study.items}
    return ParityPlan(tuple(studies), tuple(items.values()))


def efforts(items: Iterable[ParityItem]) -> dict[str, Effort]:
    """What ``items`` take of each variant, by its id."""
    found: dict[str, Effort] = {}
    for item in items:
        found[item.variant] = found.get(item.variant, Effort()).plus(item.effort)
    return found


def seconds_of(items: Sequence[ParityItem], shape: ModelShape, costs: Costs = DEFAULT_COSTS) -> float:
    """About how long ``items`` of one model, in one or several dtypes, take on two cores."""
    forms = {item.variant: item.spec for item in items}
    variants = [
        VariantCost("", spec, shape, Resources(), 1, reads=effort.read, writes=effort.written, starts=effort.starts)
        for variant, effort in efforts(items).items()
        for spec in [forms[variant]]
    ]
    return estimate_plan(variants, (), (), EngineOptions(), costs).seconds
