"""Sweeps of several grids: what a grid takes from the top level, how cells unite, and automatic layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.errors import JobError
from actors.types import Direction, DirectionSet
from orchestrator.cells import SELECTED, Cell, LayerSpan, SteeringSpec, content_id, model_identity, variant_id
from orchestrator.errors import InputError
from orchestrator.plan import Plan
from orchestrator.results.placing import placed
from orchestrator.results.rows import SteeredAt, steered_at
from orchestrator.scheduling.jobs import steering_of
from tests.orchestrator.sweep_files import EMBEDDED, hub, plan_of, sweep_data, write_sweep

MODELS = {"b": {**hub("b"), "quantizations": ["none", "nf4"]}, "c": hub("c", 36)}


def ids(plan: Plan) -> set[str]:
    return {cell.id for cell in plan.cells}


def steered(plan: Plan) -> list[Cell]:
    return [cell for cell in plan.cells if cell.steering is not None]


def summary(plan: Plan) -> list[tuple[str, str, str, float | None, float]]:
    """(model, quantization, method, depth, multiplier) of each steered cell."""
    return [
        (
            cell.labels.model,
            cell.target.quantization,
            cell.steering.direction.method,
            cell.labels.depth,
            cell.steering.action.multiplier,
        )
        for cell in plan.cells
        if cell.steering is not None
    ]


def refused(folder: Path, **changes: object) -> list[str]:
    with pytest.raises(InputError) as caught:
        plan_of(folder, **changes)
    return str(caught.value).splitlines()


# --- grids


def test_positions_are_an_axis_and_all_of_them_is_as_before(tmp_path: Path) -> None:
    plain = plan_of(tmp_path / "a")
    assert ids(plan_of(tmp_path / "b", positions="all")) == ids(plain)
    both = plan_of(tmp_path / "c", positions=["all", "generation+last_prompt", {"first": 8}, {"first": 8}])
    assert ids(plain) < ids(both)
    at = [cell.steering.action.positions for cell in steered(both) if cell.steering]
    assert {one: at.count(one) for one in at} == {"all": 4, "last_prompt+generation": 4, "first:8": 4}


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("generated", ("positions", "'generated' are unknown", "did you mean 'generation'?")),
        ("last_prompt+generatio", ("positions", "'generatio' are unknown", "did you mean 'generation'?")),
        ({"first": 0}, ("positions", "need a count", "{first: 8}")),
        (8, ("positions", "at which tokens", "allowed: all, prompt")),
        (["all", {"from": 99}], ("positions", "nothing would be steered", "at most 100 tokens")),
    ],
)
def test_positions_that_are_none_are_told(value: object, parts: tuple[str, ...], tmp_path: Path) -> None:
    told = refused(tmp_path, positions=value)
    assert any(all(part in line for part in parts) for line in told), told


def test_a_sweep_of_one_grid_is_the_sweep_itself(tmp_path: Path) -> None:
    flat = plan_of(tmp_path / "a")
    assert [cell.id for cell in plan_of(tmp_path / "b", grids=[{}]).cells] == [cell.id for cell in flat.cells]
    moved = plan_of(tmp_path / "c", layers=None, multipliers=None, grids=[{"layers": [9, 12], "multipliers": [4, 8]}])
    assert ids(moved) == ids(flat)


def test_grids_unite_by_id_and_each_has_its_own_axes(tmp_path: Path) -> None:
    grids = [
        {"models": ["b"], "quantizations": ["none"], "depths": [0.5]},
        {"models": ["b"], "depths": [0.5, 0.6], "multipliers": [25]},
        {"models": "c", "methods": ["random"], "layers": [3], "baseline": False},
    ]
    plan = plan_of(tmp_path, models=MODELS, layers=None, depths=[0.1], multipliers=[15], grids=grids)
    found = summary(plan)
    assert len(found) == len(set(found)) == len(steered(plan))
    assert found == [
        ("b", "none", "dim", 0.5, 15.0),
        ("b", "none", "dim", 0.5, 25.0),
        ("b", "none", "dim", 0.6, 25.0),
        ("b", "nf4", "dim", 0.5, 25.0),
        ("b", "nf4", "dim", 0.6, 25.0),
        ("c", "none", "random", 3 / 36, 15.0),
    ]
    unsteered = [cell.labels.model for cell in plan.cells if cell.steering is None]
    assert unsteered == ["b", "b"], "the baselines of both quantizations, none of c"


def test_either_of_depths_and_layers_replaces_both(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, layers=[9], depths=[0.9], grids=[{"layers": [3]}, {"depths": [0.2]}])
    assert {cell.steering.source_layer for cell in steered(plan) if cell.steering} == {3, 6}


def test_a_profile_is_ten_per_cent_steps(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, models={"c": hub("c", 36)}, layers=None, depths="profile", multipliers=[15])
    layers = [cell.steering.source_layer for cell in steered(plan) if cell.steering]
    assert layers == [3, 7, 10, 14, 18, 21, 25, 28, 32]


def test_negative_multipliers_ablation_and_scopes_in_one_sweep(tmp_path: Path) -> None:
    grids = [
        {"multipliers": [-8]},
        {"intervention": "ablation", "multipliers": [1], "scope": ["from_layer", "single"]},
        {"scope": "own", "layers": [0]},
        {"scope": "list"},
    ]
    plan = plan_of(tmp_path, grids=grids, multipliers=[4], layers=[9, 12])
    found = {
        (cell.steering.action.intervention, cell.labels.scope, cell.steering.action.multiplier, len(cell.steering.layers))
        for cell in steered(plan)
        if cell.steering
    }
    assert ("addition", "from_layer", -8.0, 21) in found
    assert ("ablation", "single", 1.0, 1) in found
    assert ("addition", "own", 4.0, 30) in found
    assert ("addition", "list", 4.0, 2) in found


def test_transfer_within_a_grid_and_the_pairs_that_cannot_be_compared(tmp_path: Path) -> None:
    models = {"b": hub("b"), "c": hub("c", 36), "w": hub("w", d_model=5120)}
    grids = [{"models": ["b", "c"], "transfer": "all"}, {"models": ["b", "w"], "transfer": "all"}]
    plan = plan_of(tmp_path, models=models, layers=None, depths=[0.5], multipliers=[15], grids=grids)
    assert {(cell.labels.source_model, cell.labels.model) for cell in plan.cells if cell.is_transfer} == {("b", "c"), ("c", "b")}
    assert {(pair.source, pair.target) for pair in plan.incomparable} == {("b", "w"), ("w", "b")}


def test_a_model_in_no_grid_is_told(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, models=MODELS, layers=[3], grids=[{"models": ["b"]}])
    assert "model c is in no grid: it is not run" in plan.warnings
    assert [model.name for model in plan.models] == ["b", "b/nf4"]


@pytest.mark.parametrize(
    ("grid", "parts"),
    [
        ({"models": ["bb"]}, ("grids[0].models[0]", "unknown model", "did you mean 'b'?")),
        ({"layers": [28]}, ("grids[0].layers[0]", "layer 28 is out of range: model b has 28 layers", "0..27")),
        ({"layers": ["aut"]}, ("grids[0].layers[0]", "not a layer", "did you mean 'auto'?")),
        ({"layers": ["auto"]}, ("grids[0].layers[0]", "'auto' needs methods that select a layer; dim selects none")),
        (
            {"methods": ["cosmic"], "layers": ["auto"], "scope": "own"},
            ("grids[0].layers[0]", "'auto' does not go with scope own"),
        ),
        ({"multipliers": {"families": {"gemma": [1]}}}, ("grids[0].multipliers", "no multipliers for model b")),
        ({"intervention": "ablation"}, ("multipliers[0]", "out of range for ablation", "got 4.0")),
        ({"intervention": "affine_ablation"}, ("grids[0].intervention", "unknown intervention", "addition, ablation")),
        ({"intervention": "replacement", "multipliers": [0]}, ("grids[0].multipliers[0]", "replacement by nothing")),
        ({"behaviors": ["refusel"]}, ("grids[0].behaviors", "unknown behavior", "did you mean 'refusal'?")),
        ({"behaviors": {"refusal": {"split": "x"}}}, ("grids[0].behaviors.refusal.split", "no test prompt is of this split")),
        ({"behaviors": {"refusal": {"limit": 3}}}, ("grids[0].behaviors.refusal.limit", "unknown key", "split")),
        ({"transfer": [{"source": "b", "target": "c"}]}, ("grids[0].transfer[0].target", "unknown model", "got 'c'")),
        ({"methods": [{"name": "dim", "options": {"x": 1}}]}, ("grids[0].methods[0].options.x", "unknown key")),
        ({"damage": True}, ("grids[0].damage: unknown key here: it is of the top level (got 'damage'); allowed: name, models",)),
        ({"capability": {}}, ("grids[0].capability: unknown key here: it is of the top level",)),
        ({"scorers": ["length"]}, ("grids[0].scorers: unknown key here: it is behaviors.NAME.scorers of the top level",)),
        ({"samples": 4}, ("grids[0].samples: unknown key here: it is decoding.samples (got",)),
        ({"depth": [0.1]}, ("grids[0].depth", "unknown key", "did you mean 'depths'?")),
        ({"quantizations": ["int9"]}, ("grids[0].quantizations[0]", "did you mean 'int8'?")),
        ({"depths": "profil"}, ("grids[0].depths", "wrong type", "a list")),
        ({"site": {"head": 28}}, ("grids[0].site", "head 28 is out of range: model b has 28 heads", "{head: 0} to {head: 27}")),
        (
            {"multipliers": None, "steer": [{"behavior": "refusal", "multiplier": 4, "site": {"head": 99}}]},
            ("grids[0].steer[0].site", "head 99 is out of range: model b has 28 heads"),
        ),
        (
            {"methods": [{"name": "dim", "options": {"site": "head:99"}}]},
            ("grids[0].methods[0]", "head 99 is out of range: model b has 28 heads"),
        ),
        (
            {"choose": {"from": "b", "layer": "best"}},
            ("grids[0].choose.from", "unknown earlier grid", "allowed: nothing here: there is no earlier grid"),
        ),
    ],
)
def test_a_fault_in_a_grid_is_told_with_its_line(tmp_path: Path, grid: dict[str, object], parts: tuple[str, ...]) -> None:
    models = {"b": hub("b"), "c": hub("c", 36)}
    lines = refused(tmp_path, models=models, layers=[3], grids=[{"models": ["b"], **grid}])
    assert any(all(part in line for part in parts) for line in lines), lines
    text = (tmp_path / "sweep.yaml").read_text(encoding="utf-8").splitlines()
    first = next(line for line in lines if parts[0] in line)
    assert text[int(first.split(":")[1]) - 1].strip(), "a line of the file"


def test_without_layers_or_multipliers_every_grid_that_lacks_them_is_named(tmp_path: Path) -> None:
    lines = refused(tmp_path, layers=None, multipliers=None, grids=[{"layers": [3]}, {"multipliers": [4]}])
    assert len(lines) == 2
    assert "grids[0].multipliers: 'multipliers' is missing" in lines[0]
    assert "grids[1].layers: no layers to steer at" in lines[1]


def test_a_choice_that_is_not_valid_is_all_that_is_told_of_its_grid(tmp_path: Path) -> None:
    choose = {"from": "pilot", "layer": "best", "multiplier": "calibrated", "max_garbled": -1}
    grids = [{"name": "pilot", "layers": [3], "multipliers": [4]}, {"choose": choose}]
    (line,) = refused(tmp_path, layers=None, multipliers=None, grids=grids)
    assert "grids[1].choose.max_garbled: out of range (got -1)" in line


def test_two_grids_of_one_name_are_refused(tmp_path: Path) -> None:
    lines = refused(tmp_path, grids=[{"name": "a"}, {"name": "a"}])
    assert any("grids[1].name" in line and "already taken" in line for line in lines)


# --- automatic layers


def auto(plan: Plan) -> SteeringSpec:
    (found,) = [cell.steering for cell in steered(plan) if cell.steering and cell.steering.source_layer == SELECTED]
    return found


def selected(n_layers: int, layer: int | None) -> DirectionSet:
    vectors = np.eye(n_layers, 4, dtype=np.float32)
    vectors[:, 0] = 1
    return DirectionSet(
        tuple(Direction(number, vectors[number], 1.0) for number in range(n_layers)), (1.0,) * n_layers, selected_layer=layer
    )


def test_the_selected_layer_is_one_more_place_of_the_axis(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, methods=["cosmic"], layers=[9, "auto"], multipliers=[4])
    assert [cell.steering.source_layer for cell in steered(plan) if cell.steering] == [9, SELECTED]
    spec = auto(plan)
    assert (spec.layers, spec.span) == ((), LayerSpan("from_layer", 30, 30))
    assert len(plan.directions) == 1


def test_a_selected_layer_is_resolved_when_the_direction_is_there(tmp_path: Path) -> None:
    spec = auto(plan_of(tmp_path, methods=["cosmic"], layers=["auto"], multipliers=[4]))
    at, vectors, *_ = placed(spec, selected(30, 27))
    assert (at.layers, at.source_layer) == ((27, 28, 29), 27)
    np.testing.assert_array_equal(vectors, np.stack([selected(30, 27).at(27).vector] * 3))
    with pytest.raises(JobError, match="method cosmic selected no layer"):
        placed(spec, selected(30, None))


def test_a_single_selected_layer(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, methods=["cosmic"], layers=["auto"], multipliers=[4], scope="single")
    spec, found = auto(plan), selected(30, 11)
    assert placed(spec, found).at.layers == (11,)
    steering = steering_of(steered(plan)[0], {spec.direction.id: found}, {})
    assert steering is not None
    assert steering.layers == (11,)


def test_a_transferred_selected_layer_is_at_the_corresponding_depth(tmp_path: Path) -> None:
    models = {"b": hub("b", 64, 5120), "c": hub("c", 48, 5120)}
    pairs = [{"source": "b", "target": "c"}]
    plan = plan_of(tmp_path, models=models, methods=["cosmic"], layers=["auto"], multipliers=[15], transfer=pairs)
    (transferred,) = [cell.steering for cell in plan.cells if cell.is_transfer]
    assert transferred is not None
    assert transferred.span == LayerSpan("from_layer", 64, 48)
    assert steered_at(transferred, selected(64, 43)) == SteeredAt(tuple(range(32, 48)), 43)  # floor(43 * 48 / 64)


def test_ids_of_planned_layers_are_those_of_the_written_content(tmp_path: Path) -> None:
    """The id is assembled from cached parts: it must be the hash of the whole, and unchanged by automatic layers."""
    for cell in plan_of(tmp_path, methods=["dim", "random"], scope=["from_layer", "own"]).cells:
        steering = cell.steering
        written = {
            "target": model_identity(cell.target),
            "prompts": [[prompt.id, prompt.text] for prompt in cell.prompts],
            "decoding": {"max_new_tokens": 100},
            "steering": None
            if steering is None
            else {
                "direction": steering.direction.id,
                "source_layer": steering.source_layer,
                "layers": list(steering.layers),
                "multiplier": steering.action.multiplier,
                "intervention": "addition",
            },
        }
        assert cell.id == content_id("cell", written)


def test_what_resolves_a_selected_layer_is_part_of_the_id(tmp_path: Path) -> None:
    def plan(folder: str, **changes: object) -> set[str]:
        changes = {"methods": ["cosmic"], "layers": ["auto"], "multipliers": [4], **changes}
        return {cell.id for cell in steered(plan_of(tmp_path / folder, **changes))}

    assert not plan("a") & plan("b", scope="single")
    assert not plan("a") & plan("c", layers=[9])
    assert plan("a") == plan("d")


def test_the_same_variant_has_one_id_however_often_it_is_asked(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, models={"small": EMBEDDED})
    assert {variant_id(cell.target) for cell in plan.cells} == {plan.models[0].variant}
    assert write_sweep(tmp_path / "x", sweep_data()).is_file()


# --- strength


def test_a_schedule_that_leaves_nothing_where_it_acts_is_refused(tmp_path: Path) -> None:
    told = refused(tmp_path, positions=["generation", "last_prompt+from:8"], schedule={"linear": 8})
    assert any("schedule" in line and "nothing is left of it where last_prompt+from:8 acts" in line for line in told), told


def test_a_schedule_changes_nothing_where_no_answer_is_steered(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, positions=["prompt", "all"], schedule=["constant", {"linear": 16}])
    found = {(one.positions, one.schedule) for cell in steered(plan) if cell.steering for one in [cell.steering.action]}
    assert found == {("prompt", "constant"), ("all", "constant"), ("all", "linear:16")}


def test_a_kept_norm_makes_other_cells(tmp_path: Path) -> None:
    kept = plan_of(tmp_path / "a", keep_norm=True)
    assert ids(plan_of(tmp_path / "b", keep_norm=False)) == ids(plan_of(tmp_path / "c"))
    assert ids(kept) & ids(plan_of(tmp_path / "d")) == {cell.id for cell in kept.cells if cell.steering is None}


def test_a_relative_strength_is_of_the_norm_at_each_steered_layer(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, strength="relative", multipliers=[0.1], layers=[27], schedule=["constant", {"linear": 16}])
    assert {cell.steering.action.schedule for cell in steered(plan) if cell.steering} == {"constant", "linear:16"}
    cell = steered(plan)[0]
    assert cell.steering is not None
    norms = tuple(10.0 + layer for layer in range(30))
    found = DirectionSet(tuple(Direction(layer, np.eye(1, 4, dtype=np.float32)[0], 1.0) for layer in range(30)), norms)
    sets = {cell.steering.direction.id: found}
    relative = steering_of(cell, sets, {})
    assert relative is not None
    assert [relative.strength_at(number) for number in range(3)] == pytest.approx([3.7, 3.8, 3.9])
    plain = steering_of(steered(plan_of(tmp_path / "b", layers=[27], multipliers=[4]))[0], sets, {})
    assert plain is not None
    assert plain.scales == ()


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"strength": "relative", "intervention": "ablation", "multipliers": [1]}, ("strength", "a share of the component")),
        ({"strength": "relativ"}, ("strength", "did you mean 'relative'?")),
        ({"schedule": {"linear": 0}}, ("schedule", "from 1 to", "{linear: 32}")),
        ({"schedule": "exponental"}, ("schedule", "did you mean 'exponential'?")),
        ({"schedule": {"linear": 3}, "intervention": "replacement"}, ("schedule", "nothing in its place")),
        ({"models": MODELS, "transfer": "all", "strength": "relative"}, ("strength", "norms of its own model")),
    ],
)
def test_a_strength_that_cannot_be_is_told(changes: dict[str, object], parts: tuple[str, ...], tmp_path: Path) -> None:
    told = refused(tmp_path, **changes)
    assert any(all(part in line for part in parts) for line in told), told
