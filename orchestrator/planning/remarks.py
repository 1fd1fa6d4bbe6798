"""What a person should know of how a grid steers, where it is allowed and probably not meant."""

from __future__ import annotations

from collections.abc import Iterator

from actors.positions import Positions
from actors.schedules import CONSTANT, Schedule
from actors.types import Action
from orchestrator.counting import some
from orchestrator.scoring.uses import Scoring
from orchestrator.sweep_file.grid import Grid

STRONG = 2.0
"""Times the residual stream's norm from which on next to nothing of the stream itself is left."""
LEFT = 0.95
"""The share of a strength that is left at an answer's end where a schedule is hardly another than the constant one."""


def remarks_on_actions(grid: Grid) -> Iterator[str]:
    """A sentence for every action of ``grid`` that is so strong, or acts so long, that something else was probably meant."""
    if grid.together and all(part.idle for part in grid.together):
        yield f"{grid.name}: every multiplier in steer is 0, which is the unsteered baseline: nothing is steered"
    for action in grid.actions:
        yield from _reach(action, grid.decoding.most_tokens)
    if any(action.strength == "relative" for action in grid.actions):
        strong = sorted({value for value in _multipliers(grid) if abs(value) >= STRONG})
        if strong:
            listed = ", ".join(f"{value:g}" for value in strong)
            yield f"strength relative: {listed} times the norm of the residual stream drowns it; 0.05 to 1 are usual"


def remarks_on_thoughts(grid: Grid, scoring: Scoring) -> Iterator[str]:
    """A sentence where ``grid`` has a budget for thoughts, or scores them, and models of it are known to mark none."""
    models = list(dict.fromkeys(one.key for one in grid.variants if not one.thinks))
    uses = [use for one in grid.behaviors for use in scoring.of(one.behavior.name).scorers]
    asked = [] if grid.decoding.max_thought_tokens is None else ["max_thought_tokens bounds nothing"]
    if any(scoring.made[use.id].reads == "thought" for use in uses):
        asked.append("reads: thought finds none")
    if models and asked:
        told = f"model{'s' if len(models) > 1 else ''} {some(models)} mark{'' if len(models) > 1 else 's'} no thoughts"
        yield f"{grid.name}: {told}, by chat template, template options and system prompt: {' and '.join(asked)}"


def _reach(action: Action, tokens: int) -> Iterator[str]:
    first, until = Positions.of(action.positions).generated
    last = tokens - 2  # the last token of an answer is not read again
    open_ended = Positions.of("generation").generated[1]
    if first < until < open_ended and until > last:
        meant = Positions(Positions.of(action.positions).prompt, (first, open_ended)).text
        yield f"positions {action.positions} reach beyond answers of at most {tokens} tokens: they act as {meant} does"
    if action.schedule == CONSTANT or first >= until:
        return
    left = Schedule.of(action.schedule).share(max(last, 0))
    if left >= LEFT:
        yield f"schedule {action.schedule} is hardly another than constant: {left:.0%} is left at the end of {tokens} tokens"


def _multipliers(grid: Grid) -> Iterator[float]:
    for one in (grid.multipliers, None if grid.search is None else grid.search.multiplier):
        if one is None:
            continue
        for values in (one.default or (), *one.families.values(), *one.models.values()):
            yield from values
