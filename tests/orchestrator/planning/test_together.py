"""Several directions in one cell, and conditions: what is planned, under which ids, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from actors.errors import JobError
from actors.steering import check_steering
from actors.types import Direction, DirectionSet, FloatArray
from orchestrator.cells import Cell
from orchestrator.errors import InputError
from orchestrator.plan import Plan, make_plan
from orchestrator.results.part_axes import axes_of_parts
from orchestrator.results.placing import all_placed, part_cosines
from orchestrator.scheduling.jobs import steering_of
from orchestrator.sweep import load_sweep
from tests.orchestrator.planning.test_grids import ids
from tests.orchestrator.sweep_files import plan_of, sweep_data, write_sweep

Steer = list[dict[str, object]]
FRENCH = [
    {"role": role, "id": f"{role}{n}", "text": f"{role} number {n}", "category": role}
    for n in range(3)
    for role in ("positive", "negative")
]
TESTS = [{"role": "test", "id": f"F{n}", "text": f"What is {n}?", "category": "negative"} for n in range(2)]


def plan(folder: Path, steer: Steer, **changes: object) -> Plan:
    """Of two behaviors, ``refusal`` with two test prompts and ``french`` with two."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "french.jsonl").write_text("\n".join(map(json.dumps, [*FRENCH, *TESTS])), encoding="utf-8")
    behaviors = {"refusal": {"file": "refusal.jsonl", "limit": 2}, "french": {"file": "french.jsonl"}}
    given = {"behaviors": behaviors, "layers": [9], "multipliers": None, "steer": steer, **changes}
    return make_plan(load_sweep(write_sweep(folder, sweep_data(**given))))


def parts_of(cell: Cell) -> list[tuple[str, float]]:
    steered = () if cell.steering is None else cell.steering.parts
    return [(name, part.action.multiplier) for name, part in zip(cell.labels.steers, steered, strict=True)]


def test_every_combination_is_a_cell_on_the_prompts_of_every_direction(tmp_path: Path) -> None:
    found = plan(tmp_path, [{"behavior": "refusal", "multiplier": [0, 8]}, {"behavior": "french", "multiplier": [0, 5, 9]}])
    combinations = [[], [("refusal", 8)], *([("french", m)] for m in (5, 9)), *([("refusal", 8), ("french", m)] for m in (5, 9))]
    for prompts in ("refusal", "french"):
        cells = [one for one in found.counted if (one.labels.asked or one.labels.behavior) == prompts]
        for behavior in ("refusal", "french"):
            told = [parts_of(one) for one in cells if one.labels.behavior == behavior]
            assert sorted(told) == sorted(combinations)
    assert len(found.cells) == 12
    assert len(found.counted) == 24
    assert len(found.directions) == 2


def test_one_direction_is_the_cell_that_it_was(tmp_path: Path) -> None:
    plain = plan_of(tmp_path / "a", layers=[9], multipliers=[8], behaviors={"refusal": {"file": "refusal.jsonl", "limit": 2}})
    found = plan(
        tmp_path / "b", [{"behavior": "refusal", "multiplier": 8}], behaviors={"refusal": {"file": "refusal.jsonl", "limit": 2}}
    )
    assert ids(found) == ids(plain)
    axes = [axes_of_parts(one) for one in found.cells]
    assert {(one.get("steers"), one.get("when", ""), one.get("then", "")) for one in axes} == {(None, "", "")}


def test_order_orthogonality_and_conditions_are_identity(tmp_path: Path) -> None:
    refusal, french = {"behavior": "refusal", "multiplier": 8}, {"behavior": "french", "multiplier": 5}
    when = {"behavior": "refusal", "layer": 12}
    kinds = [
        plan(tmp_path / "a", [refusal, french]),
        plan(tmp_path / "b", [french, refusal]),
        plan(tmp_path / "c", [refusal, french], orthogonalize=True),
        plan(tmp_path / "d", [{**refusal, "when": when}, french]),
        plan(tmp_path / "e", [{**refusal, "when": {**when, "side": "below"}}, french]),
        plan(tmp_path / "f", [{**refusal, "when": {**when, "threshold": 0.1}}, french]),
        plan(tmp_path / "g", [{**refusal, "when": {**when, "layer": 13}}, french]),
    ]
    steered = [{one.id for one in kind.cells if one.steering is not None} for kind in kinds]
    assert len(set.union(*steered)) == sum(map(len, steered))


def test_a_part_says_what_the_grid_does_not(tmp_path: Path) -> None:
    part = {"behavior": "french", "multiplier": 5, "depth": 0.7, "scope": "single", "positions": "generation", "method": "pca"}
    found = plan(tmp_path, [{"behavior": "refusal", "multiplier": 8}, part], positions="last_prompt")
    (first, second) = next(one.steering for one in found.cells if one.steering is not None and one.steering.then).parts
    assert (first.layers[0], first.layers[-1], first.action.positions, first.direction.method) == (9, 29, "last_prompt", "dim")
    assert (second.layers, second.action.positions, second.direction.method) == ((21,), "generation", "pca")


def test_what_a_condition_is_meant_for_follows_from_its_contrast_prompts(tmp_path: Path) -> None:
    when = {"behavior": "french", "side": "below"}
    found = plan(tmp_path, [{"behavior": "refusal", "multiplier": 8, "when": when}])
    (cell,) = [one for one in found.cells if one.steering is not None and one.labels.behavior == "refusal"]
    assert cell.labels.meant == ({"positive": False, "negative": True},)
    assert len(cell.needs) == 2
    direction = cell.needs[1].removeprefix("direction-")
    assert axes_of_parts(cell)["when"] == f"french by dim at L9 below auto #{direction[:8]}"


@pytest.mark.parametrize(
    ("steer", "changes", "told"),
    [
        ([{"behavior": "frensh", "multiplier": 1}], {}, "did you mean 'french'?"),
        (
            [{"behavior": "french", "multiplier": 1, "scales": [1, 2]}],
            {},
            "steer[0].scales: 2 scales, but the part steers 21 layers",
        ),
        (
            [{"behavior": "french", "multiplier": 1}],
            {"scales": [1, 2], "scope": "single"},
            "steer[0].scales: 2 scales, but the part steers 1 layer (got '1,2'); allowed: one for each steered layer",
        ),
        ([{"behavior": "french", "multiplier": 1, "layer": 40}], {}, "layer 40 is out of range"),
        ([{"behavior": "french", "multiplier": 1, "layer": 4, "depth": 0.5}], {}, "say it twice"),
        ([{"behavior": "french", "multiplier": 1}], {"layers": [4, 5]}, "no layer is given, and the grid has 2"),
        ([{"behavior": "french", "multiplier": 1}], {"layers": None}, "no layer is given, and the grid says none"),
        ([{"behavior": "french", "multiplier": 1}], {"multipliers": [4]}, "has its multipliers there"),
        ([{"behavior": "french", "multiplier": 1}], {"orthogonalize": True}, "there are no several directions"),
        ([{"behavior": "french", "multiplier": 1}], {"transfer": "all"}, "each model's own"),
        ([{"behavior": "french", "multiplier": 2, "intervention": "ablation"}], {}, "out of range for ablation"),
        ([{"behavior": "french", "multiplier": 1, "when": {"behavior": "refusal", "threshold": 2}}], {}, "a cosine from -1 to 1"),
        ([{"behavior": "french", "multiplier": 1, "when": {"behavior": "refusal", "side": "abov"}}], {}, "did you mean 'above'?"),
    ],
)
def test_what_does_not_go_is_refused(
    tmp_path: Path, steer: list[dict[str, object]], changes: dict[str, object], told: str
) -> None:
    with pytest.raises(InputError) as caught:
        plan(tmp_path, steer, **changes)
    assert told in str(caught.value)


def test_scales_are_of_the_layers_that_the_part_steers(tmp_path: Path) -> None:
    """Whatever other parts, and the grid's own axis, steer."""
    part = {"behavior": "french", "multiplier": 1, "scope": "single", "scales": [0.5]}
    found = plan(tmp_path, [part, {"behavior": "refusal", "multiplier": 8}], layers=[9])
    (steering,) = {one.steering for one in found.cells if one.steering is not None}
    assert [one.action.scales for one in steering.parts] == ["0.5", "none"]


# --- vectors


def sets_of(cell: Cell, vectors: FloatArray) -> dict[str, DirectionSet]:
    """Of each of the cell's directions, one vector at every layer."""
    assert cell.steering is not None
    made = [DirectionSet(tuple(Direction(layer, one, 2.0) for layer in range(30)), (3.0,) * 30) for one in vectors]
    return dict(zip((one.id for one in cell.steering.directions), made, strict=True))


def together(folder: Path, **changes: object) -> Cell:
    steer: list[dict[str, object]] = [
        {"behavior": "refusal", "multiplier": 8},
        {"behavior": "french", "multiplier": 5, "layer": 12},
    ]
    return next(one for one in plan(folder, steer, **changes).cells if one.steering is not None and one.steering.then)


def units(*rows: list[float]) -> FloatArray:
    found = np.array(rows, np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_later_directions_are_made_orthogonal_to_earlier_ones(tmp_path: Path) -> None:
    cell = together(tmp_path, orthogonalize=True)
    vectors = units([1, 2, 0, 0, 1, 0], [1, 1, 3, 0, 0, 0])
    found = sets_of(cell, vectors)
    assert cell.steering is not None
    first, second = all_placed(cell.steering, found)
    np.testing.assert_array_equal(first.vectors[0], vectors[0])
    by_hand = vectors[1] - (vectors[1] @ vectors[0]) * vectors[0]
    np.testing.assert_allclose(second.vectors, np.repeat((by_hand / np.linalg.norm(by_hand))[None], 18, axis=0), atol=1e-6)
    assert abs(float(second.vectors[0].astype(float) @ vectors[0])) < 1e-7
    steering = steering_of(cell, found, {})
    assert steering is not None
    assert [part.multiplier for part in steering.parts] == [8, 5]
    np.testing.assert_array_equal(steering.then[0].vectors, second.vectors)


def test_a_direction_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    cell = together(tmp_path, orthogonalize=True)
    assert cell.steering is not None
    with pytest.raises(JobError, match="of part 2 nothing is left at layer 12"):
        all_placed(cell.steering, sets_of(cell, units([1, 2, 0, 0, 1, 0], [1, 2, 0, 0, 1, 1e-5])))


def test_cosines_are_of_the_directions_as_they_were_found(tmp_path: Path) -> None:
    cell = together(tmp_path)
    vectors = units([1, 2, 0, 0, 1, 0], [1, 1, 3, 0, 0, 0])
    assert cell.steering is not None
    assert part_cosines(all_placed(cell.steering, sets_of(cell, vectors))) == pytest.approx((float(vectors[0] @ vectors[1]),))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            {"when": {"behavior": "french", "layer": 9, "method": {"name": "dim", "options": {"site": "mlp"}}}},
            "a condition looks at what a block puts out",
        ),
    ],
)
def test_what_a_part_cannot_say_is_told_before_it_runs(said: dict[str, object], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        plan(tmp_path, [{"behavior": "refusal", "multiplier": 8, **said}])


def test_a_wrong_behavior_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        plan(tmp_path, [{"behavior": "french", "multiplier": 5}, {"behavior": "refusl", "multiplier": 8}])
    (problem,) = refused.value.problems
    assert problem.field == "steer[1].behavior"


OWN = "def push(activation, vector, strength, references):\n    return activation + strength * vector\n"


def test_a_part_may_be_steered_by_a_function_of_the_users_own(tmp_path: Path) -> None:
    def found(name: str, text: str) -> Plan:
        (tmp_path / name).mkdir()
        (tmp_path / name / "soft.py").write_text(text)
        own = {"behavior": "refusal", "multiplier": 8, "intervention": "soft.py:push"}
        return plan(tmp_path / name, [{"behavior": "french", "multiplier": 5}, own])

    one, same, other = found("a", OWN), found("b", OWN), found("c", OWN + "\n")
    steered = next(cell for cell in one.cells if cell.steering is not None)
    assert steered.steering is not None
    plain, own = (part.action for part in steered.steering.parts)
    assert (plain.intervention, plain.code) == ("addition", "")
    assert own.intervention.startswith("soft.py:push@")
    assert own.code == OWN
    assert ids(one) == ids(same)
    assert len(ids(one) & ids(other)) == 2, "the baselines"
    row = np.eye(1, 8, dtype=np.float32)
    found_set = DirectionSet(tuple(Direction(n, row[0], 1.0) for n in range(30)), (1.0,) * 30)
    job = steering_of(steered, {part.direction.id: found_set for part in steered.steering.parts}, {})
    assert job is not None
    check_steering(job, 30, 8)


@pytest.mark.parametrize(
    ("intervention", "told"), [("soft.py:pusch", "has no function 'pusch'"), ("sofd.py:push", "did you mean 'soft.py:push'?")]
)
def test_a_parts_function_that_is_not_there_is_refused(tmp_path: Path, intervention: str, told: str) -> None:
    (tmp_path / "soft.py").write_text(OWN)
    with pytest.raises(InputError, match=re.escape(told)) as refused:
        plan(tmp_path, [{"behavior": "french", "multiplier": 5, "intervention": intervention}])
    assert "steer[0].intervention" in str(refused.value)


def test_a_threshold_is_not_learned_from_one_prompt_of_a_class(tmp_path: Path) -> None:
    (tmp_path / "few.jsonl").write_text("\n".join(map(json.dumps, [*FRENCH[:2], *TESTS])), encoding="utf-8")
    behaviors = {"refusal": {"file": "refusal.jsonl", "limit": 2}, "few": {"file": "few.jsonl"}}
    part = {"behavior": "refusal", "multiplier": 8}
    given = {"behavior": "few", "layer": 12}
    plan(tmp_path, [{**part, "when": {**given, "threshold": 0.1}}], behaviors=behaviors)
    with pytest.raises(InputError) as refused:
        plan(tmp_path, [{**part, "when": given}], behaviors=behaviors)
    assert "steer[0].when.threshold" in str(refused.value)
    assert "few has 1 positive and 1 negative" in str(refused.value)


@pytest.mark.parametrize(
    ("first", "second", "layer"),
    [
        ({"layer": 9}, {"layer": 9}, 9),
        ({"layer": 9}, {"layer": 9, "scope": "single"}, 9),
        ({"layer": 9, "scope": "own"}, {"layer": 12, "scope": "single"}, 12),
        ({"layer": 9}, {"layer": 12}, None),
        ({"layer": 9}, {"layer": 9, "method": "pca"}, None),
        ({"layer": 9}, {"layer": 9, "multiplier": 0}, None),
    ],
)
def test_a_direction_is_not_made_orthogonal_to_itself(
    first: dict[str, object], second: dict[str, object], layer: int | None, tmp_path: Path
) -> None:
    steer: list[dict[str, object]] = [{"behavior": "french", "multiplier": 5, **one} for one in (first, second)]
    plan(tmp_path, steer)
    if layer is None:
        plan(tmp_path, steer, orthogonalize=True)
        return
    with pytest.raises(InputError, match=rf"steer\[1\].*it is the direction of steer\[0\] at layer {layer}"):
        plan(tmp_path, steer, orthogonalize=True)


def test_multipliers_of_zero_alone_are_told_as_the_baseline(tmp_path: Path) -> None:
    def told(number: float) -> bool:
        found = plan(tmp_path, [{"behavior": "french", "multiplier": 0}, {"behavior": "refusal", "multiplier": number}])
        return any("which is the unsteered baseline" in one for one in found.warnings)

    assert told(0)
    assert not told(5)
