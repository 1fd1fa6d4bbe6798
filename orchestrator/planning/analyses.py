"""The analyses of a sweep: for every model and behavior of its cells what is measured, and what is made of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.analysis import ANALYSES
from orchestrator.analysis.moments import LEAST_PROMPTS
from orchestrator.analysis.planned import PlannedAnalysis
from orchestrator.cells import Cell
from orchestrator.errors import InputError
from orchestrator.measuring import ActivationsItem
from orchestrator.sweep import Sweep
from orchestrator.sweep_file.analyses import AskedAnalysis
from orchestrator.sweep_file.behaviors import BehaviorPrompts


@dataclass(frozen=True)
class AnalysesPlan:
    """What is analysed, and what workers measure for it, each once."""

    analyses: tuple[PlannedAnalysis, ...] = ()
    items: tuple[ActivationsItem, ...] = ()


def plan_analyses(sweep: Sweep, counted: Sequence[Cell], names: Mapping[str, str]) -> AnalysesPlan:
    """The analyses that ``sweep`` asks for; ``counted``: every cell once for each behavior, ``names``: of the variants.

    InputError where a behavior's prompts, or a grid without baseline, do not allow one.
    """
    subjects: dict[tuple[str, str], Cell] = {}
    for cell in sorted(counted, key=lambda cell: cell.steering is not None):
        subjects.setdefault((cell.variant, cell.labels.behavior), cell)
    behaviors = {one.behavior.name: one for one in sweep.behaviors}
    found, items = list[PlannedAnalysis](), dict[str, ActivationsItem]()
    for asked in sweep.analyses:
        for (variant, name), cell in subjects.items():
            planned, item = _planned(sweep, asked, cell, behaviors[name])
            found.append(replace(planned, model=names[variant], behavior=name))
            items.setdefault(item.id, item)
    return AnalysesPlan(tuple(found), tuple(items.values()))


def _planned(sweep: Sweep, asked: AskedAnalysis, cell: Cell, used: BehaviorPrompts) -> tuple[PlannedAnalysis, ActivationsItem]:
    behavior, extractor = used.behavior, sweep.settings.extractor
    planned = PlannedAnalysis(asked.name, options=asked.options.model_dump(exclude_unset=True))
    if getattr(asked.options, "classes", "label") == "behavior":
        if cell.steering is not None:
            told = f"behavior {used.key} has no unsteered cell whose answers could class its prompts"
            raise _refused(sweep, asked, told, "baseline: true")
        item = ActivationsItem(cell.target, cell.prompts, extractor=extractor)
        planned = replace(planned, cell_id=cell.id, categories=tuple(one.category for one in behavior.test))
    else:
        counts = len(behavior.positive), len(behavior.negative)
        if min(counts) < LEAST_PROMPTS:
            told = f"behavior {used.key} has {counts[0]} positive and {counts[1]} negative contrast prompts"
            raise _refused(sweep, asked, told, f"at least {LEAST_PROMPTS} of each")
        item = ActivationsItem(cell.target, behavior.positive, behavior.negative, extractor)
        known = behavior.categories
        categories = tuple(known.get(one.id) for one in (*behavior.positive, *behavior.negative)) if known else ()
        planned = replace(planned, positive=len(behavior.positive), categories=categories)
    if ANALYSES[asked.name].by_category and len({*planned.categories} - {None}) < 2:
        told = f"the prompts of behavior {used.key} name no two categories"
        raise _refused(
            sweep, asked, told, '"category": "..." beside each prompt, or classes: behavior where test prompts have them'
        )
    prompts = tuple(one.id for one in (*item.positive, *item.negative))
    return replace(planned, needs={"activations": item.id}, prompts=prompts), item


def _refused(sweep: Sweep, asked: AskedAnalysis, message: str, allowed: str) -> InputError:
    return InputError(sweep.problem("analyses", asked.number, message=message, value=asked.name, allowed=allowed))
