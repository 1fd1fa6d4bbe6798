"""Sweep -> Plan: every cell and direction of a sweep with its id, in the order to run. Pure: no file, no model, no clock.

What a grid takes from the results of an earlier one is planned as soon as those are known (``Tally``): until then the plan
says how many cells may follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from actors.types import Decoding, EngineOptions, ModelSpec, Resources
from orchestrator.capability import capability_items
from orchestrator.cells import Cell, CellKey, DirectionSpec, variant_id
from orchestrator.counting import some
from orchestrator.damage import DamageItem, damage_items
from orchestrator.errors import InputError, Problem
from orchestrator.judging import judging_items
from orchestrator.models.files import ModelShape, is_pinned
from orchestrator.parity.effort import Effort
from orchestrator.parity.planned import PlannedParity
from orchestrator.planned import IncomparablePair, PlannedAnalysis, twin_texts
from orchestrator.planning.analyses import plan_analyses
from orchestrator.planning.choices import Arm, Choice, MatchedArm
from orchestrator.planning.considered import Tally
from orchestrator.planning.costs import DEFAULT_COSTS, Costs
from orchestrator.planning.estimate import Estimate, VariantCost, estimate_plan, memory_limit, prompt_tokens, weight_bytes
from orchestrator.planning.grids import Deferred, GridsPlan, plan_grids
from orchestrator.planning.parity import efforts, plan_parity
from orchestrator.planning.remarks import remarks_on_actions, remarks_on_thoughts
from orchestrator.scoring.answer import Reads
from orchestrator.scoring.judges.pool_scorer import PoolScorer
from orchestrator.scoring.score import CellScorer, Usage
from orchestrator.scoring.uses import Scoring
from orchestrator.sweep import Sweep
from orchestrator.sweep_file.behaviors import BehaviorPrompts
from orchestrator.sweep_file.resolve import ModelVariant
from orchestrator.work import WorkItem

__all__ = ["Choice", "Deferred", "IncomparablePair", "Plan", "PlannedModel", "Tally", "make_plan"]


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
    ``also``: those of them that further behaviors ask for, by id, with the labels of these.
    ``directions``: unique ids, model-major; every one of ``cell.steering.directions`` is among them.
    ``models``: one per variant. ``warnings``: one sentence each. ``incomparable``: transfer pairs that are not run.
    ``choices``: the settings taken from finished cells; ``arms``: how far searches are; ``matches``: the
    arms of comparisons at equal damage.
    ``deferred``: what cannot be planned (yet), with the reason.
    ``in_sample``: is a cell's rate measured on the prompts that choose a setting? Cells that have no part in a choice are
    not in it. ``estimate`` covers the cells and at most those that may follow.
    ``scoring``: what scores the behaviors. ``others``: work of other kinds. ``analyses``: what is made of some of it;
    ``parity``: the studies of tools that the rest is of. ``twins``: names of the file that stand for the same model as an
    earlier one, each with that one's name.
    """

    name: str
    cells: tuple[Cell, ...]
    directions: tuple[DirectionSpec, ...]
    models: tuple[PlannedModel, ...]
    engine: EngineOptions
    warnings: tuple[str, ...]
    incomparable: tuple[IncomparablePair, ...]
    estimate: Estimate
    choices: tuple[Choice, ...] = ()
    arms: tuple[Arm, ...] = ()
    matches: tuple[MatchedArm, ...] = ()
    deferred: tuple[Deferred, ...] = ()
    in_sample: Mapping[CellKey, bool] = field(default_factory=dict)
    scoring: Scoring = field(default_factory=Scoring)
    others: tuple[WorkItem, ...] = ()
    also: Mapping[str, tuple[Cell, ...]] = field(default_factory=dict)
    analyses: tuple[PlannedAnalysis, ...] = ()
    parity: tuple[PlannedParity, ...] = ()
    twins: Mapping[str, str] = field(default_factory=dict)

    @property
    def counted(self) -> tuple[Cell, ...]:
        """Every cell once for each behavior that asks for it."""
        return tuple(one for cell in self.cells for one in (cell, *self.also.get(cell.id, ())))

    @property
    def items(self) -> tuple[WorkItem, ...]:
        """All that is to be done: directions, cells, then work of other kinds."""
        return (*self.directions, *self.cells, *self.others)

    def judged(self) -> dict[str, Usage]:
        """About what every scorer that asks a model will take for the cells of the plan, at most, by its id."""
        return _judged(self.counted, self.scoring)

    def model(self, variant: str) -> PlannedModel:
        """The planned model of a variant id; KeyError when the plan has none such."""
        for model in self.models:
            if model.variant == variant:
                return model
        raise KeyError(f"no model {variant} in plan {self.name}")


def _read_tokens(decoding: Decoding, reads: Reads) -> int:
    """Tokens of a response that are read, at most."""
    return decoding.max_new_tokens if reads == "answer" else decoding.most_tokens


def make_plan(sweep: Sweep, tallies: Mapping[CellKey, Tally] | None = None, costs: Costs = DEFAULT_COSTS) -> Plan:
    """Work out a sweep; ``tallies``: how the finished cells were labelled; ``costs``: what its estimate is made from.

    Raises :class:`InputError` for weights that cannot fit their GPUs and for a sweep without cells.
    """
    variants, twins = _unique(sweep.models)
    problems = _memory_problems(sweep, variants)
    if problems:
        raise InputError(*problems)
    found = plan_grids(sweep.grids, tallies or {})
    _require_steered(sweep, found)
    cells = _model_major(variants, found.cells)
    models = tuple(PlannedModel(one.name, one.spec, variant_id(one.spec), one.shape, one.resources) for one in variants)
    also = _also(cells, found.cells)
    counted = [one for cell in cells for one in (cell, *also.get(cell.id, ()))]
    expected = (*cells, *found.provisional)
    sizes = {model.variant: (model.name, model.shape.n_layers) for model in models}
    analysed, compared = plan_analyses(sweep, counted, sizes), plan_parity(sweep, counted, sizes)
    if not cells:
        raise InputError.because("the sweep plans no cells: there is no baseline and nothing to steer")
    warnings = [
        *twin_texts(twins),
        *_unused(sweep),
        *_unpinned(variants),
        *_remarks(variants),
        *_same_prompts(sweep),
        *(text for used in _whole(sweep.behaviors) for text in used.warnings),
        *(text for grid in sweep.grids for used in grid.files for text in used.remarks),
        *(text for grid in sweep.grids for text in remarks_on_actions(grid)),
        *(text for grid in sweep.grids for text in remarks_on_thoughts(grid, sweep.scoring)),
    ]
    return Plan(
        name=sweep.name,
        cells=cells,
        directions=_directions(models, cells, analysed.directions),
        models=models,
        engine=sweep.engine,
        warnings=tuple(dict.fromkeys(warnings)),
        incomparable=found.incomparable,
        estimate=estimate_plan(
            _costs(
                models,
                {variant_id(one.spec) for one in variants if not one.thinks},
                expected,
                _rounds(sweep, found),
                _read(counted, sweep.scoring, damage_items(expected, sweep.damage), analysed.items),
                efforts(compared.items),
            ),
            expected,
            _directions(models, expected, analysed.directions),
            sweep.engine,
            costs,
        ),
        choices=found.choices,
        arms=found.arms,
        matches=found.matches,
        deferred=found.deferred,
        in_sample=found.in_sample,
        scoring=sweep.scoring,
        also=also,
        others=(
            *judging_items(counted, sweep.scoring),
            *capability_items(cells, found.choices, sweep.capability),
            *damage_items(cells, sweep.damage),
            *analysed.items,
            *compared.items,
        ),
        analyses=analysed.analyses,
        parity=compared.studies,
        twins=twins,
    )


def _judged(counted: Sequence[Cell], scoring: Scoring) -> dict[str, Usage]:
    found = {}
    for scorer in scoring.made.values():
        if isinstance(scorer, CellScorer):
            cells = {cell.id: cell for cell in counted if scorer.id in scoring.of(cell.labels.behavior).ids}
            each = [
                scorer.estimate(
                    [one.text for one in cell.prompts] * cell.decoding.samples, _read_tokens(cell.decoding, scorer.reads)
                )
                for cell in cells.values()
            ]
            if each:
                found[scorer.id] = reduce(Usage.plus, each)
    return found


def _require_steered(sweep: Sweep, found: GridsPlan) -> None:
    """``InputError`` where the methods of a sweep can do nothing of what it asks them: no steered cell is left or may follow."""
    if not found.deferred or any(one.waiting for one in found.deferred):
        return
    if any(cell.steering is not None for cell in found.cells):
        return
    paths = {grid.name: grid.path for grid in sweep.grids}
    told = {(one.grid, one.behavior, one.method, one.reason): one for one in found.deferred}
    problems = [
        sweep.problem(*paths[one.grid], "methods", message=f"{one.model}, behavior {one.behavior}: {one.reason}")
        for one in told.values()
    ]
    raise InputError(*problems)


def _rounds(sweep: Sweep, found: GridsPlan) -> Mapping[str, int]:
    """How often each model, by its name, is come back to for grids that wait for what earlier ones find, which wait in turn, and
    for the batches of searches."""
    depth: dict[str, int] = {}
    batch: dict[str, int] = {}
    for grid in sweep.grids:
        depth[grid.name] = 0 if grid.choose is None else 1 + depth[grid.choose.origin]
        batch[grid.name] = 0 if grid.search is None else grid.search.batch
    waiting = {
        (one.model.rpartition(" -> ")[2], depth[one.grid], number)
        for one in found.deferred
        if one.waiting
        for number in range(0, one.cells if batch[one.grid] else 1, batch[one.grid] or 1)
    }
    return Counter(name for name, _, _ in waiting)


def _read(
    counted: Sequence[Cell], scoring: Scoring, damage: Sequence[DamageItem], others: Sequence[WorkItem]
) -> Mapping[str, int]:
    """About how many tokens each variant reads as a judge, to measure damage, and for ``others``: analyses."""
    found = Counter[str]()
    for scorer, usage in _judged(counted, scoring).items():
        judge = scoring.made[scorer]
        if isinstance(judge, PoolScorer):
            found[judge.variant] += usage.prompt_tokens + usage.reply_tokens
    for item in damage:
        found[item.variant] += item.budget + sum(prompt_tokens(one, None) for one in item.settings.prompts)
    for measured in others:
        found[measured.variant] += measured.budget
    return found


def _unused(sweep: Sweep) -> list[str]:
    return [f"model {key} is in no grid: it is not run" for key in sweep.unused]


def _unique(models: Sequence[ModelVariant]) -> tuple[tuple[ModelVariant, ...], dict[str, str]]:
    """One entry per variant id, and every name that stands for the same model as an earlier one, with that one's name."""
    found: dict[str, ModelVariant] = {}
    twins = {}
    for model in models:
        first = found.setdefault(variant_id(model.spec), model)
        if first is not model:
            twins[model.name] = first.name
    return tuple(found.values()), twins


def _whole(behaviors: Sequence[BehaviorPrompts]) -> list[BehaviorPrompts]:
    """Those that are not a part of another one: a warning of its prompts holds for theirs, too."""
    asked = [(used, {prompt.id for prompt in used.prompts}) for used in behaviors]
    return [one for one, ids in asked if not any(one.key == other.key and ids < more for other, more in asked)]


def _same_prompts(sweep: Sweep) -> list[str]:
    """A warning for every behavior whose prompts are those of an earlier one."""
    found: dict[object, str] = {}
    warnings = []
    for used in sweep.behaviors:
        name, prompts = used.behavior.name, (used.behavior.positive, used.behavior.negative, used.prompts)
        first = found.setdefault(prompts, name)
        if first != name:
            warnings.append(f"behaviors {first} and {name} have the same prompts: their cells run once, and count for each")
    return warnings


def _memory_problems(sweep: Sweep, variants: Sequence[ModelVariant]) -> list[Problem]:
    problems = []
    for model in variants:
        needed, limit = weight_bytes(model.shape, model.spec), memory_limit(model.resources)
        if limit is not None and needed > limit:
            open_kind = f"GPU of {model.resources.gpu_memory:g} GB" if model.resources.gpu_memory else "GPU of any known type"
            kind = model.resources.accelerator or open_kind
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


def _also(planned: Sequence[Cell], cells: Sequence[Cell]) -> dict[str, tuple[Cell, ...]]:
    """Of the ``cells`` those that are ``planned`` for another behavior, once for each further one."""
    first = {cell.id: cell.labels.behavior for cell in planned}
    found: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        if cell.labels.behavior != first[cell.id]:
            found.setdefault(cell.id, {}).setdefault(cell.labels.behavior, cell)
    return {cell_id: tuple(further.values()) for cell_id, further in found.items()}


def _directions(
    models: Sequence[PlannedModel], cells: Sequence[Cell], analysed: Sequence[DirectionSpec]
) -> tuple[DirectionSpec, ...]:
    """Those that steer cells, and those that are ``analysed``."""
    order = {model.variant: number for number, model in enumerate(models)}
    unique = {one.id: one for cell in cells if cell.steering is not None for one in cell.steering.directions}
    unique |= {spec.id: spec for spec in analysed if spec.id not in unique}
    return tuple(sorted(unique.values(), key=lambda spec: order[variant_id(spec.model)]))


def _unpinned(variants: Sequence[ModelVariant]) -> list[str]:
    by_revision: dict[str, dict[str, None]] = {}
    for model in variants:
        if model.spec.source == "hub" and not is_pinned(model.spec.revision):
            by_revision.setdefault(str(model.spec.revision), {})[model.key] = None
    why = "may point elsewhere tomorrow): give the 40-digit commit"
    return [
        f"model{'s' if len(keys) > 1 else ''} {some(list(keys))}: revision not pinned ('{revision}' {why}"
        for revision, keys in by_revision.items()
    ]


def _remarks(variants: Sequence[ModelVariant]) -> list[str]:
    return [f"model {model.key}: {remark}" for model in variants for remark in model.remarks]


def _costs(
    models: Sequence[PlannedModel],
    thoughtless: Collection[str],
    cells: Sequence[Cell],
    rounds: Mapping[str, int],
    reads: Mapping[str, int],
    compared: Mapping[str, Effort],
) -> list[VariantCost]:
    """Each variant loads once; once more on one worker when it waits for a direction of a model that comes after it, and for each
    of its ``rounds`` where other models run between them. ``reads``: tokens that a variant reads for other work;
    ``compared``: what comparing tools takes of it; ``thoughtless``: variants that mark no thoughts."""
    order = {model.variant: number for number, model in enumerate(models)}
    late = {
        variant_id(cell.target)
        for cell in cells
        if cell.steering is not None
        and any(order[variant_id(one.model)] > order[variant_id(cell.target)] for one in cell.steering.directions)
    }
    files = [(one.spec.location, one.spec.revision) for one in models]
    return [
        VariantCost(
            one.name,
            one.spec,
            one.shape,
            one.resources,
            loads=1 + (one.variant in late) + (rounds.get(one.name, 0) if len(models) > 1 else 0),
            downloads=one.spec.source == "hub" and files[number] not in files[:number],
            reads=reads.get(one.variant, 0) + effort.read,
            writes=effort.written,
            starts=effort.starts,
            thinks=one.variant not in thoughtless,
        )
        for number, one in enumerate(models)
        for effort in [compared.get(one.variant, Effort())]
    ]
