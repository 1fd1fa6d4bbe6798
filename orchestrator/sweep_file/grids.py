"""The grids of a sweep file, each with what it runs over; and what is wrong with one grid across its sections."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path as Folder

from pydantic import ValidationError

from actors.curves import CURVE
from actors.interventions import INTERVENTIONS, Intervention
from actors.methods import METHODS
from actors.methods.file import FileOptions
from actors.positions import Positions
from actors.schedules import CONSTANT, Schedule
from actors.sites import EVERYWHERE, OUTPUT, of_heads
from actors.types import Action, Decoding, ExtractorName
from orchestrator.cells import Options, Scope
from orchestrator.errors import InputError
from orchestrator.models.files import ModelShape, check_stored
from orchestrator.models.layers import places, steered_layers
from orchestrator.sweep_file.behaviors import BehaviorFiles, BehaviorPrompts
from orchestrator.sweep_file.fields import AUTO
from orchestrator.sweep_file.models import ModelVariant, SweepModel, families, variant_name
from orchestrator.sweep_file.own_interventions import named_with_code
from orchestrator.sweep_file.problems import problems_of
from orchestrator.sweep_file.schema import BehaviorUse, Choose, MethodEntry, Multipliers, SearchEntry, SteerEntry, Transfer
from orchestrator.sweep_file.sections import Path, Sections
from orchestrator.sweep_file.together import At, GridDefaults, SteerPart, check_head, check_together, parts_of
from orchestrator.sweep_file.vector_files import METHOD, UsedVectors, VectorFiles, ranges

ACTION_KEYS = tuple(name for name in Action.names() if name != "multiplier")
"""The keys of a grid that say what is done with a direction; of some a grid may list several values."""


@dataclass(frozen=True)
class LayerAxis:
    """The layer axis as it is written: ``depths``, absolute ``layers``, and whether the method's own (``auto``) is among them."""

    depths: tuple[float, ...] = ()
    layers: tuple[int, ...] = ()
    auto: bool = False


@dataclass(frozen=True)
class Grid:
    """One grid of a sweep: the product of its axes. ``path`` is where it stands in the file (``()``: the top level).

    ``actions``: of its cells, but for their multiplier. With ``choose`` its layers, its multipliers or both come from an earlier
    grid's cells, and the axis here may be empty. With ``search`` the cells are its trials, and there
    are no multipliers. With ``together`` its cells are steered by these parts at once, ``orthogonal`` or not; its own axis and
    multipliers may then be empty, and its ``behaviors`` say whose test prompts are asked. ``files``: those that methods take
    their vectors from.
    """

    name: str
    path: Path
    variants: tuple[ModelVariant, ...]
    behaviors: tuple[BehaviorPrompts, ...]
    methods: tuple[tuple[str, Options], ...]
    axis: LayerAxis
    scopes: tuple[Scope, ...]
    multipliers: Multipliers | None
    actions: tuple[Action, ...]
    decoding: Decoding
    extractor: ExtractorName
    baseline: bool
    transfer: Transfer
    choose: Choose | None
    search: SearchEntry | None = None
    together: tuple[SteerPart, ...] = ()
    orthogonal: bool = False
    files: tuple[UsedVectors, ...] = ()

    def vectors_of(self, method: tuple[str, Options]) -> UsedVectors | None:
        """The file that a method takes its vectors from; None where it finds its own."""
        return next((used for used in self.files if (METHOD, used.options) == method), None)

    def multipliers_of(self, model: ModelVariant) -> tuple[float, ...]:
        """Those of one of its models, as written; none where they are chosen."""
        return () if self.multipliers is None else self.multipliers.of(model.key, model.shape.family) or ()


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
            view.report(view.path, "no layers to steer at", allowed="depths: [0.5, ...] or layers: [15, ...], or both")
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
            _check_search(view, grid, grid.search)
        elif multipliers is not None and (grid.choose is None or grid.choose.multiplier is None):
            for intervention in dict.fromkeys(action.intervention for action in grid.actions):
                _check_strengths(view, intervention, multipliers)
        _check_actions(view, grid)
        if grid.axis.auto:
            _check_auto(view, grid)
        _check_vectors(view, grid)
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
        _check_measured(view, "choose", max_kl=choose.max_kl, kl=choose.kl)
        origin = self._earlier.get(choose.origin)
        if origin is None:
            view.report_unknown(view.at("choose", "from"), choose.origin, "earlier grid", list(self._earlier))
            return
        own = origin.scopes == grid.scopes == ("own",)
        if not own and (len(origin.scopes) > 1 or origin.scopes[:1] in (("list",), ("own",))):
            allowed = "a grid with the one scope from_layer or single, or with own for a grid of that scope"
            view.report(view.at("choose", "from"), f"grid {origin.name} does not vary one layer", choose.origin, allowed=allowed)
        if choose.kl is not None:
            _check_matching(view, grid, origin)
        for key in ACTION_KEYS:
            theirs, ours = ({getattr(action, key) for action in one.actions} for one in (origin, grid))
            if not ours <= theirs:
                said = [", ".join(sorted(map(_written, values))) for values in (theirs, ours)]
                message = f"grid {origin.name} has the {key} {said[0]}, this one {said[1]}"
                view.report(view.at("choose", "from"), message, allowed=f"the same {key}")
        missing = list(_without_origin(grid, choose, origin))
        if missing:
            allowed = "models, behaviors and methods of that grid"
            view.report(view.at("choose", "from"), f"grid {origin.name} does not run {', '.join(missing)}", allowed=allowed)


def _written(value: str | bool) -> str:
    """As a sweep file has it."""
    return str(value).lower() if isinstance(value, bool) else value


def origin_variant(choose: Choose, variant: ModelVariant) -> str:
    """The name of the variant whose cells choose for ``variant``."""
    return variant.name if choose.quantization is None else variant_name(variant.key, choose.quantization)


def _without_origin(grid: Grid, choose: Choose, origin: Grid) -> Iterator[str]:
    """What ``grid`` runs and ``origin`` has no cells for."""
    variants = {variant.name for variant in origin.variants}
    yield from dict.fromkeys(f"model {name}" for one in grid.variants if (name := origin_variant(choose, one)) not in variants)
    behaviors = {found.key for found in origin.behaviors}
    yield from (f"behavior {found.key}" for found in grid.behaviors if found.key not in behaviors)
    if choose.method is not None:
        if sum(name == choose.method for name, _ in origin.methods) != 1:
            yield f"method {choose.method} once"
    else:
        yield from (
            f"method {name} with these options" for name, options in grid.methods if (name, options) not in origin.methods
        )


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


def _check_vectors(view: Sections, grid: Grid) -> None:
    """Report the layers of the grid that a file of vectors lacks; of models that it does not fit nothing is run anyway."""
    for used in grid.files:
        for model in grid.variants:
            n_layers = model.shape.n_layers
            found = [place.layer for place in places(grid.axis.depths, grid.axis.layers, n_layers)]
            wanted = {layer for layer in found if grid.scopes != ("own",)}
            wanted |= {layer for first in found if "own" in grid.scopes for layer in range(first, n_layers)}
            missing = wanted - set(used.layers)
            if missing and used.misfit(model) is None:
                lacks = f"{used.name} has no vector for layer {ranges(missing)} of model {model.name}"
                view.report(view.at("layers" if grid.axis.layers else "depths"), lacks, allowed=ranges(used.layers))


def _check_auto(view: Sections, grid: Grid) -> None:
    number = (view.valid("layers") or ()).index(AUTO)
    none = [name for name, _ in grid.methods if not getattr(METHODS[name], "selects_layer", False)]
    if none:
        those = [name for name, method in METHODS.items() if getattr(method, "selects_layer", False)]
        message = f"'auto' needs methods that select a layer; {', '.join(none)} select{'s' if len(none) == 1 else ''} none"
        view.report(view.at("layers", number), message, allowed=f"auto in a grid of {' and '.join(those) or 'no method yet'}")
    unfit = [scope for scope in grid.scopes if scope not in ("from_layer", "single")]
    if unfit:
        view.report(view.at("layers", number), f"'auto' does not go with scope {', '.join(unfit)}", allowed="from_layer, single")


def _check_search(view: Sections, grid: Grid, search: SearchEntry) -> None:
    _check_measured(view, "search", max_kl=search.max_kl)
    for intervention in dict.fromkeys(action.intervention for action in grid.actions):
        _check_strengths(view, intervention, search.multiplier, ("search", "multiplier"))
    unfit = {
        "choose": ("a grid searches or chooses", grid.choose is not None, "the search in a grid, what it found in a later one"),
        "scope": ("a search has one scope", len(grid.scopes) > 1, "a grid for each scope"),
        **{
            key: (f"a search has one {key}", len({getattr(one, key) for one in grid.actions}) > 1, "a grid for each")
            for key in ("positions", "schedule", "site")
        },
        "transfer": (
            "a search steers every model with its own directions",
            grid.transfer != Transfer(),
            "transfer in another grid",
        ),
        "layers": ("a search goes over layers in their order, which 'auto' has none in", grid.axis.auto, "layers by number"),
        "search": ("Optuna is not installed", find_spec("optuna") is None, "pip install 'activation-steering-sweeps[search]'"),
    }
    for key, (message, wrong, allowed) in unfit.items():
        if wrong:
            view.report(view.at(key), message, allowed=allowed)


def _check_measured(view: Sections, section: str, **given: float | None) -> None:
    for key, kl in given.items():
        if kl is not None and view.valid("damage") is None:
            message = "nothing measures it: the sweep has no 'damage'"
            view.report(view.at(section, key), message, kl, allowed=f"damage: true beside the grids, or no {key}")


def _check_matching(view: Sections, grid: Grid, origin: Grid) -> None:
    """What must be so of an earlier grid whose settings say which multiplier does a given damage."""
    lists = origin.multipliers if origin.search is None else origin.search.multiplier
    found = () if lists is None else (lists.default or (), *lists.families.values(), *lists.models.values())
    if any(min(one) < 0 < max(one) for one in found if one):
        message = f"grid {origin.name} steers both ways, each with a damage of its own"
        view.report(view.at("choose", "from"), message, origin.name, allowed="a grid with multipliers of one sign")
    if grid.scopes != origin.scopes:
        said = " and ".join(", ".join(one.scopes) for one in (origin, grid))
        message = f"another scope does other damage: {said}"
        view.report(view.at("choose", "from"), message, origin.name, allowed="a grid of the same scope")


def _check_actions(view: Sections, grid: Grid) -> None:
    """What the keys of an action forbid each other."""
    action = grid.actions[0]
    of = _kind(action)
    words = {"share": f"{action.intervention} takes a share of the component", "degrees": f"{action.intervention} takes an angle"}
    scaled = [("strength", "relative", action.strength == "relative"), ("scales", action.scales, action.scales != "none")]
    for key, value, given in scaled:
        if given and of.unit in words:
            message = f"{words[of.unit]}, which no length scales"
            view.report(view.at(key), message, value, allowed="it beside interventions of a length, as addition")
    if (action.strength == "relative" or of.needs) and (grid.transfer.everything or grid.transfer.pairs):
        key, value = ("strength", "relative") if action.strength == "relative" else ("intervention", action.intervention)
        what = "norms" if key == "strength" else "residual stream"
        message = f"a direction knows the {what} of its own model, not of the one that it is transferred to"
        view.report(view.at(key), message, value, allowed="absolute addition in a grid with transfer")
    for found in () if view.valid("steer") else dict.fromkeys(one.scales for one in grid.actions):
        _check_scales(view, grid, found)
    _check_sites(view, grid)
    if action.intervention == CURVE:
        _check_curve(view, grid)
    if action.intervention == "replacement" and any(one.schedule != "constant" for one in grid.actions):
        message = "a replacement that fades would leave nothing in its place"
        view.report(view.at("schedule"), message, allowed="constant beside replacement")
    for action in grid.actions:
        if not Positions.of(action.positions).acts(grid.decoding.most_tokens):
            tokens = f"an answer has at most {grid.decoding.most_tokens} tokens, the last of which is not read again"
            view.report(view.at("positions"), f"nothing would be steered: {tokens}", action.positions, allowed="earlier tokens")
        first, until = Positions.of(action.positions).generated
        if first < until and first >= Schedule.of(action.schedule).linear:
            message = f"nothing is left of it where {action.positions} acts in the answer"
            view.report(view.at("schedule"), message, action.schedule, allowed="a longer one, or earlier positions")


def _check_scales(view: Sections, grid: Grid, scales: str) -> None:
    """A list of scales has one for each layer that a cell steers."""
    if scales in ("none", "raw_norm") or not view.whole("layers", "depths", "scope"):
        return
    given = scales.count(",") + 1
    counts = set[int]()
    for model, scope in itertools.product(grid.variants, grid.scopes):
        n_layers, axis = model.shape.n_layers, places(grid.axis.depths, grid.axis.layers, model.shape.n_layers)
        one_each = (len(steered_layers(scope, place.layer, n_layers)) for place in axis)
        counts |= {len({place.layer for place in axis})} if scope == "list" else set(one_each)
    if counts - {given} or grid.axis.auto:
        message = f"{given} scales, but cells steer {', '.join(map(str, sorted(counts)))} layers"
        view.report(view.at("scales"), message, scales, allowed="one for each steered layer, or raw_norm")


def _check_sites(view: Sections, grid: Grid) -> None:
    """What sites forbid: of the action, and of the methods whose directions act there."""
    sites = list(dict.fromkeys(one.site for one in grid.actions))
    if EVERYWHERE in sites and grid.actions[0].intervention != "ablation":
        message = f"{grid.actions[0].intervention} would act at every part of a block"
        view.report(view.at("site"), message, EVERYWHERE, allowed="everywhere beside ablation")
    if any(of_heads(site) for site in sites) and (grid.transfer.everything or grid.transfer.pairs):
        view.report(view.at("site"), "heads of two models do not correspond", allowed="no heads in a grid with transfer")
    shapes = {one.key: one.shape for one in grid.variants}
    for site in () if view.valid("steer") else sites:
        check_head(view, view.at("site"), site, shapes)
    for number, (name, options) in enumerate(grid.methods):
        read = dict(options).get("site")
        check_head(view, view.at("methods", number), str(read or ""), shapes)
        _check_site_told(view, number, grid.vectors_of((name, options)), [str(read)] if read else sites)
        apart = [site for site in sites if (read or site) not in (site, OUTPUT if site == EVERYWHERE else site)]
        elsewhere = [one for one in ([read] if read else sites) if one not in (OUTPUT, EVERYWHERE)]
        if METHODS[name].reads_positions and elsewhere:
            message = f"{name} tries its directions at block outputs"
            view.report(view.at("site"), message, allowed="output or everywhere beside it; or another method")
        elif apart and (grid.actions[0].strength == "relative" or _kind(grid.actions[0]).needs in ("positive", "negative")):
            message = f"{name} reads at {read}, and knows nothing of the activations at {', '.join(apart)}"
            view.report(view.at("methods", number), message, allowed="one site for both, or absolute addition")


def _check_site_told(view: Sections, number: int, used: UsedVectors | None, sites: Sequence[str]) -> None:
    """A file of vectors that says of which site they are steers at no other, unless the method's own ``site`` names it."""
    wanted = [site for site in (OUTPUT if site == EVERYWHERE else site for site in sites) if used and used.site not in ("", site)]
    if used and wanted:
        message = f"{used.name} says that its vectors are of site {used.site}, not of {', '.join(dict.fromkeys(wanted))}"
        view.report(view.at("methods", number), message, allowed=f"site: {used.site} in the grid, or in the method's options")


def _kind(action: Action) -> Intervention:
    """What the registry says of an action's intervention; a function of the user's own takes a length."""
    return INTERVENTIONS.get(action.intervention, INTERVENTIONS["addition"])


def _check_curve(view: Sections, grid: Grid) -> None:
    """What does not go with replacing the stream's part in a layer's subspace."""
    others = [name for name, _ in grid.methods if name != CURVE]
    if others:
        message = f"method {', '.join(others)} fits no curve to steer along"
        view.report(view.at("intervention"), message, CURVE, allowed="methods: [curve] in that grid")
    if "from_layer" in grid.scopes:
        message = "a curve is of one layer: scope from_layer would put its activations into later ones"
        view.report(view.at("scope"), message, allowed="own, single or list beside intervention curve")
    for key, value, plain in (("strength", grid.actions[0].strength, "absolute"), ("scales", grid.actions[0].scales, "none")):
        if value != plain:
            view.report(view.at(key), "a curve has its own lengths", value, allowed=f"{plain} beside intervention curve")
    if grid.transfer != Transfer():
        view.report(view.at("transfer"), "a curve is of its own model's activations", allowed="no transfer in that grid")


def _check_strengths(
    view: Sections, intervention: str, multipliers: Multipliers, where: tuple[str, ...] = ("multipliers",)
) -> None:
    lists: dict[Path, Sequence[float]] = {("default",): multipliers.default or ()}
    lists |= {("families", name): values for name, values in multipliers.families.items()}
    lists |= {("models", name): values for name, values in multipliers.models.items()}
    for path, values in lists.items():
        for number, value in enumerate(values):
            at = view.at(*where, *path, number)
            if intervention == "ablation" and not 0 <= value <= 1:
                view.report(at, "out of range for ablation", value, allowed="0 (nothing) to 1 (the whole component removed)")
            elif _kind(Action(1.0, intervention)).unit == "share" and not 0 <= value <= 1:
                view.report(at, f"out of range for {intervention}", value, allowed="0 (nothing) to 1 (all the way)")
            if intervention == CURVE and value == 0:
                message = "0 stands for the unsteered baseline, and is the middle of a curve"
                view.report(at, message, value, allowed="1 (the positive class), -1 (the negative one), or 0.01")
            if intervention == "replacement" and value == 0:
                view.report(at, "replacement by nothing", value, allowed="a multiplier that is not 0")
