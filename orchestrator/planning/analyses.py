"""The analyses of a sweep: for every model and behavior of its cells what is measured, and what is made of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from actors.curves import CURVE
from actors.sites import OUTPUT
from orchestrator.analysis import ANALYSES
from orchestrator.analysis.injection import InjectionOptions
from orchestrator.analysis.moments import LEAST_PROMPTS
from orchestrator.analysis.motion import MotionOptions
from orchestrator.analysis.propagation import PropagationOptions
from orchestrator.analysis.random_floor import FloorOptions
from orchestrator.behaviors import NEUTRAL, load_prompts
from orchestrator.cells import Cell, DirectionSpec, Options
from orchestrator.errors import InputError
from orchestrator.measuring import ActivationsItem, DivergencesItem, InjectionItem, ShiftsItem
from orchestrator.planned import PlannedAnalysis
from orchestrator.planning.grid import read_at
from orchestrator.sweep import Sweep
from orchestrator.sweep_file.analyses import AskedAnalysis
from orchestrator.sweep_file.behaviors import BehaviorPrompts
from orchestrator.sweep_file.vector_files import ranges

CONTROL = "random"
"""The method whose directions mean nothing: analyses have random ones of their own."""


@dataclass(frozen=True)
class AnalysesPlan:
    """What is analysed, what workers measure for it, each once, and the directions that this takes."""

    analyses: tuple[PlannedAnalysis, ...] = ()
    items: tuple[ActivationsItem | InjectionItem, ...] = ()

    @property
    def directions(self) -> tuple[DirectionSpec, ...]:
        """Those that are added to the residual stream."""
        return tuple(one.direction for one in self.items if isinstance(one, InjectionItem))


@dataclass(frozen=True)
class _Subject:
    """A model, by a cell of it that is unsteered where there is one, and a behavior, of which ``asked`` is asked."""

    sweep: Sweep
    asked: AskedAnalysis
    cell: Cell
    used: BehaviorPrompts
    n_layers: int

    def refused(self, message: str, allowed: str) -> InputError:
        """Why that cannot be."""
        at = ("analyses", self.asked.number)
        return InputError(self.sweep.problem(*at, message=message, value=self.asked.name, allowed=allowed))


_Planned = tuple[PlannedAnalysis, ActivationsItem | InjectionItem]


def plan_analyses(sweep: Sweep, counted: Sequence[Cell], models: Mapping[str, tuple[str, int]]) -> AnalysesPlan:
    """The analyses that ``sweep`` asks for; ``counted``: every cell once for each behavior, ``models``: the names of the variants
    and how many layers they have.

    InputError where a behavior's prompts, a model's layers, or a grid without baseline do not allow one.
    """
    cells: dict[tuple[str, str], Cell] = {}
    for cell in sorted(counted, key=lambda cell: cell.steering is not None):
        cells.setdefault((cell.variant, cell.labels.behavior), cell)
    behaviors = {one.behavior.name: one for one in sweep.behaviors}
    found, items = list[PlannedAnalysis](), dict[str, ActivationsItem | InjectionItem]()
    for asked in sweep.analyses:
        for (variant, behavior), cell in cells.items():
            name, n_layers = models[variant]
            if asked.behaviors is not None and behaviors[behavior].key not in asked.behaviors:
                continue
            for planned, item in _planned(_Subject(sweep, asked, cell, behaviors[behavior], n_layers)):
                found.append(replace(planned, model=name, behavior=behavior))
                items.setdefault(item.id, item)
    return AnalysesPlan(tuple(found), tuple(items.values()))


def _planned(one: _Subject) -> Iterator[_Planned]:
    if isinstance(one.asked.options, InjectionOptions):
        names = {method for method, _ in one.sweep.methods}
        idle = {CONTROL, CURVE} if "dim" in names else {CONTROL}  # a curve's directions are those of dim
        for method, options in (method for method in one.sweep.methods if method[0] not in idle):
            behavior = one.used.behavior
            direction = (one.cell.target, behavior.positive, behavior.negative, method, read_at(options, OUTPUT))
            file = _vectors_of_every_layer(one, (method, options))
            yield _injected(one, DirectionSpec(*direction, one.sweep.settings.extractor, file), one.asked.options)
    elif getattr(one.asked.options, "classes", "label") == "behavior":
        yield _by_behavior(one)
    else:
        yield _by_label(one)


def _vectors_of_every_layer(one: _Subject, method: tuple[str, Options]) -> str | None:
    """The file that a method takes its vectors from, if it does; InputError where it lacks a layer of the model."""
    used = next(filter(None, (grid.vectors_of(method) for grid in one.sweep.grids)), None)
    if used is not None and (missing := set(range(one.n_layers)) - set(used.layers)):
        told = f"it is of the directions of every layer, and {used.name} lacks {ranges(missing)}"
        raise one.refused(told, "a file with a vector for every layer, or the analysis in a sweep without it")
    return None if used is None else used.path


def _by_behavior(one: _Subject) -> _Planned:
    if one.cell.steering is not None:
        told = f"behavior {one.used.key} has no unsteered cell whose answers could class its prompts"
        raise one.refused(told, "baseline: true")
    item = ActivationsItem(one.cell.target, one.cell.prompts, extractor=one.sweep.settings.extractor)
    return _of(one, item, cell_id=one.cell.id, categories=tuple(prompt.category for prompt in one.used.behavior.test)), item


def _by_label(one: _Subject) -> _Planned:
    behavior = one.used.behavior
    _check_classes(one)
    item = ActivationsItem(one.cell.target, behavior.positive, behavior.negative, one.sweep.settings.extractor)
    known = behavior.categories
    categories = tuple(known.get(prompt.id) for prompt in (*behavior.positive, *behavior.negative)) if known else ()
    return _of(one, item, positive=len(behavior.positive), categories=categories), item


def _check_classes(one: _Subject) -> None:
    counts = len(one.used.behavior.positive), len(one.used.behavior.negative)
    if min(counts) < LEAST_PROMPTS:
        told = f"behavior {one.used.key} has {counts[0]} positive and {counts[1]} negative contrast prompts"
        raise one.refused(told, f"at least {LEAST_PROMPTS} of each")


def _of(one: _Subject, item: ActivationsItem, **more: object) -> PlannedAnalysis:
    prompts = tuple(prompt.id for prompt in (*item.positive, *item.negative))
    planned = replace(_asked(one, item), prompts=prompts, **more)  # type: ignore[arg-type]
    if ANALYSES[one.asked.name].by_category and len({*planned.categories} - {None}) < 2:
        told = f"the prompts of behavior {one.used.key} name no two categories"
        raise one.refused(told, '"category": "..." beside each prompt, or classes: behavior where test prompts have them')
    return planned


def _asked(one: _Subject, item: ActivationsItem | InjectionItem) -> PlannedAnalysis:
    options = one.asked.options.model_dump(exclude_unset=True, mode="json")
    return PlannedAnalysis(one.asked.name, options=options, needs={"measured": item.id})


def _injected(one: _Subject, direction: DirectionSpec, options: InjectionOptions) -> _Planned:
    behavior = one.used.behavior
    where = options.at(one.n_layers), options.multipliers
    _check_layers(one, "layers")
    planned = PlannedAnalysis("", method=direction.method)
    item: InjectionItem
    if isinstance(options, FloorOptions):
        neutral = load_prompts(NEUTRAL)[: options.prompts]
        item = DivergencesItem(direction, neutral, *where, options.random, options.seed)
    elif isinstance(options, MotionOptions):
        kept = options.kept(one.n_layers)
        _check_layers(one, "read_layers")
        _check_classes(one)
        item = ShiftsItem(direction, (*behavior.positive, *behavior.negative), *where, kept=kept)
        prompts = tuple(prompt.id for prompt in item.prompts)
        planned = replace(planned, positive=len(behavior.positive), prompts=prompts, kept=kept)
    else:
        assert isinstance(options, PropagationOptions)
        item = ShiftsItem(direction, one.cell.prompts[: options.prompts], *where, options.random, options.seed)
    asked = _asked(one, item)
    return replace(planned, name=asked.name, options=asked.options, needs=asked.needs), item


def _check_layers(one: _Subject, key: str) -> None:
    """Report a layer of the option ``key`` that the model does not have."""
    for place, layer in enumerate(getattr(one.asked.options, key) or ()):
        if layer >= one.n_layers:
            message = f"layer {layer} is out of range: {one.cell.labels.model} has {one.n_layers} layers"
            at = ("analyses", one.asked.number, key, place)
            raise InputError(one.sweep.problem(*at, message=message, value=layer, allowed=f"0..{one.n_layers - 1}"))
