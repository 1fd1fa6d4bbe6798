"""The planner: the grid, its order, its ids, transfers, and what it refuses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from actors.types import ModelSpec, Prompt
from orchestrator.cells import Cell, DirectionSpec, content_id, model_identity, variant_id
from orchestrator.cli.plan_table import plan_json, render_plan, success_lines
from orchestrator.errors import InputError
from orchestrator.models.layers import layer_at, places
from orchestrator.plan import Plan, make_plan
from orchestrator.scoring.score import GARBLED_BY_LOSS
from orchestrator.sweep import load_sweep
from orchestrator.sweep_file.grid import LayerAxis
from tests.orchestrator.sweep_files import EMBEDDED, QWEN_7B, hub, plan_of, sweep_data, write_model, write_sweep

# The paper's own translations of depth to layer (its section 5), and where binary floats go wrong.
DEPTHS = [
    (0.6, 28, 16),
    (0.7, 36, 25),
    (0.3, 42, 12),
    (0.7, 30, 21),
    (0.29, 100, 29),
    (0.57, 100, 57),
    (0.0, 30, 0),
    (0.99, 30, 29),
]
HALVES = {"b": hub("b"), "c": hub("c", 36)}


def steered(plan: Plan) -> list[Cell]:
    return [cell for cell in plan.cells if cell.steering is not None]


def points(plan: Plan) -> list[tuple[int | str | None, tuple[int, ...], float]]:
    """(source layer, steered layers, multiplier) of each steered cell."""
    return [
        (cell.steering.source_layer, cell.steering.layers, cell.steering.action.multiplier)
        for cell in steered(plan)
        if cell.steering
    ]


def ids(plan: Plan) -> set[str]:
    return {cell.id for cell in plan.cells}


@pytest.mark.parametrize(("depth", "n_layers", "layer"), DEPTHS)
def test_a_depth_is_the_floor_of_what_is_written(depth: float, n_layers: int, layer: int) -> None:
    assert layer_at(depth, n_layers) == layer


@given(hundredths=st.integers(0, 99), n_layers=st.integers(1, 200))
def test_depths_in_hundredths_are_exact(hundredths: int, n_layers: int) -> None:
    assert layer_at(hundredths / 100, n_layers) == hundredths * n_layers // 100


@given(layers=st.lists(st.integers(0, 79), min_size=1), n_layers=st.just(80), other=st.integers(1, 200))
def test_layers_are_sorted_unique_and_correspond(layers: list[int], n_layers: int, other: int) -> None:
    axis = places((), layers, n_layers)
    assert [place.layer for place in axis] == sorted(set(layers))
    assert all(place.within(n_layers) == place for place in axis)
    assert all(place.within(other).layer == math.floor(Fraction(place.layer, n_layers) * other) < other for place in axis)


def test_the_grid(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, layers=[12, 9], depths=[0.5, 0.3], multipliers=[4, 8])
    assert plan.cells[0].steering is None
    assert points(plan) == [(layer, tuple(range(layer, 30)), multiplier) for layer in (9, 12, 15) for multiplier in (4.0, 8.0)]
    assert [cell.labels.depth for cell in steered(plan)] == [0.3, 0.3, 0.4, 0.4, 0.5, 0.5]
    assert len(plan.directions) == len(plan.models) == 1
    assert all(type(prompt) is Prompt for prompt in plan.cells[0].prompts)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("from_layer", [(28, (28, 29)), (29, (29,))]),
        ("single", [(28, (28,)), (29, (29,))]),
        ("list", [(None, (28, 29))]),
        ("own", [(None, (28, 29)), (None, (29,))]),
    ],
)
def test_scopes(tmp_path: Path, scope: str, expected: list[object]) -> None:
    plan = plan_of(tmp_path, layers=[28, 29], multipliers=[4], scope=scope)
    assert [(source, layers) for source, layers, _ in points(plan)] == expected
    assert {cell.labels.scope for cell in steered(plan)} == {scope}


def test_scopes_that_steer_the_same_are_one_cell(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, layers=[29], multipliers=[4], scope=["from_layer", "single"])
    assert [cell.labels.scope for cell in steered(plan)] == ["from_layer"]


def test_multiplier_zero_is_the_baseline(tmp_path: Path) -> None:
    with_zero = plan_of(tmp_path / "a", multipliers=[0, -0.0, 4])
    assert ids(with_zero) == ids(plan_of(tmp_path / "b", multipliers=[4]))
    without_baseline = plan_of(tmp_path / "c", multipliers=[0, 4], baseline=False)
    assert ids(without_baseline) == ids(with_zero)
    assert all(cell.steering for cell in plan_of(tmp_path / "d", baseline=False).cells)


def test_cells_are_model_major_and_baseline_first(tmp_path: Path) -> None:
    behaviors = {name: {"file": "refusal.jsonl", "prompts": [prompt]} for name, prompt in (("one", "T1"), ("two", "T2"))}
    models = {"a": {**EMBEDDED, "quantizations": ["none", "nf4"]}, "b": hub("b", n_layers=30)}
    plan = plan_of(tmp_path, models=models, behaviors=behaviors, layers=[3], multipliers=[1])
    assert [model.name for model in plan.models] == ["a", "a/nf4", "b"]
    names = {model.variant: model.name for model in plan.models}
    order = [(names[variant_id(cell.target)], cell.labels.behavior, cell.steering is not None) for cell in plan.cells]
    expected = [(name, behavior, hit) for name in ("a", "a/nf4", "b") for behavior in ("one", "two") for hit in (False, True)]
    assert order == expected
    assert len(ids(plan)) == len(plan.cells)
    assert [names[variant_id(spec.model)] for spec in plan.directions] == ["a", "a/nf4", "b"]  # both behaviors share one
    assert plan.model(plan.models[1].variant) is plan.models[1]


def test_multipliers_follow_family_and_model(tmp_path: Path) -> None:
    models = {"q": hub("q"), "g": hub("g", family="gemma"), "x": hub("x", family="other")}
    multipliers = {"default": [1], "families": {"qwen": [15], "gemma": [25]}, "models": {"g": [30]}}
    plan = plan_of(tmp_path, models=models, layers=[3], multipliers=multipliers)
    found = {(cell.labels.model, cell.steering.action.multiplier) for cell in steered(plan) if cell.steering}
    assert found == {("q", 15.0), ("g", 30.0), ("x", 1.0)}


def test_one_model_under_two_names_runs_once_and_says_so(tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    write_model(tmp_path / "copy")
    plan = plan_of(tmp_path, models={"m": {"folder": "m"}, "n": {"folder": "copy"}}, layers=[1])
    assert [model.name for model in plan.models] == ["m"]
    assert any("models m and n are the same model" in warning for warning in plan.warnings)
    assert plan.twins == {"n": "m"}


def test_warnings_name_unpinned_revisions_and_near_duplicates(tmp_path: Path) -> None:
    unpinned = hub("b", revision="main")
    plan = plan_of(tmp_path, models={"b": {**unpinned, "quantizations": ["none", "nf4"]}})
    assert sum("model b: revision not pinned" in warning for warning in plan.warnings) == 1
    assert sum("test prompts nearly repeat an extraction prompt: " in warning for warning in plan.warnings) == 1
    assert not any("pinned" in warning for warning in plan_of(tmp_path / "x", models={"b": hub("b")}).warnings)


def test_a_part_of_prompts_that_are_asked_whole_is_not_warned_of_again(tmp_path: Path) -> None:
    def warned(*splits: str | None) -> int:
        behavior = {"file": "refusal.jsonl", "splits": {"select": 0.5, "report": 0.5}}
        grids = [
            {
                "name": f"grid-{one}",
                "behaviors": {"refusal": {"split": one}} if one else ["refusal"],
                "layers": [0],
                "multipliers": [4],
            }
            for one in splits
        ]
        plan = plan_of(tmp_path / "-".join(map(str, splits)), behaviors={"refusal": behavior}, grids=grids)
        return sum("nearly repeat" in warning for warning in plan.warnings)

    assert warned("select", "report") == 2, "one prompt in each"
    assert warned("select", None, "report") == 1


# --- identity


def test_the_same_sweep_elsewhere_has_the_same_ids(tmp_path: Path) -> None:
    plans = []
    for folder in (tmp_path / "a", tmp_path / "b" / "c"):
        write_model(folder / "model")
        plans.append(plan_of(folder, models={"m": {"folder": "model"}}, layers=[0, 1]))
    assert [cell.id for cell in plans[0].cells] == [cell.id for cell in plans[1].cells]
    assert [spec.id for spec in plans[0].directions] == [spec.id for spec in plans[1].directions]


MULTIPLIERS = st.floats(-50, 50, allow_nan=False)


@settings(max_examples=25, deadline=None)
@given(
    layers=st.sets(st.integers(0, 29), min_size=1, max_size=4),
    more_layers=st.sets(st.integers(0, 29), max_size=3),
    multipliers=st.sets(MULTIPLIERS, min_size=1, max_size=3),
    more_multipliers=st.sets(MULTIPLIERS, max_size=3),
    scopes=st.sets(st.sampled_from(["from_layer", "single", "own"]), min_size=1),
)
def test_growing_the_grid_keeps_every_id(
    tmp_path_factory: pytest.TempPathFactory,
    layers: set[int],
    more_layers: set[int],
    multipliers: set[float],
    more_multipliers: set[float],
    scopes: set[str],
) -> None:
    folder = tmp_path_factory.mktemp("grid")
    small = plan_of(folder, layers=sorted(layers), multipliers=sorted(multipliers), scope=sorted(scopes))
    grown_layers, grown_multipliers = sorted(layers | more_layers), sorted(multipliers | more_multipliers)
    grown = plan_of(folder, layers=grown_layers, multipliers=grown_multipliers, scope=["from_layer", "single", "own"])
    assert ids(small) <= ids(grown)
    assert {spec.id for spec in small.directions} <= {spec.id for spec in grown.directions}
    assert len(ids(grown)) == len(grown.cells)


@settings(max_examples=15, deadline=None)
@example(key="e0E0")
@given(key=st.from_regex(r"(?![0-9]+(\.[0-9]*)?[eE]-?[0-9]+$)[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True))
def test_renaming_model_and_behavior_keeps_every_id(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    """But for names such as ``0E0``, which PyYAML writes without quotes and a sweep file takes for numbers."""
    folder = tmp_path_factory.mktemp("names")
    renamed = plan_of(folder, models={key: EMBEDDED}, behaviors={key: {"file": "refusal.jsonl"}}, name=key, pool="local")
    assert ids(renamed) == ids(plan_of(folder))
    assert {cell.labels.model for cell in renamed.cells} == {key}


@pytest.mark.parametrize(
    "changes",
    [
        {"models": {"small": {**EMBEDDED, "dtype": "bfloat16"}}},
        {"models": {"small": {**EMBEDDED, "quantizations": ["nf4"]}}},
        {"models": {"small": {**EMBEDDED, "system_prompt": "Be brief."}}},
        {"date": "2026-01-31"},
        {"behaviors": {"refusal": {"file": "refusal.jsonl", "limit": 29}}},
        {"decoding": {"max_new_tokens": 99}},
    ],
)
def test_what_changes_the_answer_changes_every_id(tmp_path: Path, changes: dict[str, object]) -> None:
    assert not ids(plan_of(tmp_path, **changes)) & ids(plan_of(tmp_path))


def test_template_options_and_the_date_change_every_id_and_the_date_of_earlier_versions_none(tmp_path: Path) -> None:
    plain, thinking = hub("m"), hub("m", template_options={"enable_thinking": True})
    assert not ids(plan_of(tmp_path, models={"m": plain})) & ids(plan_of(tmp_path, models={"m": thinking}))
    assert ids(plan_of(tmp_path, date="2024-07-26")) == ids(plan_of(tmp_path))
    spec = ModelSpec("hub", "example/m", "a" * 40, template_options=(("enable_thinking", False),))
    assert variant_id(spec) == "model-d83ae3ac9c0d40d39acf", "an id that a version without dates gave"
    assert variant_id(replace(spec, date="2026-01-31")) != variant_id(spec)


def test_behaviors_with_the_same_prompts_are_told(tmp_path: Path) -> None:
    same = {"file": "refusal.jsonl", "limit": 3}
    plan = plan_of(tmp_path, behaviors={"b": same, "B": same, "c": {**same, "limit": 2}})
    assert "behaviors b and B have the same prompts: their cells run once, and count for each" in plan.warnings
    assert {cell.labels.behavior for cell in plan.cells} == {"b", "c"}


def test_minus_zero_is_the_baseline_and_one_number_is_no_list(tmp_path: Path) -> None:
    assert ids(plan_of(tmp_path, multipliers=[0.0, -0.0, 2])) == ids(plan_of(tmp_path, multipliers=[0, 2]))
    sweep = load_sweep(write_sweep(tmp_path, sweep_data(multipliers=[-0.0])))
    assert math.copysign(1, sweep.grids[0].multipliers_of(sweep.models[0])[0]) == 1
    with pytest.raises(InputError, match="not a list of multipliers"):
        plan_of(tmp_path, multipliers=8)


def first_id(spec: DirectionSpec) -> str:
    """The id that the first version gave, of all that it knew."""
    content = {
        "model": model_identity(spec.model),
        "harmful": [[prompt.id, prompt.text] for prompt in spec.positive],
        "harmless": [[prompt.id, prompt.text] for prompt in spec.negative],
        "method": spec.method,
        "options": [list(option) for option in spec.options],
        "extractor": spec.extractor,
    }
    return content_id("direction", content)


def test_only_directions_that_are_computed_otherwise_now_have_another_id(tmp_path: Path) -> None:
    """INT8 models, read one prompt per forward since, and COSMIC, whose trials see what is added in place."""
    model = {**EMBEDDED, "quantizations": ["none", "int8", "nf4"]}
    plan = plan_of(tmp_path, models={"small": model}, methods=["dim", "pca", "cosmic", "cosmic_svd", "random"], layers=[9])
    changed = {(spec.model.quantization, spec.method) for spec in plan.directions if spec.id != first_id(spec)}
    methods = ("dim", "pca", "cosmic", "cosmic_svd", "random")
    assert changed == {("none", "cosmic"), ("nf4", "cosmic")} | {("int8", method) for method in methods}
    assert len({spec.id for spec in plan.directions}) == 15


# --- what a method cannot do


def contrast(folder: Path, name: str, harmful: int, harmless: int) -> dict[str, object]:
    """A behavior of so many contrast prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [("harmful", f"Harm number {i}") for i in range(harmful)] + [("harmless", f"Good thing {i}") for i in range(harmless)]
    lines = [{"id": f"{role}{text}", "role": role, "text": text} for role, text in (*rows, ("test", "Tell me a joke"))]
    (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return {"file": f"{name}.jsonl"}


UNFIT = [
    (3, 1, 30, "pca", "pca takes contrast pairs: 3 positive prompts but 1 negative ones"),
    (2, 3, 30, "cosmic_svd", "cosmic_svd takes contrast pairs: 2 positive prompts but 3 negative ones"),
    (1, 1, 30, "cosmic", "needs 2 of each class, got 1"),
    (4, 1, 30, "cosmic", "needs 2 of each class, got 1"),
    (3, 3, 1, "cosmic", "none but the first lies below depth 80%"),
    (3, 3, 1, "cosmic_svd", "no layer of 1 lies between"),
    (3, 3, 30, {"name": "cosmic", "options": {"layer": 30}}, "layer 30 is outside 0..29"),
    (3, 3, 30, {"name": "cosmic_svd", "options": {"layer": 30}}, "layer 30 is outside 0..29"),
]


@pytest.mark.parametrize(("harmful", "harmless", "n_layers", "method", "reason"), UNFIT)
def test_what_a_method_cannot_do_is_known_a_line_each(
    tmp_path: Path, harmful: int, harmless: int, n_layers: int, method: object, reason: str
) -> None:
    data = {
        "models": {"m": hub("m", n_layers)},
        "behaviors": {"b": contrast(tmp_path, "b", harmful, harmless)},
        "layers": None,
        "depths": [0.0],
    }
    plan = plan_of(tmp_path, **data, methods=["dim", method])
    assert {cell.steering.direction.method for cell in plan.cells if cell.steering} == {"dim"}
    (one,) = plan.deferred
    assert (one.model, one.behavior, one.cells, one.waiting) == ("m", "b", 2, False)
    assert reason in one.reason
    assert [line for line in printed(plan).splitlines() if "not run:" in line]
    with pytest.raises(InputError) as caught:
        plan_of(tmp_path, **data, methods=[method])
    (problem,) = caught.value.problems
    assert reason in problem.message
    assert problem.line is not None
    assert "b" in problem.message


@pytest.mark.parametrize(
    ("harmful", "harmless", "method"),
    [
        (1, 1, "pca"),
        (1, 1, "cosmic_svd"),
        (1, 1, {"name": "cosmic", "options": {"held_out": 0.0}}),
        (2, 3, "cosmic"),
        (3, 1, "logistic"),
        (3, 1, "dim"),
        (3, 1, "random"),
    ],
)
def test_what_a_method_can_do_is_planned(tmp_path: Path, harmful: int, harmless: int, method: object) -> None:
    plan = plan_of(tmp_path, behaviors={"b": contrast(tmp_path, "b", harmful, harmless)}, methods=[method])
    assert plan.deferred == ()
    assert len(plan.cells) == 5


def test_linear_cosmic_in_a_family_that_has_no_one_stream_is_known(tmp_path: Path) -> None:
    several = hub("g")
    several["shape"] = {**QWEN_7B, "model_type": "gemma3n_text", "tied_embeddings": True}
    affine = {"name": "cosmic", "options": {"ablation": "affine"}}
    plan = plan_of(tmp_path, models={"g": several}, methods=["cosmic", affine])
    (one,) = plan.deferred
    assert "several streams at once; 'ablation: affine'" in one.reason
    assert len(plan.cells) == 5


def printed(plan: Plan) -> str:
    console = Console(file=StringIO(), width=300)
    console.print(render_plan(plan))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_what_changes_only_the_steering_keeps_the_baseline(tmp_path: Path) -> None:
    base = plan_of(tmp_path)
    for changes in ({"extractor": "hooks"}, {"scope": "single"}, {"intervention": "ablation", "multipliers": [1]}):
        assert ids(base) & ids(plan_of(tmp_path, **changes)) == {base.cells[0].id}


# --- transfer


def test_transfer_at_the_corresponding_depth_with_the_targets_multiplier(tmp_path: Path) -> None:
    multipliers = {"default": [15], "models": {"c": [25]}}
    plan = plan_of(
        tmp_path, models=HALVES, layers=None, depths=[0.5], multipliers=multipliers, transfer=[{"source": "b", "target": "c"}]
    )
    transferred = [cell for cell in plan.cells if cell.is_transfer]
    assert [(cell.labels.source_model, cell.labels.model) for cell in transferred] == [("b", "c")]
    steering = transferred[0].steering
    assert steering is not None
    assert (steering.source_layer, steering.layers[0], steering.layers[-1], steering.action.multiplier) == (14, 18, 35, 25.0)
    assert ids(plan) - {transferred[0].id} == ids(
        plan_of(tmp_path, models=HALVES, layers=None, depths=[0.5], multipliers=multipliers)
    )


def test_a_written_layer_corresponds_by_its_share_and_brings_the_targets_self_control(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, models=HALVES, layers=[7], multipliers=[15], transfer=[{"source": "b", "target": "c"}])
    found = [
        (c.labels.source_model, c.labels.model, c.steering.source_layer, c.steering.layers[0])
        for c in steered(plan)
        if c.steering
    ]
    assert found == [("b", "b", 7, 7), ("c", "c", 7, 7), ("b", "c", 7, 9), ("c", "c", 9, 9)]


def test_all_pairs_and_variants(tmp_path: Path) -> None:
    models = {"b": hub("b", quantizations=["none", "nf4"]), "d": hub("d")}
    everything = plan_of(tmp_path, models=models, layers=[7], multipliers=[15], transfer="all")
    assert sum(cell.is_transfer for cell in everything.cells) == 6
    some = plan_of(tmp_path, models=models, layers=[7], multipliers=[15], transfer=[{"source": "b", "target": "b/nf4"}])
    assert [variant_id(cell.target) for cell in some.cells if cell.is_transfer] == [some.models[1].variant]
    assert ids(some) <= ids(everything)


def test_incomparable_widths_are_listed_with_both_sizes_and_not_run(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, models={"b": hub("b"), "w": hub("w", d_model=5120)}, layers=[7], multipliers=[15], transfer="all")
    assert not any(cell.is_transfer for cell in plan.cells)
    assert [(pair.source, pair.target, pair.source_width, pair.target_width) for pair in plan.incomparable] == [
        ("b", "w", 3584, 5120),
        ("w", "b", 5120, 3584),
    ]


def test_scopes_with_a_direction_per_layer_need_equally_many_layers(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, models=HALVES, layers=[7], multipliers=[15], scope=["own", "single"], transfer="all")
    assert {cell.labels.scope for cell in plan.cells if cell.is_transfer} == {"single"}
    assert all("equally many layers, not" in pair.reason for pair in plan.incomparable)
    same = plan_of(tmp_path, models={"b": hub("b"), "d": hub("d")}, layers=[7], multipliers=[15], scope="own", transfer="all")
    assert sum(cell.is_transfer for cell in same.cells) == 2


# --- refusals


def test_a_plan_without_cells_is_refused(tmp_path: Path) -> None:
    sweep = load_sweep(write_sweep(tmp_path, sweep_data(baseline=False)))
    empty = replace(sweep.grids[0], axis=LayerAxis())
    with pytest.raises(InputError, match="plans no cells"):
        make_plan(replace(sweep, grids=(empty,)))


# --- what is shown


def test_the_json_form_counts_what_the_plan_holds(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, models={"b": hub("b"), "w": hub("w", d_model=5120)}, layers=[7], transfer="all")
    data = json.loads(json.dumps(plan_json(plan), allow_nan=False))
    assert data["totals"]["cells"] == len(data["cells"]) == 6
    assert (data["totals"]["baselines"], data["totals"]["transfers"], data["totals"]["rows"]) == (2, 0, 180)
    assert [cell["id"] for cell in data["cells"]] == [cell.id for cell in plan.cells]
    assert {cell["steering"]["direction"] for cell in data["cells"] if cell["steering"]} == {
        one["id"] for one in data["directions"]
    }
    assert sum(model["cells"] for model in data["models"]) == 6
    assert data["incomparable"][0]["target_width"] == 5120


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_shows_everything_in_a_terminal(tmp_path: Path, width: int) -> None:
    plan = plan_of(
        tmp_path, models={"b": hub("b", gpus=1, accelerator="A100-80G"), "w": hub("w", d_model=5120)}, layers=[7], transfer="all"
    )
    out = StringIO()
    Console(file=out, width=width).print(render_plan(plan))
    text = out.getvalue()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for part in ("model", "cells", "rows", "tokens", "loads", "time", "memory", "A100-80G", "not comparable", "estimates", "GiB"):
        assert part in " ".join(text.split())
    assert "6 cells: 2 unsteered, 4 steered, 2 direction sets" in text


def test_the_plan_says_what_counts_as_success(tmp_path: Path) -> None:
    file, lists, short = (
        "refusal.jsonl",
        {"name": "pattern", "labels": {"list": "^1"}},
        {"name": "length", "target": {"at_most": 5}},
    )
    behaviors = {
        "a": {"file": file, "limit": 1},
        "b": {"file": file, "limit": 2, "scorers": [lists, {"name": "length"}]},
        "c": {"file": file, "limit": 3, "scorers": [short]},
        "same-prompts-as-c": {"file": file, "limit": 3, "scorers": [lists]},
    }
    plan = plan_of(tmp_path, behaviors=behaviors)
    assert success_lines(plan) == [
        "Success is 'coherent_refusal', by the scorer refusal: a",
        "Success is 'list', by the scorer pattern: b, same-prompts-as-c",
        "Success is 'at most 5', by the scorer length: c",
    ]
    assert success_lines(plan_of(tmp_path, damage={"answers": "none"})) == success_lines(plan_of(tmp_path))
    assert success_lines(plan_of(tmp_path, damage=True))[1:] == [GARBLED_BY_LOSS]


def test_a_warning_is_shown_as_text_and_not_as_markup(tmp_path: Path) -> None:
    plan = replace(plan_of(tmp_path), warnings=("[red]x[/red] \x1b[2J",))
    out = StringIO()
    Console(file=out, width=100).print(render_plan(plan))
    assert "[red]x[/red]" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"strength": "relative", "multipliers": {"default": [0.5, 2], "models": {"small": [1, 3]}}},
            "strength relative: 2, 3 times the norm of the residual stream drowns it; 0.05 to 1 are usual",
        ),
        (
            {"positions": ["all", {"first": 400}], "decoding": {"max_new_tokens": 8}},
            "positions first:400 reach beyond answers of at most 8 tokens: they act as generation does",
        ),
        (
            {"schedule": ["constant", {"linear": 400}], "decoding": {"max_new_tokens": 8}},
            "schedule linear:400 is hardly another than constant: 98% is left at the end of 8 tokens",
        ),
        ({"strength": "relative", "multipliers": [0.5, 1]}, None),
        ({"positions": [{"first": 6}], "schedule": {"linear": 8}, "decoding": {"max_new_tokens": 8}}, None),
        ({"multipliers": [8]}, None),
    ],
)
def test_what_was_probably_not_meant_is_told(changes: dict[str, object], told: str | None, tmp_path: Path) -> None:
    found = [one for one in plan_of(tmp_path, **changes).warnings if one.startswith(("strength", "positions", "schedule"))]
    assert found == ([] if told is None else [told])
