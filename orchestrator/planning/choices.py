"""Settings that a grid takes from the finished cells of an earlier one: the rule, and the evidence for every choice.

Pure: what is known of finished cells comes in as tallies, so the same results always give the same choices.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from actors.curves import CURVE
from actors.interventions import INTERVENTIONS
from orchestrator.cells import CellKey, variant_id
from orchestrator.json_text import parse_json
from orchestrator.method_text import method_text
from orchestrator.planning.considered import Considered, Tally, choose, moves
from orchestrator.planning.grid import AxisPlace, Group, SteeredCell
from orchestrator.planning.matching import matched
from orchestrator.sweep_file.grid import Grid
from orchestrator.sweep_file.schema import Choose

CHOICES_VERSION = 2
ANGLES = tuple(name for name, one in INTERVENTIONS.items() if one.unit == "degrees")
"""Interventions whose multiplier is an angle."""


@dataclass(frozen=True)
class Unsettled:
    """Why there is no setting: it is not known yet (``waiting``), or none qualified."""

    reason: str
    waiting: bool


@dataclass(frozen=True)
class ChosenSetting:
    """A place of the layer axis, and a multiplier. ``reached``: whether it is expected to do the damage that was wanted; else it
    is the strongest that was tried."""

    place: AxisPlace
    multiplier: float
    reached: bool = True


@dataclass(frozen=True)
class Choice:
    """What was chosen for one model variant, behavior, method and action of ``grid``, and from what.

    ``options``: the method's, a JSON object. ``action``: in words (``Action.words``). ``chosen`` is None when no setting of grid
    ``origin`` qualified; ``reason`` then says so. With a ``kl`` it is the tried setting nearest to it, and ``multiplier`` what
    follows from it and its neighbour.
    """

    grid: str
    origin: str
    model: str
    behavior: str
    method: str
    max_garbled: float
    chosen: Considered | None
    considered: tuple[Considered, ...]
    reason: str = ""
    max_kl: float | None = None
    action: str = ""
    kl: float | None = None
    multiplier: float | None = None
    options: str = "{}"

    def __str__(self) -> str:
        head = f"grid {self.grid}, {self.model}, {self.behavior}, {chosen_for(self.method, self.options, self.action)}: "
        one = self.chosen
        if one is None:
            return head + self.reason
        where = "the selected layer" if one.layer is None else f"layer {one.layer}"
        rates = f"{one.success} of {one.n} successes, {one.garbled} garbled"
        rates += f", {one.no_answer} without an answer" if one.no_answer else ""
        rates += "" if one.kl is None else f", KL {one.kl:.3g}"
        of = f"{len(self.considered)} in grid {self.origin}"
        if self.multiplier is not None:
            near = f"nearest of {of}: multiplier {one.multiplier:g} with {rates}"
            return f"{head}{where}, multiplier {self.multiplier:g} for a KL of {self.kl:g} ({near})"
        return f"{head}{where}, multiplier {one.multiplier:g} ({rates}; best of {of})"


@dataclass(frozen=True)
class Arm:
    """One search: a model variant, behavior and method of ``grid``, whose budget is ``trials``. ``considered``: its finished
    trials in the order in which they were asked for, on the prompts that choose. ``best``: by the rule of a choice."""

    grid: str
    model: str
    behavior: str
    method: str
    options: str
    scope: str
    trials: int
    max_garbled: float
    max_kl: float | None
    considered: tuple[Considered, ...]
    best: Considered | None


@dataclass(frozen=True)
class MatchedArm:
    """A cell of ``grid`` whose strength was chosen for a damage of ``kl``: one arm of a comparison at equal damage, whose arms
    have the model, the behavior and the KL in common. ``reached``: as of its ``ChosenSetting``."""

    grid: str
    model: str
    behavior: str
    kl: float
    cell_id: str
    reached: bool = True


def chosen_for(method: str, options: str, action: str) -> str:
    """``curve (surface true)``, ``cosmic ablation``: a method with its options, and what is done with its direction where the
    method's name does not say it."""
    return " ".join(filter(None, (method_text(method, options), "" if action == method else action)))


class Chooser:
    """Collects the own cells of every grid, and decides what later grids take from them."""

    def __init__(self, tallies: Mapping[CellKey, Tally]) -> None:
        self._tallies = tallies
        self._tried: dict[tuple[str, ...], list[SteeredCell]] = {}
        self._decided: dict[tuple[str, ...], tuple[Choice, ChosenSetting | None]] = {}

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Every choice that was made, those that found nothing included."""
        return tuple(choice for choice, _ in self._decided.values())

    def note(self, grid: Grid, steered: SteeredCell) -> None:
        """A cell of ``grid`` with a variant's own direction."""
        if steered.group.source is steered.group.target and not steered.control:
            for key in _keys(grid.name, steered.group):
                self._tried.setdefault(key, []).append(steered)

    def considered(self, one: SteeredCell, with_kl: bool) -> Considered | None:
        """What came of a cell; None where it is not finished and scored, or ``with_kl`` where its damage is not measured."""
        tally = self._tallies.get(one.cell.key)
        return None if tally is None or (with_kl and tally.kl is None) else self._considered(one)

    def tried(self, grid: Grid, group: Group) -> list[SteeredCell]:
        """The cells whose results choose for the target of ``group``; none where the earlier grid has none yet itself."""
        assert grid.choose is not None
        return self._tried.get(_origin_key(grid.choose, group), [])

    def setting(self, grid: Grid, group: Group) -> ChosenSetting | Unsettled:
        """The setting for the target of ``group``, or why there is none."""
        assert grid.choose is not None
        key, _ = _keys(grid.name, group)
        if key not in self._decided:
            tried = self.tried(grid, group)
            known = [self._tallies.get(one.cell.key) for one in tried]
            left = [one for one in known if one is None]
            if left or not tried:
                some = f"{len(left)} of its {len(tried)} cells are not finished and scored"
                number = some if tried else "its own cells are not known"
                return Unsettled(f"waits for grid {grid.choose.origin}: {number}", waiting=True)
            bounded = grid.choose.max_kl is not None or grid.choose.kl is not None
            if bounded and (unmeasured := sum(one is not None and one.kl is None for one in known)):
                number = f"the damage of {unmeasured} of its {len(tried)} cells is not measured"
                return Unsettled(f"waits for grid {grid.choose.origin}: {number}", waiting=True)
            self._decided[key] = self._decide(grid, grid.choose, group, tried)
        choice, chosen = self._decided[key]
        return Unsettled(choice.reason, waiting=False) if chosen is None else chosen

    def _decide(
        self, grid: Grid, asked: Choose, group: Group, tried: Sequence[SteeredCell]
    ) -> tuple[Choice, ChosenSetting | None]:
        considered = {self._considered(one): one for one in tried}
        evenly = group.action.intervention in (CURVE, *ANGLES)
        match = None if asked.kl is None else matched(list(considered), asked.kl, asked.most_garbled, evenly)
        chosen = choose(list(considered), asked.most_garbled, asked.max_kl) if asked.kl is None else None
        best = chosen if match is None else match.nearest
        reason = "" if best is not None else _nothing_fits(asked, list(considered))
        found = Choice(
            grid=grid.name,
            origin=asked.origin,
            model=group.target.name,
            behavior=group.found.key,
            method=group.method[0],
            max_garbled=asked.most_garbled,
            chosen=best,
            considered=tuple(considered),
            reason=reason,
            max_kl=asked.max_kl,
            action=group.action.words,
            kl=asked.kl,
            multiplier=None if match is None else match.multiplier,
            options=json.dumps(dict(group.method[1]), sort_keys=True, default=str),
        )
        if best is None:
            return found, None
        if match is None:
            return found, ChosenSetting(considered[best].place, best.multiplier)
        return found, ChosenSetting(considered[best].place, match.multiplier, match.reached)

    def _considered(self, one: SteeredCell) -> Considered:
        place, cell = one.place, one.cell
        tally = self._tallies[cell.key]
        layer, depth = (None, None) if place is None else (place.layer, float(place.depth))
        counts = (tally.n, tally.success, tally.garbled, tally.no_answer)
        return Considered(cell.id, layer, depth, one.multiplier, *counts, tally.kl)


def _nothing_fits(asked: Choose, tried: Sequence[Considered]) -> str:
    least = min(one.incoherent_rate for one in tried)
    or_cut = " or without an answer" if any(one.no_answer for one in tried) else ""
    settings = f"none of the {len(tried)} settings of grid {asked.origin}"
    told = f"not run: {settings} stays within {asked.most_garbled:.0%} garbled{or_cut}"
    bound = asked.max_kl if asked.kl is None else asked.kl
    if bound is None:
        return f"{told} (the least is {least:.0%})"
    return f"{told} and a KL of {bound:g} (the least are {least:.0%} and {min(map(moves, tried)):.3g})"


def scaled(multiplier: float, asked: Choose) -> tuple[float, ...]:
    """A chosen multiplier times the factors ``around``, in six digits (25 x 1.15 is 28.75)."""
    return tuple(dict.fromkeys(float(f"{multiplier * factor:.6g}") for factor in asked.around or (1.0,)))


def encode_choices(choices: Sequence[Choice], arms: Sequence[Arm] = (), matches: Sequence[MatchedArm] = ()) -> str:
    """The text of ``choices.json``: every choice with all settings that were considered and their counts, and so the arms of
    searches and of comparisons at equal damage, where there are any."""
    content: dict[str, object] = {"version": CHOICES_VERSION, "choices": [asdict(choice) for choice in choices]}
    if arms:
        content["searches"] = [asdict(arm) for arm in arms]
    if matches:
        content["matched"] = [asdict(arm) for arm in matches]
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def decode_choices(text: bytes) -> list[dict[str, Any]]:
    """The choices of ``choices.json`` as objects; ValueError, KeyError or TypeError where they are not. Version 1 called what
    counts as success ``coherent``."""
    content = cast("dict[str, Any]", parse_json(text))
    choices = cast("list[dict[str, Any]]", content["choices"])
    for choice in choices:
        for one in (*choice["considered"], *filter(None, [choice["chosen"]])):
            if "coherent" in one:
                one["success"] = one.pop("coherent")
    return choices


def decode_searches(text: bytes) -> list[dict[str, Any]]:
    """The arms of searches in ``choices.json`` (``Arm`` as objects); none where nothing is searched. ValueError, KeyError or
    TypeError as for choices."""
    content = cast("dict[str, Any]", parse_json(text))
    return cast("list[dict[str, Any]]", content.get("searches", []))


def decode_matches(text: bytes) -> list[dict[str, Any]]:
    """The arms of comparisons at equal damage in ``choices.json`` (``MatchedArm`` as objects); errors as for choices."""
    content = cast("dict[str, Any]", parse_json(text))
    return cast("list[dict[str, Any]]", content.get("matched", []))


def _keys(grid: str, group: Group) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys of a group's target, behavior, method and action: with the method's options, and by its name alone."""
    method, options = group.method
    action = replace(group.action, multiplier=1.0).content
    head = (grid, variant_id(group.target.spec), group.found.key, method, json.dumps(action, sort_keys=True))
    return (*head, json.dumps(options, sort_keys=True, default=str)), head


def _origin_key(asked: Choose, group: Group) -> tuple[str, ...]:
    """The key in the earlier grid of what chooses for the target of ``group``."""
    target = group.target
    if asked.quantization is not None:
        target = replace(target, spec=replace(target.spec, quantization=asked.quantization))
    method = group.method if asked.method is None else (asked.method, ())
    exact, by_name = _keys(asked.origin, replace(group, target=target, method=method))
    return exact if asked.method is None else by_name
