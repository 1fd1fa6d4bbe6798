"""The parity studies of a sweep: one for every model and behavior of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.parity.jobs import Classes
from orchestrator.cells import Cell
from orchestrator.parity.planned import PlannedParity
from orchestrator.parity.study import ParityItem, ParityStudy, steering_place
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
        )
        studies.append(study.planned(name))
        items |= {item.id: item for item in study.items}
    return ParityPlan(tuple(studies), tuple(items.values()))
