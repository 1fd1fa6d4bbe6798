"""What steers a cell together: the parts of a grid's ``steer``, each with all that the grid says for it, and what is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as Folder
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from pydantic import ValidationError

from actors.curves import CURVE
from actors.interventions import INTERVENTIONS, idle
from actors.methods import METHODS
from actors.positions import Positions
from actors.schedules import CONSTANT, Schedule
from actors.sites import EVERYWHERE, OUTPUT, head_of
from actors.types import Action
from orchestrator.behaviors import Behavior
from orchestrator.cells import Options
from orchestrator.models.layers import LayerPoint, places, steered_layers
from orchestrator.sweep_file.own_interventions import named_with_code
from orchestrator.sweep_file.problems import problems_of
from orchestrator.sweep_file.schema import MethodEntry, SteerEntry, WhenEntry
from orchestrator.sweep_file.sections import Path, Sections

if TYPE_CHECKING:
    from orchestrator.models.files import ModelShape
    from orchestrator.sweep_file.behaviors import BehaviorFiles

FILE = "file"
LEARNED_FROM = 2
"""Contrast prompts of each class that a threshold is learned from at least: one chooses it, one tells how well it tells apart."""
Item = TypeVar("Item")
PartScope = Literal["from_layer", "single", "own"]


@dataclass(frozen=True)
class At:
    """A written place: a ``depth`` or an absolute ``layer``."""

    depth: float | None
    layer: int | None

    def within(self, n_layers: int) -> LayerPoint:
        """In a model of so many layers."""
        depths = () if self.depth is None else (self.depth,)
        return places(depths, () if self.layer is None else (self.layer,), n_layers)[0]


@dataclass(frozen=True)
class When:
    """The condition of a part: whose direction, found how, at which place, and the threshold (None: learned)."""

    behavior: Behavior
    method: tuple[str, Options]
    at: At
    threshold: float | None
    above: bool


@dataclass(frozen=True)
class SteerPart:
    """One of the directions that steer a cell together, by each of ``multipliers``."""

    behavior: Behavior
    method: tuple[str, Options]
    at: At
    scope: PartScope
    multipliers: tuple[float, ...]
    action: Action
    when: When | None = None

    @property
    def idle(self) -> bool:
        """Whether it steers nothing in any cell."""
        return not any(self.multipliers) and idle(self.action.intervention, 0.0)

    @property
    def found_as(self) -> tuple[str, str, Options, str]:
        """Whose its direction is, how it is found, and at which site it acts: of two parts with the same, and from the same
        layer, it is the same direction."""
        return self.behavior.name, *self.method, self.action.site

    def sources(self, n_layers: int) -> set[tuple[int, int]]:
        """Each layer that it steers in a model of so many layers, with the one that its direction there is of."""
        layer = self.at.within(n_layers).layer
        return {(one, one if self.scope == "own" else layer) for one in steered_layers(self.scope, layer, n_layers)}


@dataclass(frozen=True)
class GridDefaults:
    """What a grid says for the parts that do not say it themselves; each where it is one. ``tokens``: an answer's at most;
    ``folder``: of the sweep file."""

    methods: Sequence[tuple[str, Options]]
    places: Sequence[At]
    scopes: Sequence[str]
    actions: Sequence[Action]
    tokens: int
    folder: Folder


def method_of(view: Sections, entry: MethodEntry, at: Path) -> tuple[str, Options] | None:
    """A method with its options, all of them; None where they are wrong."""
    section = METHODS[entry.name].options
    try:
        return entry.name, tuple(sorted(section.model_validate(entry.options).model_dump().items()))
    except ValidationError as error:
        view.problems += problems_of(error, view.document, section, (*at, "options"))
        return None


def check_head(view: Sections, at: Path, site: str, shapes: Mapping[str, ModelShape]) -> None:
    """Report a ``site`` that is a head which one of the models does not have."""
    head = head_of(site)
    short = {key: one.n_heads for key, one in shapes.items() if head is not None and head >= one.n_heads}
    if short:
        models = ", ".join(f"model {key} has {count} heads" for key, count in short.items())
        view.report(
            at, f"head {head} is out of range: {models}", site, allowed=f"{{head: 0}} to {{head: {min(short.values()) - 1}}}"
        )


def parts_of(
    view: Sections, said: GridDefaults, entries: Sequence[SteerEntry], behaviors: BehaviorFiles, shapes: Mapping[str, ModelShape]
) -> tuple[SteerPart, ...]:
    """The parts of a grid; those that something is wrong with are reported and left out."""
    reader = _PartReader(view, said, behaviors, shapes)
    found = [reader.part(number, entry) for number, entry in enumerate(entries)]
    if view.valid("orthogonalize"):
        _check_orthogonal(view, found, shapes)
    return tuple(part for part in found if part is not None)


def _check_orthogonal(view: Sections, parts: Sequence[SteerPart | None], shapes: Mapping[str, ModelShape]) -> None:
    """Report parts of which nothing would be left beside an earlier one: they are the same direction where both steer."""
    for (first, one), (second, other) in itertools.combinations(enumerate(parts), 2):
        if one is None or other is None or one.idle or other.idle or one.found_as != other.found_as:
            continue
        shared = (one.sources(shape.n_layers) & other.sources(shape.n_layers) for shape in shapes.values())
        layers = [min(found)[0] for found in shared if found]
        if layers:
            same = f"it is the direction of steer[{first}] at layer {layers[0]}, of which orthogonalize leaves nothing"
            view.report(view.at("steer", second), same, allowed="another behavior, method or layer, or no orthogonalize")


@dataclass(frozen=True)
class _PartReader:
    view: Sections
    said: GridDefaults
    behaviors: BehaviorFiles
    shapes: Mapping[str, ModelShape]

    def part(self, number: int, entry: SteerEntry) -> SteerPart | None:
        path = self.view.at("steer", number)
        behavior, method = self._behavior(entry.behavior, path), self._method(entry.method, path)
        at, action, scope = self._place(entry, path), self._action(entry, path), entry.scope or self._scope(path)
        when = None if entry.when is None else self._when(entry.when, (*path, "when"))
        if behavior is None or method is None or at is None or action is None or scope is None:
            return None
        if CURVE in (method[0], action.intervention) or method[0] == FILE:
            message = "a curve, and vectors of a file, steer alone and always"
            self.view.report(path, message, allowed=f"a grid without steer, or other methods than {CURVE} and {FILE}")
            return None
        self._check_scales(action, at, scope, path)
        read = dict(method[1]).get("site") or (OUTPUT if action.site == EVERYWHERE else action.site)
        if METHODS[method[0]].reads_positions and read != OUTPUT:
            self.view.report(
                path, f"{method[0]} tries its directions at block outputs", allowed="site: output, or another method"
            )
        for site in dict.fromkeys((action.site, str(read))):
            check_head(self.view, (*path, "site"), site, self.shapes)
        needs = INTERVENTIONS.get(action.intervention, INTERVENTIONS["addition"]).needs
        if read not in (action.site, OUTPUT if action.site == EVERYWHERE else action.site) and (
            action.strength == "relative" or needs in ("positive", "negative")
        ):
            self.view.report(path, f"{method[0]} reads at {read}, not at {action.site}", allowed="one site for both")
        return SteerPart(behavior, method, at, scope, tuple(dict.fromkeys(entry.multiplier)), action, when)

    def _when(self, entry: WhenEntry, path: Path) -> When | None:
        behavior, method = self._behavior(entry.behavior, path), method_of(self.view, entry.method, (*path, "method"))
        at = self._place(entry, path)
        if behavior is None or method is None or at is None:
            return None
        if method[0] in (CURVE, FILE):
            self.view.report((*path, "method"), "a condition needs a direction of its behavior", method[0], allowed="dim")
            return None
        sizes = len(behavior.positive), len(behavior.negative)
        if entry.threshold is None and min(sizes) < LEARNED_FROM:
            few = f"auto learns it from {LEARNED_FROM} contrast prompts of each class at least; {entry.behavior} has"
            self.view.report(
                (*path, "threshold"), f"{few} {sizes[0]} positive and {sizes[1]} negative", allowed="a number, or more"
            )
            return None
        if dict(method[1]).get("site") not in (None, "", OUTPUT):
            self.view.report((*path, "method"), "a condition looks at what a block puts out", allowed="site: output, or none")
            return None
        return When(behavior, method, at, entry.threshold, entry.side == "above")

    def _behavior(self, key: str, path: Path) -> Behavior | None:
        if key not in self.behaviors.known:
            self.view.report_unknown((*path, "behavior"), key, "behavior", self.behaviors.known)
        return self.behaviors.contrast(key)

    def _method(self, entry: MethodEntry | None, path: Path) -> tuple[str, Options] | None:
        if entry is not None:
            return method_of(self.view, entry, (*path, "method"))
        return self._only("method", self.said.methods, path)

    def _place(self, entry: SteerEntry | WhenEntry, path: Path) -> At | None:
        if entry.layer is None and entry.depth is None:
            return self._only("layer", self.said.places, path)
        short = {key: one.n_layers for key, one in self.shapes.items() if (entry.layer or 0) >= one.n_layers}
        if short:
            models = ", ".join(f"model {key} has {count} layers" for key, count in short.items())
            message = f"layer {entry.layer} is out of range: {models}"
            self.view.report((*path, "layer"), message, entry.layer, allowed=f"0..{min(short.values()) - 1}")
        return At(entry.depth, entry.layer)

    def _scope(self, path: Path) -> PartScope | None:
        return self._only("scope", [one for one in get_args(PartScope) if one in self.said.scopes], path)

    def _action(self, entry: SteerEntry, path: Path) -> Action | None:
        """The grid's, but for what the part says of it."""
        names = Action.names()[1:]
        own = {name: value for name in names if (value := getattr(entry, name)) is not None}
        theirs = [{name: getattr(action, name) for name in names if name not in own} for action in self.said.actions]
        shared = self._only("position or schedule", [one for n, one in enumerate(theirs) if one not in theirs[:n]], path)
        if shared is None:
            return None
        code = self.said.actions[0].code
        if "intervention" in own:
            own["intervention"], code = named_with_code(self.view, (*path, "intervention"), own["intervention"], self.said.folder)
        action = Action(1.0, **{**shared, **own}, code=code)
        self._check(action, entry, path)
        return action

    def _check(self, action: Action, entry: SteerEntry, path: Path) -> None:
        report, at = self.view.report, (*path, "multiplier")
        of = INTERVENTIONS.get(action.intervention, INTERVENTIONS["addition"])
        if of.unit == "share" and not all(0 <= one <= 1 for one in entry.multiplier):
            report(at, f"out of range for {action.intervention}", allowed="0 (nothing) to 1 (the whole component removed)")
        if of.unit != "length" and (action.strength == "relative" or action.scales != "none"):
            report(path, f"{action.intervention} takes no length that could be scaled", allowed="absolute, without scales")
        if action.site == EVERYWHERE and action.intervention != "ablation":
            report(path, f"{action.intervention} would act at every part of a block", allowed="everywhere beside ablation")
        if action.intervention == "replacement" and (0 in entry.multiplier or action.schedule != CONSTANT):
            report(path, "replacement by nothing", allowed="a multiplier that is not 0, and no schedule, beside replacement")
        if not Positions.of(action.positions).acts(self.said.tokens):
            tokens = f"an answer has at most {self.said.tokens} tokens, the last of which is not read again"
            report(path, f"nothing would be steered: {tokens}", action.positions, allowed="earlier tokens")
        first, until = Positions.of(action.positions).generated
        if first < until and first >= Schedule.of(action.schedule).linear:
            report(path, f"nothing is left of it where {action.positions} acts", action.schedule, allowed="a longer schedule")

    def _check_scales(self, action: Action, at: At, scope: PartScope, path: Path) -> None:
        """A list of scales has one for each layer that the part steers."""
        if action.scales in ("none", "raw_norm"):
            return
        given = action.scales.count(",") + 1
        counts = {len(steered_layers(scope, at.within(shape.n_layers).layer, shape.n_layers)) for shape in self.shapes.values()}
        if counts - {given}:
            layers = f"{', '.join(map(str, sorted(counts)))} layer{'' if counts == {1} else 's'}"
            message = f"{given} scale{'' if given == 1 else 's'}, but the part steers {layers}"
            self.view.report((*path, "scales"), message, action.scales, allowed="one for each steered layer, or raw_norm")

    def _only(self, what: str, given: Sequence[Item], path: Path) -> Item | None:
        """The one that the grid has."""
        if len(given) == 1:
            return given[0]
        if given or what == "layer":
            said = f"the grid has {len(given)} to choose from" if given else "the grid says none"
            self.view.report(path, f"no {what} is given, and {said}", allowed=f"a {what} of its own")
        return None


def check_together(view: Sections, parts: int, unfit: Mapping[str, tuple[str, bool, str]]) -> None:
    """Report what does not go with so many directions at once; ``unfit``: keys of the grid, what is wrong with each, whether it
    is, and what is right."""
    own = view.own("multipliers") is not None or (not view.path and view.given("multipliers"))
    alone = bool(view.valid("orthogonalize")) and parts < 2 and view.whole("steer")
    more = {
        "multipliers": ("a grid with steer has its multipliers there", parts > 0 and own, "a multiplier in each part"),
        "orthogonalize": ("there are no several directions", alone, "steer: with two parts or more beside it"),
    }
    for key, (message, wrong, allowed) in (*(unfit.items() if parts else ()), *more.items()):
        if wrong:
            view.report(view.at(key), message, allowed=allowed)
