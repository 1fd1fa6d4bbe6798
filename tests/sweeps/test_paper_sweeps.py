"""The sweeps that are shipped: valid, planned offline, and with the paper's own layers, multipliers and prompt counts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.parity.tools import TOOLS
from actors.types import Resources
from orchestrator.behaviors import load_behavior
from orchestrator.plan import Plan, make_plan
from orchestrator.sweep import load_sweep

SWEEPS = Path(__file__).parents[2] / "sweeps"
ADAPTER = "smollm2-135m-refusal"
TABLES = [2, 3, 4, 5, 6, 7, 8, 9, 10]
Point = tuple[str, str, str, int | str | None, float, int]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-cache"))


def plan_of(name: str) -> Plan:
    return make_plan(load_sweep(SWEEPS / f"{name}.yaml"))


def points(plan: Plan) -> set[Point]:
    """(model, quantization, method, source layer, multiplier, n) of the steered cells that are no transfers."""
    return set(_points(plan))


def _points(plan: Plan) -> Iterator[Point]:
    for cell in plan.cells:
        steering = cell.steering
        if steering is not None and not cell.is_transfer:
            method = steering.direction.method
            yield (
                cell.labels.model,
                cell.target.quantization,
                method,
                steering.source_layer,
                steering.action.multiplier,
                len(cell.prompts),
            )


def dim(model: str, layers: dict[int, int], multiplier: float) -> set[Point]:
    """DIM at layers, each with its n."""
    return {(model, "none", "dim", layer, multiplier, n) for layer, n in layers.items()}


# The settings that the paper's tables print.
PAPER: dict[int, set[Point]] = {
    2: dim("qwen-7b", {16: 30}, 15) | dim("gemma-9b", {12: 30, 16: 30}, 25) | dim("mistral-7b", {16: 50, 19: 50, 22: 50}, 15),
    3: dim("qwen-3b", {21: 50}, 15)
    | dim("qwen-7b", {16: 50}, 15)
    | dim("qwen-14b", {24: 50}, 15)
    | dim("qwen-32b", {32: 50}, 15)
    | dim("qwen-32b", {32: 30}, 15),
    4: dim("gemma-2b", {7: 50}, 25)
    | dim("gemma-9b", {12: 30, 16: 30}, 25)
    | dim("gemma-27b", {13: 50, 18: 50, 23: 50, 27: 50}, 25),
    5: dim("qwen-3b", {18: 50, 21: 50, 25: 50}, 15)
    | dim("qwen-7b", {14: 30, 16: 50, 19: 30}, 15)
    | dim("qwen-14b", {24: 50, 28: 50, 33: 50}, 15)
    | dim("qwen-32b", {32: 50, 38: 50, 44: 50}, 15)
    | dim("qwen-32b", {32: 30}, 15),
    6: dim("gemma-2b", {7: 50, 10: 50, 13: 50, 15: 50}, 25) | dim("gemma-9b", {12: 30, 16: 30, 21: 30, 25: 30}, 25),
    7: dim("qwen-3b", {21: 50}, 15)
    | dim("qwen-14b", {24: 50}, 15)
    | dim("qwen-32b", {32: 50}, 15)
    | dim("gemma-9b", {16: 50}, 25)
    | {
        (model, "none", method, "selected", multiplier, 50)
        for model, multiplier in (("qwen-3b", 15), ("qwen-14b", 15), ("qwen-32b", 15), ("gemma-9b", 25))
        for method in ("cosmic", "cosmic_svd")
    },
    8: {
        (model, form, "dim", layer, 15, 30)
        for model, layer in (("qwen-7b", 16), ("qwen-32b", 32))
        for form in ("none", "int8", "nf4")
    },
    9: {
        point
        for model, layer in (("qwen-32b", 32), ("qwen-7b", 16), ("qwen-3b", 21))
        for multiplier in (15, 20, 25)
        for point in dim(model, {layer: 50}, multiplier)
    }
    | dim("gemma-9b", {12: 30}, 15)
    | dim("gemma-9b", {12: 30}, 25),
    10: dim("qwen-14b", {24: 30}, 10) | dim("qwen-32b", {32: 30}, 15) | dim("gemma-9b", {21: 30}, 25),
}


@pytest.mark.parametrize("table", TABLES)
def test_a_tables_sweep_runs_what_the_table_prints(table: int) -> None:
    plan = plan_of(f"paper-table{table}")
    assert points(plan) >= PAPER[table]
    assert plan.name == f"paper-table{table}"
    assert not plan.deferred


def test_the_full_sweep_contains_every_table() -> None:
    found = points(plan_of("full"))
    for table in TABLES:
        assert found >= PAPER[table], table


@pytest.mark.parametrize("name", ["paper-tooling", "full"])
def test_the_abstracts_90_points_are_run_with_both_tools(name: str) -> None:
    steerings = [cell.steering for cell in plan_of(name).cells if cell.labels.model == "qwen-7b" and len(cell.prompts) == 30]
    read = {
        steering.direction.extractor
        for steering in steerings
        if steering is not None
        and (steering.direction.method, steering.source_layer, steering.action.multiplier) == ("dim", 16, 15)
        and steering.direction.model.quantization == "none"
    }
    assert read == {"nnsight", "hooks"}


def test_the_tools_are_compared_on_the_papers_model() -> None:
    plan = plan_of("parity-qwen7b")
    (study,) = plan.parity
    assert (study.model, study.dtype, study.layer, study.prompts) == ("qwen-7b", "float16", 16, (5, 5))
    assert list(study.readings) == list(TOOLS)
    assert not plan.deferred


def test_table_10_has_its_pairs_and_no_other() -> None:
    plan = plan_of("paper-table10")
    found = {
        (
            cell.labels.source_model,
            cell.labels.model,
            cell.steering.source_layer,
            cell.steering.layers[0],
            cell.steering.action.multiplier,
        )
        for cell in plan.cells
        if cell.is_transfer and cell.steering is not None
    }
    assert found == {
        ("qwen-14b", "qwen-32b", 24, 32, 15.0),
        ("qwen-32b", "qwen-14b", 32, 24, 10.0),
        ("qwen-7b", "gemma-9b", 14, 21, 25.0),
        ("gemma-9b", "qwen-7b", 21, 14, 15.0),
    }
    assert plan.incomparable == ()


def test_the_full_sweep_lists_what_cannot_be_compared() -> None:
    plan = plan_of("full")
    pairs = {(pair.source, pair.target): (pair.source_width, pair.target_width) for pair in plan.incomparable}
    assert pairs[("gemma-2b", "gemma-9b")] == (2304, 3584)
    assert pairs[("gemma-9b", "gemma-27b")] == (3584, 4608)
    assert pairs[("qwen-7b", "llama-8b")] == (3584, 4096)
    for pair in (("qwen-14b", "qwen-32b"), ("qwen-7b", "gemma-9b"), ("qwen-3b", "llama-1b"), ("qwen3-8b", "llama-8b")):
        assert pair not in pairs
        assert any(one.grid == "transfer-matrix" and one.model == " -> ".join(pair) for one in plan.deferred)
    assert len(pairs) == 12 * 11 - 12


def test_the_full_sweep_tells_its_cost_and_what_follows() -> None:
    plan = plan_of("full")
    assert {model.resources for model in plan.models} == {Resources(gpus=1, gpu_memory=80)}, "whatever the GPU is called"
    assert [one.gpus for one in plan.estimate.clusters] == [1, 8, 64]
    hours = [one.seconds / 3600 for one in plan.estimate.clusters]
    assert 24 > hours[0] > hours[1] > hours[2] > 0
    waiting = {one.grid: 0 for one in plan.deferred}
    for one in plan.deferred:
        waiting[one.grid] += one.cells
    assert waiting == {"local": 60, "report": 12, "control": 12, "transfer-matrix": 36}
    selecting = {cell.key for cell in plan.cells if cell.labels.behavior == "refusal-50/select" and cell.steering is not None}
    assert {key for key, inside in plan.in_sample.items() if inside} == selecting


def test_planning_the_full_sweep_opens_no_connection(tmp_path: Path) -> None:
    """In a process of its own, with every socket refused."""
    code = (
        "import socket, sys\n"
        "def refuse(*arguments, **options): raise AssertionError('a connection')\n"
        "socket.socket.connect = refuse\n"
        "socket.create_connection = refuse\n"
        "sys.argv = ['orchestrator', 'plan', 'sweeps/full.yaml', '--json']\n"
        "from orchestrator.cli import app\n"
        "app()\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path)}
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=SWEEPS.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["totals"]["cells"] > 400


def test_the_small_sweep_covers_what_it_says(tmp_path: Path) -> None:
    """With a stand-in for the second adapter where it is not there; a copy would be the same model."""
    shutil.copytree(SWEEPS, tmp_path / "sweeps", ignore=shutil.ignore_patterns("*.jsonl.bak"))
    second = tmp_path / "sweeps" / "models" / f"{ADAPTER}-2"
    if not second.exists():
        shutil.copytree(tmp_path / "sweeps" / "models" / ADAPTER, second)
        config = json.loads((second / "adapter_config.json").read_text())
        (second / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 17}))
    plan = make_plan(load_sweep(tmp_path / "sweeps" / "paper-small.yaml"))
    assert [model.name for model in plan.models] == ["refusal-1", "refusal-1/int8", "refusal-1/nf4", "refusal-2"]
    found = points(plan)
    for form in ("none", "int8", "nf4"):
        assert {("refusal-1", form, method, 15, 8.0, 20) for method in ("dim", "cosmic", "cosmic_svd")} <= found
        assert {("refusal-1", form, method, "selected", 8.0, 20) for method in ("cosmic", "cosmic_svd")} <= found
    transfers = [cell for cell in plan.cells if cell.is_transfer]
    assert len([cell for cell in transfers if cell.labels.source_model.partition("/")[0] == cell.labels.model]) == 6
    assert len([cell for cell in transfers if cell.labels.source_model.partition("/")[0] != cell.labels.model]) == 6
    assert sum(cell.steering is None for cell in plan.cells) == 4


def test_twenty_more_test_prompts_that_repeat_nothing() -> None:
    behavior = load_behavior("refusal", SWEEPS / "behaviors" / "refusal.jsonl")
    assert [prompt.id for prompt in behavior.test] == [f"T{number}" for number in range(1, 51)]
    assert [pair for pair in behavior.near_duplicates() if int(pair[1][1:]) > 30] == []
    words = [set(prompt.text.casefold().replace("?", "").split()) for prompt in behavior.test]
    for number, mine in enumerate(words):
        for other in words[:number]:
            assert len(mine & other) < 0.7 * len(mine | other), (mine, other)


def test_no_new_prompt_is_one_that_the_adapter_was_trained_on() -> None:
    behavior = load_behavior("refusal", SWEEPS / "behaviors" / "refusal.jsonl")
    lines = (SWEEPS / "models" / ADAPTER / "train.jsonl").read_text(encoding="utf-8").splitlines()
    trained = {json.loads(line)["prompt"].casefold().strip(" ?.!") for line in lines}
    assert not trained & {prompt.text.casefold().strip(" ?.!") for prompt in behavior.test}
