"""The grids of a sweep file, resolved one after the other, each with what it runs over."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as Folder

from pydantic import ValidationError

from actors.methods import METHODS
from actors.methods.file import FileOptions
from actors.positions import Positions
from actors.schedules import CONSTANT
from actors.types import Action, Decoding
from orchestrator.cells import Options
from orchestrator.errors import InputError
from orchestrator.models.files import ModelShape, check_stored
from orchestrator.sweep_file.behaviors import BehaviorFiles, BehaviorPrompts
from orchestrator.sweep_file.fields import AUTO
from orchestrator.sweep_file.grid import ACTION_KEYS, Grid, LayerAxis
from orchestrator.sweep_file.grid_checks import (
    check_actions,
    check_auto,
    check_measured,
    check_origin,
    check_search,
    check_strengths,
    check_vectors,
)
from orchestrator.sweep_file.models import ModelVariant, SweepModel, families, variant_name
from orchestrator.sweep_file.own_interventions import named_with_code
from orchestrator.sweep_file.problems import problems_of
from orchestrator.sweep_file.schema import BehaviorUse, Choose, MethodEntry, Multipliers, SearchEntry, SteerEntry, Transfer
from orchestrator.sweep_file.sections import Sections
from orchestrator.sweep_file.together import At, GridDefaults, check_together, parts_of
from orchestrator.sweep_file.vector_files import VectorFiles


class GridResolver:
    """Resolves one grid of a file after the other. Problems go to the sections they were found in."""

    def __init__(
        self,
        models: Mapping[str, SweepModel],
        shapes: Mapping[str, ModelShape],
        behaviors: BehaviorFiles,
        files: VectorFiles,
        folder: Folder,
    ) -> None:
        self._models, self._shapes, self._behaviors, self._files = models, shapes, behaviors, files
        self._folder = folder
        self._earlier: dict[str, Grid] = {}

    def resolve(self, number: int, view: Sections) -> Grid:
        """The grid of ``view``; look at its problems before using it."""
        keys = self._model_keys(view)
        search: SearchEntry | None = view.own("search")
        choose = self._choose(view)
        steer: Sequence[SteerEntry] | None = view.valid("steer")
        axis = self._axis(view, choose, keys)
        multipliers = self._multipliers(view, choose, search, keys)
        quantizations = view.own("quantizations")
        variants = [one for key in keys if key in self._models for one in self._models[key].variants(quantizations)]
        self._check_stored(view, variants)
        decoding = view.valid("decoding")
        grid = Grid(
            name=view.own("name") or f"grid-{number + 1}",
            path=view.path,
            variants=tuple(variants),
            behaviors=tuple(self._behavior_prompts(view)),
            methods=tuple(_methods(view, self._files)),
            axis=axis,
            scopes=tuple(dict.fromkeys(view.valid("scope") or ())),
            multipliers=multipliers,
            actions=tuple(_actions(view, self._folder)),
            decoding=Decoding() if decoding is None else Decoding(**decoding.model_dump()),
            extractor=view.valid("extractor") or "nnsight",
            baseline=bool(view.valid("baseline")),
            transfer=view.valid("transfer") or Transfer(),
            choose=choose,
            search=search,
            orthogonal=bool(view.valid("orthogonalize")),
        )
        grid = replace(grid, files=self._files.of(grid.methods))
        if steer is not None:
            shapes = {key: self._shapes[key] for key in keys if key in self._shapes}
            places = [*(At(one, None) for one in axis.depths), *(At(None, one) for one in axis.layers)]
            said = GridDefaults(grid.methods, places, grid.scopes, grid.actions, grid.decoding.most_tokens, self._folder)
            grid = replace(grid, together=parts_of(view, said, steer, self._behaviors, shapes))
        self._check(view, grid, keys)
        return grid

    def _check_stored(self, view: Sections, variants: Sequence[ModelVariant]) -> None:
        """Report the variants of checkpoints that are stored in another quantization, each once."""
        own = view.own("quantizations") is not None
        for variant in variants:
            try:
                check_stored(variant.spec)
            except InputError as error:
                at = view.at("quantizations") if own else ("models", variant.key, "quantizations")
                for problem in error.problems:
                    if not any(problem.message == known.message for known in view.problems):
                        view.report(at, problem.message, allowed=problem.allowed)

    # --- what a grid runs over

    def _choose(self, view: Sections) -> Choose | None:
        """What the grid chooses; from a search, within the search's own bounds where it names none."""
        choose: Choose | None = view.own("choose")
        origin = None if choose is None else self._earlier.get(choose.origin)
        if choose is None or origin is None or origin.search is None or choose.kl is not None:
            return choose
        bounds = {key: getattr(origin.search, key) for key in ("max_garbled", "max_kl") if key not in choose.model_fields_set}
        return choose.model_copy(update=bounds)

    def _model_keys(self, view: Sections) -> list[str]:
        """The keys of the grid's models, as far as the file has them."""
        written = list(view.raw("models"))
        asked = view.own("models")
        if asked is None:
            return [name for name in written if name not in self._models or self._models[name].steered]
        for number, name in enumerate(asked):
            if name not in written:
                view.report_unknown(view.at("models", number), name, "model", written)
        return [name for name in dict.fromkeys(asked) if name in written]

    def _behavior_prompts(self, view: Sections) -> Iterator[BehaviorPrompts]:
        steered = [one.behavior for one in view.valid("steer") or () if one.behavior in self._behaviors.known]
        uses = view.own("behaviors") or {key: BehaviorUse() for key in dict.fromkeys(steered or self._behaviors.known)}
        for key, use in uses.items():
            at = view.at("behaviors", key)
            if key not in self._behaviors.known:
                view.report_unknown(at, key, "behavior", self._behaviors.known)
            elif found := self._behaviors.selected(key, use.split, at):
                yield found

    def _axis(self, view: Sections, choose: Choose | None, keys: Sequence[str]) -> LayerAxis:
        depths, layers = view.valid("depths"), view.valid("layers")
        if choose is not None and choose.layer is not None:
            for key in ("depths", "layers"):
                if view.own(key) is not None:
                    view.report(view.at(key), f"the layer is chosen from grid {choose.origin}", allowed="no layers of its own")
            return LayerAxis()
        instead = ("depths", "layers", "steer", *(("choose",) if choose is None else ()))  # a choice that is not valid by itself
        if depths is None and layers is None and not any(map(view.given, instead)):
            view.report(
                (*view.path, "layers"), "no layers to steer at", allowed="depths: [0.5, ...] or layers: [15, ...], or both"
            )
        for number, layer in enumerate(layers or ()):
            short = {
                key: self._shapes[key].n_layers for key in keys if key in self._shapes and layer >= self._shapes[key].n_layers
            }
            if short:
                models = ", ".join(f"model {key} has {count} layers" for key, count in short.items())
                allowed = f"0..{min(short.values()) - 1}"
                view.report(view.at("layers", number), f"layer {layer} is out of range: {models}", layer, allowed=allowed)
        numbers = tuple(layer for layer in layers or () if layer != AUTO)
        return LayerAxis(depths or (), numbers, AUTO in (layers or ()))

    def _multipliers(
        self, view: Sections, choose: Choose | None, search: SearchEntry | None, keys: Sequence[str]
    ) -> Multipliers | None:
        if search is not None:
            if view.own("multipliers") is not None:
                view.report(view.at("multipliers"), "the multipliers are searched", allowed="their range in search: multiplier")
            self._check_models(view, search.multiplier, keys, ("search", "multiplier"))
            return None
        multipliers: Multipliers | None = view.valid("multipliers")
        if choose is not None and choose.multiplier is not None:
            if view.own("multipliers") is not None:
                view.report(
                    view.at("multipliers"), f"the multiplier is chosen from grid {choose.origin}", allowed="around: [...]"
                )
            return None
        if multipliers is None:
            instead = ("multipliers", "search", "steer", *(("choose",) if choose is None else ()))
            if not any(map(view.given, instead)):
                view.report((*view.path, "multipliers"), "'multipliers' is missing", allowed="multipliers: [8, 15], or by family")
            return None
        self._check_models(view, multipliers, keys, ("multipliers",))
        return multipliers

    def _check_models(self, view: Sections, multipliers: Multipliers, keys: Sequence[str], at: tuple[str, ...]) -> None:
        """Report names in ``multipliers`` that nothing has, and models of the grid that it has none for."""
        known = {"families": families(self._shapes), "models": sorted(self._shapes)}
        everything_known = len(self._shapes) == len(view.raw("models"))
        for section, names in known.items():
            for name in getattr(multipliers, section):
                if name not in names and everything_known:
                    kind = "model" if section == "models" else "family"
                    view.report_unknown(view.at(*at, section, name), name, kind, names)
        for key in keys:
            shape = self._shapes.get(key)
            if shape is not None and not multipliers.of(key, shape.family):
                allowed = f"multipliers: default, families: {shape.family}, or models: {key}"
                view.report(view.at(*at), f"no multipliers for model {key}", allowed=allowed)

    # --- checks across a grid's sections

    def _check(self, view: Sections, grid: Grid, keys: Sequence[str]) -> None:
        multipliers: Multipliers | None = view.valid("multipliers")
        if grid.search is not None:
            check_search(view, grid, grid.search)
        elif multipliers is not None and (grid.choose is None or grid.choose.multiplier is None):
            for intervention in dict.fromkeys(action.intervention for action in grid.actions):
                check_strengths(view, intervention, multipliers)
        check_actions(view, grid)
        if grid.axis.auto:
            check_auto(view, grid)
        check_vectors(view, grid)
        steered = len(view.valid("steer") or ())
        unfit = {
            "choose": ("directions together are not chosen", grid.choose is not None, "multipliers as numbers in steer"),
            "search": ("directions together are not searched", grid.search is not None, "lists of multipliers in steer"),
            "transfer": ("directions together are each model's own", grid.transfer != Transfer(), "transfer in another grid"),
        }
        check_together(view, steered, unfit)
        self._check_transfer(view, grid, keys)
        if grid.choose is not None:
            self._check_choice(view, grid, grid.choose)
        if view.own("name") is not None and grid.name in self._earlier:
            view.report(view.at("name"), "this grid's name is already taken", grid.name, allowed="one name per grid")
        self._earlier.setdefault(grid.name, grid)

    def _check_transfer(self, view: Sections, grid: Grid, keys: Sequence[str]) -> None:
        if len(self._models) < len(view.raw("models")):
            return
        names = [*keys, *(variant.name for variant in grid.variants if "/" in variant.name)]
        names += [variant_name(key, form) for key in keys for form in self._models[key].quantizations if not view.path]
        for number, pair in enumerate(grid.transfer.pairs or ()):
            for side in ("source", "target"):
                name = getattr(pair, side)
                if name not in names:
                    view.report_unknown(view.at("transfer", number, side), name, "model", names)

    def _check_choice(self, view: Sections, grid: Grid, choose: Choose) -> None:
        check_measured(view, "choose", max_kl=choose.max_kl, kl=choose.kl)
        origin = self._earlier.get(choose.origin)
        if origin is None:
            view.report_unknown(view.at("choose", "from"), choose.origin, "earlier grid", list(self._earlier))
            return
        check_origin(view, grid, choose, origin)


def _actions(view: Sections, folder: Folder) -> Iterator[Action]:
    """Every combination of what the keys of an action say; own interventions are of files below ``folder``."""
    given = {key: value for key in ACTION_KEYS if (value := view.valid(key)) is not None}
    code = ""
    if "intervention" in given:
        given["intervention"], code = named_with_code(view, view.at("intervention"), given["intervention"], folder)
    lists = [dict.fromkeys(value if isinstance(value, tuple) else (value,)) for value in given.values()]
    found = (Action(1.0, **dict(zip(given, values, strict=True)), code=code) for values in itertools.product(*lists))
    yield from dict.fromkeys(map(_without_idle_schedule, found))


def _without_idle_schedule(action: Action) -> Action:
    """A schedule is whole in the prompt: where nothing of the answer is steered, it is the constant one."""
    first, until = Positions.of(action.positions).generated
    return action if first < until else replace(action, schedule=CONSTANT)


def _methods(view: Sections, files: VectorFiles) -> Iterator[tuple[str, Options]]:
    entries: Sequence[MethodEntry] = view.valid("methods") or ()
    for number, entry in enumerate(entries):
        section = METHODS[entry.name].options
        try:
            options = section.model_validate(entry.options)
        except ValidationError as error:
            view.problems += problems_of(error, view.document, section, view.at("methods", number, "options"))
            continue
        if isinstance(options, FileOptions):
            used = files.used(options, view, view.at("methods", number))
            if used is not None:
                yield entry.name, used.options
        else:
            yield entry.name, tuple(sorted(options.content.items()))
