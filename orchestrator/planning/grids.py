"""All grids of a sweep together: their cells, what has been chosen, and what waits for results of an earlier grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from actors.methods import METHODS, Asked
from orchestrator.cells import Cell, CellKey
from orchestrator.models.layers import places
from orchestrator.planned import IncomparablePair
from orchestrator.planning.choices import Arm, Choice, Chooser, ChosenSetting, MatchedArm, Unsettled, scaled
from orchestrator.planning.considered import Tally
from orchestrator.planning.grid import (
    AxisPlace,
    Group,
    SteeredCell,
    axis_places,
    baselines,
    cells_of,
    own_groups,
    transfer_groups,
    unique_variants,
)
from orchestrator.planning.search import plan_arm
from orchestrator.planning.together import together, unfit_part
from orchestrator.sweep_file.grid import Grid


@dataclass(frozen=True)
class Deferred:
    """Cells of a grid that are not planned: ``model`` (or ``source -> model``), behavior, method, how many at most, and why.

    ``waiting``: they will be once the earlier grid is finished; otherwise they are not run: no setting qualified, or the method
    can find no direction with these prompts in this model.
    """

    grid: str
    model: str
    behavior: str
    method: str
    cells: int
    reason: str
    waiting: bool


@dataclass(frozen=True)
class GridsPlan:
    """What follows from all grids. ``cells`` may name one cell twice; ``provisional`` stands for cells that may follow: as
    many and as large, but with settings made up."""

    cells: tuple[Cell, ...]
    provisional: tuple[Cell, ...]
    choices: tuple[Choice, ...]
    deferred: tuple[Deferred, ...]
    incomparable: tuple[IncomparablePair, ...]
    in_sample: Mapping[CellKey, bool]
    arms: tuple[Arm, ...] = ()
    matches: tuple[MatchedArm, ...] = ()


@dataclass
class _GridWork:
    chooser: Chooser
    cells: list[Cell] = field(default_factory=list)
    provisional: list[Cell] = field(default_factory=list)
    deferred: list[Deferred] = field(default_factory=list)
    incomparable: dict[tuple[str, str, str], IncomparablePair] = field(default_factory=dict)
    in_sample: dict[CellKey, bool] = field(default_factory=dict)
    arms: list[Arm] = field(default_factory=list)
    matches: list[MatchedArm] = field(default_factory=list)


def plan_grids(grids: Sequence[Grid], tallies: Mapping[CellKey, Tally]) -> GridsPlan:
    """The cells of all grids in their order, as far as ``tallies`` lets them be known."""
    work = _GridWork(Chooser(tallies))
    for grid in grids:
        if grid.together:
            _plan_together(work, grid)
            continue
        work.cells += baselines(grid)
        for group in own_groups(grid):
            _plan_group(work, grid, group)
        groups, incomparable = transfer_groups(grid)
        for group in groups:
            _plan_group(work, grid, group)
        work.incomparable |= {(pair.source, pair.target, pair.reason): pair for pair in incomparable}
    return GridsPlan(
        cells=tuple(work.cells),
        provisional=tuple(work.provisional),
        choices=work.chooser.choices,
        deferred=tuple(work.deferred),
        incomparable=tuple(work.incomparable.values()),
        in_sample=work.in_sample,
        arms=tuple(work.arms),
        matches=tuple(work.matches),
    )


def _plan_group(work: _GridWork, grid: Grid, group: Group) -> None:
    if reason := unfit(grid, group):
        _defer(work, grid, group, Unsettled(f"not run: {reason}", waiting=False))
        return
    if grid.search is not None:
        _plan_search(work, grid, group)
        return
    axes = _axes(work.chooser, grid, group)
    if isinstance(axes, Unsettled):
        _defer(work, grid, group, axes)
        return
    planned = list(cells_of(grid, group, *axes))
    steered = [one for one in planned if isinstance(one, SteeredCell)]
    for one in steered:
        work.chooser.note(grid, one)
    work.cells += [one.cell if isinstance(one, SteeredCell) else one for one in planned]
    if grid.choose is not None:
        _mark(work, work.chooser.tried(grid, group), steered)
        if grid.choose.kl is not None:
            work.matches += _arms(work.chooser, grid, grid.choose.kl, steered)


def _arms(chooser: Chooser, grid: Grid, kl: float, steered: Sequence[SteeredCell]) -> Iterator[MatchedArm]:
    """What is compared at equal damage; the target's setting says whether it does as much."""
    for one in steered:
        setting = chooser.setting(grid, replace(one.group, source=one.group.target))
        reached = isinstance(setting, ChosenSetting) and setting.reached
        yield MatchedArm(grid.name, one.group.name, one.cell.labels.behavior, kl, one.cell.id, reached)


def _plan_together(work: _GridWork, grid: Grid) -> None:
    """The cells of several directions at once; no choice is made of them."""
    for model in unique_variants(grid.variants):
        if unfit := unfit_part(grid, model):
            behavior, method, reason = unfit
            cells = sum(cell.steering is not None for cell in together(grid, model))
            work.deferred.append(Deferred(grid.name, model.name, behavior, method, cells, f"not run: {reason}", waiting=False))
        else:
            work.cells += together(grid, model)


def _plan_search(work: _GridWork, grid: Grid, group: Group) -> None:
    """The trials of an arm; their rates are of the prompts that choose."""
    found = plan_arm(grid, group, work.chooser)
    for one in found.cells:
        work.chooser.note(grid, one)
    work.cells += [one.cell for one in found.cells]
    work.in_sample |= {one.cell.key: True for one in found.cells}
    work.arms.append(found.arm)
    if found.waits:
        work.provisional += found.provisional
        named = (grid.name, group.name, group.found.behavior.name, group.method[0])
        work.deferred.append(Deferred(*named, len(found.provisional), found.waits, waiting=True))


def _axes(chooser: Chooser, grid: Grid, group: Group) -> tuple[Sequence[AxisPlace], Sequence[float]] | Unsettled:
    """(places in the source, multipliers), or why they are not known: as written; a chosen layer is what was chosen for the
    source, a chosen multiplier what was chosen for the target."""
    axis, multipliers = axis_places(grid, group.source), grid.multipliers_of(group.target)
    if grid.choose is None:
        return axis, multipliers
    if grid.choose.layer is not None:
        setting = chooser.setting(grid, replace(group, target=group.source))
        if isinstance(setting, Unsettled):
            return setting
        axis = (setting.place,)
    if grid.choose.multiplier is not None:
        setting = chooser.setting(grid, replace(group, source=group.target))
        if isinstance(setting, Unsettled):
            return setting
        multipliers = scaled(setting.multiplier, grid.choose)
    return axis, multipliers


def unfit(grid: Grid, group: Group) -> str | None:
    """Why the group's method can find no direction with its prompts in its source, or in its target; None when it can."""
    name, options = group.method
    method, behavior = METHODS[name], group.found.behavior
    chosen = method.options.model_validate(dict(options))
    used = grid.vectors_of(group.method)
    for model in (group.source, group.target):
        if used is not None and (reason := used.misfit(model)):
            return reason
        asked = Asked(len(behavior.positive), len(behavior.negative), model.shape.n_layers, model.shape.model_type)
        if reason := method.unfit(asked, chosen):
            return reason
    return None


def _defer(work: _GridWork, grid: Grid, group: Group, why: Unsettled) -> None:
    """Note what is not planned, with as many made-up cells as may follow."""
    axis: Sequence[AxisPlace] = axis_places(grid, group.source)
    multipliers: Sequence[float] = grid.multipliers_of(group.target)
    if grid.choose is not None and grid.choose.layer is not None:
        axis = places((0.5,), (), group.source.shape.n_layers)
    if grid.choose is not None and grid.choose.multiplier is not None:
        multipliers = scaled(1.0, grid.choose)
    made_up = [one.cell for one in cells_of(grid, group, axis, multipliers) if isinstance(one, SteeredCell)]
    work.provisional += made_up if why.waiting else []
    named = (grid.name, group.name, group.found.behavior.name, group.method[0])
    work.deferred.append(Deferred(*named, len(made_up), why.reason, why.waiting))
    _mark(work, [] if grid.choose is None else work.chooser.tried(grid, group), ())


def _mark(work: _GridWork, tried: Sequence[SteeredCell], steered: Sequence[SteeredCell]) -> None:
    """Whether the rates are measured on prompts that chose the setting; those of the cells that chose are so by definition."""
    selecting = {prompt.text for prompt in tried[0].cell.prompts} if tried else set()
    work.in_sample |= {one.cell.key: True for one in tried}
    for one in steered:
        shared = any(prompt.text in selecting for prompt in one.cell.prompts)
        work.in_sample[one.cell.key] = work.in_sample.get(one.cell.key, False) or shared
