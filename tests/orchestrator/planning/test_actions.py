"""What a sweep file may do with a direction beside adding it: angles, class means, scales by layer, functions of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actors.errors import JobError
from actors.steering import check_steering
from actors.types import Direction, DirectionSet, Steering
from orchestrator.plan import Plan
from orchestrator.scheduling.jobs import steering_of
from tests.orchestrator.planning.test_grids import MODELS, ids, refused, steered
from tests.orchestrator.sweep_files import plan_of

N_LAYERS, WIDTH = 30, 8
OWN = "def push(activation, vector, strength, references):\n    return activation + strength * vector\n"


def found_set() -> DirectionSet:
    """Directions of all layers with raw norms 1, 2, ..., and means that tell class, layer and direction."""
    vectors = np.random.default_rng(0).standard_normal((N_LAYERS, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    means = np.array(
        [[[100 * kind + layer + of / 100 for of in range(N_LAYERS)] for layer in range(N_LAYERS)] for kind in (1, 2)]
    )
    directions = tuple(Direction(layer, vector, 1.0 + layer) for layer, vector in enumerate(vectors))
    return DirectionSet(directions, (10.0,) * N_LAYERS, components=means.astype(np.float32))


def first_steering(plan: Plan, found: DirectionSet | None = None) -> Steering:
    """That of the first steered cell's job."""
    cell = steered(plan)[0]
    assert cell.steering is not None
    steering = steering_of(cell, {cell.steering.direction.id: found or found_set()}, {})
    assert steering is not None
    check_steering(steering, N_LAYERS, WIDTH)
    return steering


def test_a_target_is_the_mean_of_a_class_at_the_steered_layer_along_the_direction(tmp_path: Path) -> None:
    for kind, name in ((1, "to_positive_mean"), (2, "to_negative_mean")):
        steering = first_steering(plan_of(tmp_path / name, intervention=name, layers=[27], multipliers=[1]))
        assert steering.layers == (27, 28, 29)
        assert steering.references == pytest.approx([100 * kind + layer + 0.27 for layer in (27, 28, 29)], abs=1e-4)
        plan = plan_of(tmp_path / f"old{name}", intervention=name, layers=[27], multipliers=[1])
        with pytest.raises(JobError, match="without the means of its classes"):
            first_steering(plan, replace(found_set(), components=None))


def test_an_angle_of_zero_is_no_baseline(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, intervention="angular", layers=[27], multipliers=[0, 180])
    assert [one.steering.action.multiplier for one in steered(plan) if one.steering] == [0, 180]
    steering = first_steering(plan)
    (second,), vector = steering.bases[0], steering.vectors[0]
    assert abs(second @ vector) < 1e-6
    every = found_set().vectors - found_set().vectors.mean(axis=0)
    plane = np.linalg.qr(np.stack([vector, second]).T)[0]
    component = np.linalg.eigh(every.T @ every)[1][:, -1]
    assert np.linalg.norm(plane.T @ component) == pytest.approx(1.0, abs=1e-4), "the first principal component lies in the plane"
    one_layer = DirectionSet(found_set().directions[27:28], (10.0,))
    with pytest.raises(JobError, match="no second axis"):
        first_steering(plan_of(tmp_path / "b", intervention="angular", layers=[27], scope="single", multipliers=[9]), one_layer)


def test_scales_are_of_the_raw_norms_or_as_listed(tmp_path: Path) -> None:
    def scales(name: str, **changes: object) -> tuple[float, ...]:
        return first_steering(plan_of(tmp_path / name, layers=[27], multipliers=[2], **changes)).scales

    assert scales("own", scales="raw_norm", scope="own")[-3:] == (28, 29, 30)
    assert scales("raw", scales="raw_norm") == (28, 28, 28)
    assert scales("list", scales=[0.5, 1, 2]) == (0.5, 1, 2)
    assert scales("both", scales=[0.5, 1, 2], strength="relative") == (5, 10, 20)
    plain = {"layers": [27], "multipliers": [2]}
    assert ids(plan_of(tmp_path / "none", scales="none", **plain)) == ids(plan_of(tmp_path / "plain", **plain))
    assert len(ids(plan_of(tmp_path / "other", scales=[1, 1, 1], **plain)) & ids(plan_of(tmp_path / "again", **plain))) == 1


@pytest.mark.parametrize(("intervention", "steers"), [("mine.py:push", True), ("rotation", True), ("addition", False)])
def test_what_may_act_at_zero_is_no_baseline(intervention: str, steers: bool, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    plan = plan_of(tmp_path, intervention=intervention, layers=[27], multipliers=[0, 2])
    found = {cell.steering.action.multiplier for cell in steered(plan) if cell.steering is not None}
    assert found == ({0.0, 2.0} if steers else {2.0})


def test_a_function_of_the_users_own_is_named_by_its_files_text(tmp_path: Path) -> None:
    def plan(name: str, text: str) -> Plan:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(text)
        return plan_of(tmp_path / name, intervention="mine.py:push", layers=[27], multipliers=[2])

    one, same, other = plan("a", OWN), plan("b", OWN), plan("c", OWN + "\n")
    assert ids(one) == ids(same)
    assert len(ids(one) & ids(other)) == 1, "the baseline"
    steering = first_steering(one)
    assert steering.code == OWN
    assert steering.intervention.startswith("mine.py:push@")
    for wrong, words in ((replace(steering, code=""), "is missing"), (replace(steering, code="x = 1"), "is another")):
        with pytest.raises(JobError, match=words):
            check_steering(wrong, N_LAYERS, WIDTH)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os\n", "has no function 'push'"),
        ("def push(a, b):\n    return a\n", "takes 2 arguments"),
        ("def push(\n", "no Python"),
        (None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_before_it_is_run(text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    told = refused(tmp_path, intervention="mine.py:push")
    assert any("intervention" in line and words in line for line in told), told


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return activation.sum()", r"gives torch.float32 \[\] .* must keep the shape"),
        ("return activation[..., :10]", r"gives torch.float32 \[2, 5, 10\] .* must keep the shape"),
        ("return activation + torch.ones(8)", r"cannot be run: RuntimeError: .*\(mine.py, line 3\)"),
        ("return activation[:, 1:2] * 0 + activation[:, :1]", "must keep the shape"),
        ("return activation.half()", "must keep the dtype"),
        ("return 1", "gives a int"),
        ("return activation - activation.mean(0)", "depend on the rows beside"),
        ("return activation / 0", "not finite"),
        ("raise KeyError('x')", r"cannot be run: KeyError: 'x' \(mine.py, line 3\)"),
        ("raise SystemExit(3)", r"cannot be run: SystemExit: 3 \(mine.py, line 3\)"),
        ("pass\nraise SystemExit('now')", r"the file cannot be run: SystemExit: now \(mine.py, line 4\)"),
        ("return activation.add_(1)", "changes the activations"),
    ],
)
def test_a_function_that_cannot_be_an_edit_fails_its_own_cells_alone(body: str, words: str) -> None:
    from actors.interventions.own import digest_of

    code = f"import torch\ndef push(activation, vector, strength, references):\n    {body}\n"
    name = f"mine.py:push@{digest_of(code, 'push')}"
    steering = Steering((1,), np.eye(1, 2 * WIDTH, dtype=np.float32), 1.0, name, code=code)
    with pytest.raises(JobError, match=words):
        check_steering(steering, N_LAYERS, 2 * WIDTH)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"intervention": "angular", "strength": "relative"}, ("strength", "takes an angle")),
        ({"intervention": "to_positive_mean", "multipliers": [1.5]}, ("multipliers", "out of range", "0 (nothing) to 1")),
        ({"intervention": "to_positive_mean", "multipliers": [1], "models": MODELS, "transfer": "all"}, ("its own model",)),
        ({"intervention": "rotaton"}, ("intervention", "did you mean 'rotation'?", "file.py:name")),
        ({"scales": "raw"}, ("scales", "did you mean 'raw_norm'?")),
        ({"scales": [1, 2], "layers": [27]}, ("scales", "2 scales, but cells steer 3 layers")),
        ({"scales": [1, "x"]}, ("scales", "a list with one number")),
    ],
)
def test_what_cannot_be_is_told(changes: dict[str, object], parts: tuple[str, ...], tmp_path: Path) -> None:
    told = refused(tmp_path, **changes)
    assert any(all(part in line for part in parts) for line in told), told


# --- sites


def test_a_site_is_an_axis_and_directions_are_read_where_they_act(tmp_path: Path) -> None:
    plain = {"layers": [27], "multipliers": [2]}
    plan = plan_of(tmp_path / "a", site=["output", "attention", {"head": 3}], **plain)
    assert ids(plan_of(tmp_path / "b", **plain)) < ids(plan)
    assert ids(plan_of(tmp_path / "c", site="output", **plain)) == ids(plan_of(tmp_path / "d", **plain))
    found = {one.steering.action.site: dict(one.steering.direction.options).get("site") for one in steered(plan) if one.steering}
    assert found == {"output": None, "attention": "attention", "head:3": "head:3"}
    elsewhere = plan_of(tmp_path / "e", site=["mlp", "output"], methods=[{"name": "dim", "options": {"site": "output"}}], **plain)
    assert {one.steering.direction.id for one in steered(elsewhere) if one.steering} == {
        one.steering.direction.id for one in steered(plan) if one.steering and one.steering.action.site == "output"
    }


def test_an_ablation_everywhere_may_steer_every_layer_with_one_direction(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, site="everywhere", intervention="ablation", scope="all", layers=[11], multipliers=[1])
    steering = first_steering(plan)
    assert steering.layers == tuple(range(N_LAYERS))
    assert (steering.vectors == found_set().at(11).vector).all()
    assert len(steering.points(N_LAYERS)) == 2 * N_LAYERS + 1


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"site": "atention"}, ("site", "did you mean 'attention'?", "{head: 3}")),
        ({"site": {"haed": 3}}, ("site: ", "'haed:3' is unknown", "did you mean 'head'?")),
        ({"site": {"head": "x"}}, ("site: ", "'head' takes a whole number, not 'x'", "{head: 3}")),
        ({"site": "everywhere"}, ("site", "addition would act at every part", "beside ablation")),
        ({"site": "mlp", "methods": ["cosmic"]}, ("site", "cosmic tries its directions at block outputs")),
        ({"site": {"head": 1}, "models": MODELS, "transfer": "all"}, ("site", "do not correspond")),
        (
            {"site": "mlp", "strength": "relative", "methods": [{"name": "dim", "options": {"site": "output"}}]},
            ("methods", "knows nothing of the activations at mlp"),
        ),
        ({"methods": [{"name": "dim", "options": {"site": "everywhere"}}]}, ("site", "not everywhere")),
    ],
)
def test_a_site_that_cannot_be_is_told(changes: dict[str, object], parts: tuple[str, ...], tmp_path: Path) -> None:
    told = refused(tmp_path, **changes)
    assert any(all(part in line for part in parts) for line in told), told


def test_a_search_has_one_site(tmp_path: Path) -> None:
    grid = {"search": {"trials": 4, "multiplier": {"default": [1, 8]}}, "site": ["mlp", "output"], "layers": [3, 5]}
    told = refused(tmp_path, grids=[grid], multipliers=None)
    assert any("site" in line and "a search has one site" in line for line in told), told
