"""What is wrong with one grid across its sections: what its keys forbid each other, and what an earlier grid lacks of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from actors.curves import CURVE
from actors.interventions import INTERVENTIONS, Intervention
from actors.methods import METHODS
from actors.positions import Positions
from actors.schedules import Schedule
from actors.sites import EVERYWHERE, OUTPUT, of_heads
from actors.types import Action
from orchestrator.models.layers import places, steered_layers
from orchestrator.sweep_file.fields import AUTO
from orchestrator.sweep_file.grid import ACTION_KEYS, Grid
from orchestrator.sweep_file.models import ModelVariant, variant_name
from orchestrator.sweep_file.schema import Choose, Multipliers, SearchEntry, Transfer
from orchestrator.sweep_file.sections import Path, Sections
from orchestrator.sweep_file.together import check_head
from orchestrator.sweep_file.vector_files import UsedVectors, ranges


def check_vectors(view: Sections, grid: Grid) -> None:
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


def check_auto(view: Sections, grid: Grid) -> None:
    """Report what does not go with layers that the methods choose."""
    number = (view.valid("layers") or ()).index(AUTO)
    none = [name for name, _ in grid.methods if not getattr(METHODS[name], "selects_layer", False)]
    if none:
        those = [name for name, method in METHODS.items() if getattr(method, "selects_layer", False)]
        message = f"'auto' needs methods that select a layer; {', '.join(none)} select{'s' if len(none) == 1 else ''} none"
        view.report(view.at("layers", number), message, allowed=f"auto in a grid of {' and '.join(those) or 'no method yet'}")
    unfit = [scope for scope in grid.scopes if scope not in ("from_layer", "single")]
    if unfit:
        view.report(view.at("layers", number), f"'auto' does not go with scope {', '.join(unfit)}", allowed="from_layer, single")


def check_search(view: Sections, grid: Grid, search: SearchEntry) -> None:
    """Report what does not go with a search."""
    check_measured(view, "search", max_kl=search.max_kl)
    for intervention in dict.fromkeys(action.intervention for action in grid.actions):
        check_strengths(view, intervention, search.multiplier, ("search", "multiplier"))
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


def check_measured(view: Sections, section: str, **given: float | None) -> None:
    """Report bounds on damage where the sweep measures none; ``given``: by their keys in ``section``."""
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


def check_actions(view: Sections, grid: Grid) -> None:
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


def check_strengths(
    view: Sections, intervention: str, multipliers: Multipliers, where: tuple[str, ...] = ("multipliers",)
) -> None:
    """Report multipliers, of the lists ``where`` they stand, that an intervention cannot take."""
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


def check_origin(view: Sections, grid: Grid, choose: Choose, origin: Grid) -> None:
    """Report what does not go with the earlier grid that ``grid`` chooses from."""
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


def _without_origin(grid: Grid, choose: Choose, origin: Grid) -> Iterator[str]:
    """What ``grid`` runs and ``origin`` has no cells for."""
    variants = {variant.name for variant in origin.variants}
    yield from dict.fromkeys(f"model {name}" for one in grid.variants if (name := _origin_variant(choose, one)) not in variants)
    behaviors = {found.key for found in origin.behaviors}
    yield from (f"behavior {found.key}" for found in grid.behaviors if found.key not in behaviors)
    if choose.method is not None:
        if sum(name == choose.method for name, _ in origin.methods) != 1:
            yield f"method {choose.method} once"
    else:
        yield from (
            f"method {name} with these options" for name, options in grid.methods if (name, options) not in origin.methods
        )


def _origin_variant(choose: Choose, variant: ModelVariant) -> str:
    """The name of the variant whose cells choose for ``variant``."""
    return variant.name if choose.quantization is None else variant_name(variant.key, choose.quantization)
