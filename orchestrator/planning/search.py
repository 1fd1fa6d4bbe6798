"""Strength search: which settings an arm tries next, by Optuna's tree-structured Parzen estimator (TPE).

Pure and without memory: the trials are cells, and the study is made anew from what is known of them, so that the same results
always ask for the same trials, whenever and however often the sweep is planned.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.cells import Cell
from orchestrator.planning.choices import Arm, Chooser
from orchestrator.planning.considered import Considered, choose
from orchestrator.planning.grid import AxisPlace, Group, SteeredCell, axis_places, cells_of
from orchestrator.sweep_file.grid import Grid
from orchestrator.sweep_file.schema import SearchEntry

STARTUP_SHARE, MOST_STARTUP = 1 / 3, 10
"""Trials of an arm that are drawn at random before the estimator has a say: a share of its budget, at most so many."""


@dataclass(frozen=True)
class TrialSetting:
    """What a trial sets: a place of the layer axis, by its number, and a multiplier (six digits)."""

    place: int
    multiplier: float


@dataclass(frozen=True)
class ArmPlan:
    """What an arm runs: its ``cells`` as far as they are known, ``provisional`` ones for the rest of its budget, and why it
    ``waits`` (empty: it is over)."""

    arm: Arm
    cells: tuple[SteeredCell, ...]
    provisional: tuple[Cell, ...] = ()
    waits: str = ""


def plan_arm(grid: Grid, group: Group, chooser: Chooser) -> ArmPlan:
    """The trials of ``group`` that follow from the finished ones."""
    search = grid.search
    assert search is not None
    axis = axis_places(grid, group.source)
    low, high = search.multiplier.of(group.target.key, group.target.shape.family) or ()
    found: list[tuple[SteeredCell, Considered | None]] = []

    def outcome(setting: TrialSetting) -> Considered | None:
        one = _trial(grid, group, axis, setting, len(found) + 1)
        found.append((one, chooser.considered(one, with_kl=search.max_kl is not None)))
        return found[-1][1]

    replay(search, 1 if grid.scopes == ("list",) else len(axis), (low, high), outcome)
    cells, known = tuple(one for one, _ in found), tuple(one for _, one in found if one is not None)
    arm = Arm(
        grid.name,
        group.target.name,
        group.found.behavior.name,
        group.method[0],
        json.dumps(dict(group.method[1]), sort_keys=True),
        grid.scopes[0],
        search.trials,
        search.max_garbled,
        search.max_kl,
        known,
        choose(known, search.max_garbled, search.max_kl),
    )
    if len(known) == search.trials:
        return ArmPlan(arm, cells)
    left = search.trials - len(cells)
    spread = (low + (high - low) * (number + 0.5) / left for number in range(left))
    provisional = tuple(_trial(grid, group, axis, TrialSetting(0, one), 0).cell for one in spread)
    budget = f"a search of {search.trials} trials an arm, {search.batch} at a time"
    waits = f"{budget}, waits: {len(cells) - len(known)} of the first {len(cells)} are not finished and scored"
    return ArmPlan(arm, cells, provisional, waits)


def replay(
    search: SearchEntry, places: int, span: tuple[float, float], outcome: Callable[[TrialSetting], Considered | None]
) -> None:
    """Ask for the ``outcome`` of each trial of one arm, until its budget is spent or a batch has one of which it is not known.

    A trial's value is its success rate; its garbled rate (with responses without an answer) and its KL are constraints. Trials
    of a batch that are not told yet count as bad ones (constant liar), so that a batch is spread out.
    """
    import optuna  # an extra
    from optuna.distributions import FloatDistribution, IntDistribution

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    startup = min(MOST_STARTUP, max(1, round(search.trials * STARTUP_SHARE)))
    sampler = optuna.samplers.TPESampler(seed=search.seed, n_startup_trials=startup, multivariate=True, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    mirrored = search.scale == "log" and span[1] < 0
    ends = (-span[1], -span[0]) if mirrored else span
    space = {"place": IntDistribution(0, places - 1), "multiplier": FloatDistribution(*ends, log=search.scale == "log")}
    sign = -1.0 if mirrored else 1.0
    for first in range(0, search.trials, search.batch):
        batch = [study.ask(space) for _ in range(min(search.batch, search.trials - first))]
        settings = [TrialSetting(one.params["place"], _rounded(sign * one.params["multiplier"], span)) for one in batch]
        known = [outcome(one) for one in settings]
        for trial, one in zip(batch, known, strict=True):
            if one is None:
                return
            trial.set_constraint("garbled", one.incoherent_rate - search.max_garbled)
            if search.max_kl is not None:
                assert one.kl is not None
                trial.set_constraint("kl", one.kl - search.max_kl)
            study.tell(trial, one.success_rate)


def _rounded(multiplier: float, span: tuple[float, float]) -> float:
    """In six digits, and not 0, which steers nothing."""
    return float(f"{multiplier:.6g}") or max(span, key=abs)


def _trial(grid: Grid, group: Group, axis: tuple[AxisPlace, ...], setting: TrialSetting, number: int) -> SteeredCell:
    places = axis if grid.scopes == ("list",) else (axis[setting.place],)
    one = next(one for one in cells_of(grid, group, places, [setting.multiplier]) if isinstance(one, SteeredCell))
    return replace(one, cell=replace(one.cell, labels=replace(one.cell.labels, search=grid.name, trial=number)))
