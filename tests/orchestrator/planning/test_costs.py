"""The cost model's constants: given in a file, refitted from a run; and the time that a sweep takes on several GPUs."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from actors.types import ModelSpec, Quantization, Resources
from orchestrator.cells import variant_id
from orchestrator.cli import app
from orchestrator.cli.plan_table import cluster_lines, plan_json
from orchestrator.devices import ACCELERATORS, CPU
from orchestrator.errors import InputError
from orchestrator.models.files import ModelShape
from orchestrator.plan import PlannedModel, make_plan
from orchestrator.planning.costs import DEFAULT_COSTS, SLOWDOWN, encode_costs, load_costs
from orchestrator.planning.estimate import CLUSTERS
from orchestrator.planning.makespan import VariantTime, makespan
from orchestrator.refit import CellCost, Fit, VariantSample, refit
from orchestrator.sweep import load_sweep
from tests.orchestrator.samples import filled, grid
from tests.orchestrator.sweep_files import hub, plan_of, sweep_data, write_sweep

GPU = Resources(1, 1, "A100-80G")
KINDS: tuple[Quantization, Quantization, Quantization] = ("none", "int8", "nf4")


def written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "costs.yaml"
    path.write_text(text)
    return path


# --- a costs file


def test_a_file_replaces_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    text = "gpu_slots: 64\nslowdown: {int8: 5}\ndevices:\n  A100-80G: {flops: 1e14, block_seconds: 0}\n  cpu: {load_seconds: 1}\n"
    costs = load_costs(written(tmp_path, text))
    assert (costs.gpu_slots, costs.cpu_slots) == (64, DEFAULT_COSTS.cpu_slots)
    assert costs.slowdown == {**SLOWDOWN, "int8": 5.0}
    assert costs.named("A100-80G") == replace(ACCELERATORS["A100-80G"], flops=1e14, block_seconds=0.0)
    assert costs.named("cpu") == replace(CPU, load_seconds=1.0)
    assert costs.named("H100") is ACCELERATORS["H100"]
    assert load_costs(written(tmp_path, "")) == replace(DEFAULT_COSTS)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("gpu_slot: 3", (":1: gpu_slot", "unknown key", "did you mean 'gpu_slots'?")),
        ("devices: {A100-80: {flops: 1}}", (":1: devices.A100-80", "unknown device", "cpu, T4")),
        ("devices: {cpu: {flops: 0}}", ("devices.cpu.flops", "out of range")),
        ("devices: {cpu: {flop: 1}}", ("devices.cpu.flop", "unknown key", "did you mean 'flops'?")),
        ("slowdown: {int9: 1}", ("slowdown", "did you mean 'int8'?")),
        ("trial_share: much", ("trial_share", "wrong type")),
    ],
)
def test_a_fault_in_a_costs_file_is_told(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        load_costs(written(tmp_path, text))
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_costs_change_the_estimate_and_no_id(tmp_path: Path) -> None:
    sweep = load_sweep(write_sweep(tmp_path, sweep_data()))
    slow = load_costs(written(tmp_path, "devices: {cpu: {flops: 2e9}}"))
    one, other = make_plan(sweep), make_plan(sweep, None, slow)
    assert [cell.id for cell in one.cells] == [cell.id for cell in other.cells]
    assert other.estimate.seconds > 5 * one.estimate.seconds


# --- several GPUs

WORK = st.lists(st.tuples(st.floats(0, 1000), st.floats(1, 100)), min_size=1, max_size=12)


@settings(deadline=None)
@given(work=WORK, gpus=st.sampled_from([1, 2, 8, 64]))
def test_a_makespan_is_between_its_bounds(work: list[tuple[float, float]], gpus: int) -> None:
    variants = [VariantTime(*one) for one in work]
    total = sum(one.work + one.load for one in variants)
    found = makespan(variants, gpus)
    assert found.seconds <= total + 1e-6
    assert found.seconds >= total / gpus - 1e-6
    assert found.seconds >= max(one.load for one in variants)
    assert found.loads >= len(variants)
    assert found.gpu_seconds == pytest.approx(
        sum(one.work for one in variants) + sum(one.load for one in variants), abs=found.loads * 100
    )
    assert found.gpu_seconds >= total - 1e-6


def test_one_gpu_runs_everything_once() -> None:
    variants = [VariantTime(100, 10), VariantTime(40, 5), VariantTime(7, 1)]
    found = makespan(variants, 1)
    assert (found.seconds, found.gpu_seconds) == pytest.approx((163, 163))
    assert found.loads == 3


def test_without_splitting_it_is_as_good_as_trying_every_assignment() -> None:
    """Loads longer than the work: nothing is split, and longest-first is within 4/3 of the best of all assignments (Graham)."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        times = rng.uniform(1, 10, 6)
        found = makespan([VariantTime(float(time) / 100, float(time)) for time in times], 3)
        whole = times * 1.01
        best = min(
            max(sum(whole[i] for i in range(6) if where[i] == gpu) for gpu in range(3))
            for where in itertools.product(range(3), repeat=6)
        )
        assert best - 1e-9 <= found.seconds <= best * (4 / 3) + 1e-9


def test_a_large_model_gets_replicas_while_they_are_worth_their_loads() -> None:
    found = makespan([VariantTime(800, 10)], 8)
    assert found.seconds == pytest.approx(110)
    assert found.loads == 8
    assert makespan([VariantTime(8, 10)], 8).loads == 1


def test_a_plan_tells_1_8_and_64_gpus(tmp_path: Path) -> None:
    models = {name: hub(name, gpus=1, accelerator="A100-80G", dtype="bfloat16") for name in ("a", "b")}
    plan = plan_of(tmp_path, models=models, layers=[3])
    assert [one.gpus for one in plan.estimate.clusters] == list(CLUSTERS) == [1, 8, 64]
    (line,) = cluster_lines(plan)
    assert line.startswith("On A100-80G GPUs, about: 1: ")
    clusters = plan_json(plan)["clusters"]
    assert isinstance(clusters, list)
    assert clusters[0]["seconds"] == pytest.approx(plan.estimate.seconds, rel=0.01)
    assert clusters[0]["gpu_hours"] == pytest.approx(clusters[0]["seconds"] / 3600, abs=1e-3)
    assert cluster_lines(plan_of(tmp_path / "cpu")) == []


# --- refit


def planned(parameters: int, resources: Resources, quantization: Quantization = "none", n_layers: int = 10) -> PlannedModel:
    shape = ModelShape(n_layers, 64, 4, 4, 16, 128, 1000, "llama", "llama", parameters, parameters // 10)
    spec = ModelSpec("hub", f"example/m{parameters}", "main", quantization=quantization)
    return PlannedModel(f"m{parameters}", spec, variant_id(spec), shape, resources)


def cpu_cells(model: PlannedModel, counts: list[tuple[int, int]], flops: float, decode: float) -> VariantSample:
    """Cells that took exactly what two rates say."""
    work = 2.0 * model.shape.parameters
    cells = tuple(CellCost(10, prompt, new, work * prompt / flops + work * new / decode) for prompt, new in counts)
    return VariantSample(model, cells)


def device(fit: Fit, name: str) -> dict[str, float]:
    found = fit.found["devices"][name]
    assert isinstance(found, dict)
    return found


def test_both_rates_are_found_where_the_cells_tell_them_apart() -> None:
    measured = cpu_cells(planned(10**8, Resources()), [(1000, 100), (100, 1000), (500, 500)], 5e10, 2e10)
    fit = refit([measured])
    assert device(fit, "cpu") == {"flops": pytest.approx(5e10), "decode_flops": pytest.approx(2e10)}
    assert any("prefill and decode rates from 3 cells, off by 0%" in note for note in fit.notes)


def test_one_rate_where_they_cannot_be_told_apart_and_it_is_said() -> None:
    measured = cpu_cells(planned(10**8, Resources()), [(400, 480), (401, 480), (400, 481), (402, 480)], 3e10, 3e10)
    fit = refit([measured])
    assert device(fit, "cpu")["flops"] == pytest.approx(3e10, rel=1e-3)
    assert device(fit, "cpu")["decode_flops"] == pytest.approx(3e10, rel=1e-3), "or the default's would stay in the plan"
    assert any("grow together" in note for note in fit.notes)


@pytest.mark.parametrize("bound", ["bandwidth", "block_seconds"])
def test_a_gpus_step_is_put_down_to_what_explains_it(bound: str) -> None:
    measured = []
    for parameters, n_layers in ((10**9, 24), (4 * 10**9, 30)):
        model = planned(parameters, GPU, n_layers=n_layers)
        step = 4.0 * parameters / 1e12 if bound == "bandwidth" else n_layers * 2e-3
        measured.append(VariantSample(model, (CellCost(64, 0, 6400, 100 * step, slots=64),)))
    fit = refit(measured)
    assert device(fit, "A100-80G")[bound] == pytest.approx(1e12 if bound == "bandwidth" else 2e-3, rel=0.01)
    alone = refit(measured[:1])
    assert any("one size of model does not tell memory from launches" in note for note in alone.notes)


def test_slowdowns_are_against_the_same_model_unquantized() -> None:
    plain, int8, nf4 = (planned(10**8, Resources(), kind) for kind in KINDS)
    counts = [(1000, 100), (100, 1000), (500, 500)]
    measured = [cpu_cells(plain, counts, 3e10, 3e10), cpu_cells(int8, counts, 1e10, 1e10)]
    fit = refit(measured)
    assert fit.found["slowdown"] == {"int8": pytest.approx(3.0)}
    lonely = refit([cpu_cells(nf4, counts, 1e10, 1e10)])
    assert lonely.found["slowdown"] == {}
    assert any("the unquantized model did not run" in note for note in lonely.notes)


def test_loads_of_two_sizes_give_the_fixed_cost_and_the_bandwidth() -> None:
    measured = []
    for parameters in (10**9, 5 * 10**9):
        seconds = 7.0 + 4.0 * parameters / 2e9
        cells = (CellCost(1, 10, 10, 1.0, slots=8, worker="w1", load_seconds=seconds),)
        measured.append(VariantSample(planned(parameters, GPU), cells))
    found = device(refit(measured), "A100-80G")
    assert (found["load_seconds"], found["load_bandwidth"]) == pytest.approx((7, 2e9), rel=0.01)
    one = refit(measured[:1])
    assert device(one, "A100-80G")["load_seconds"] == pytest.approx(9 - 4.0)  # at the default 1 GB/s
    assert "load_bandwidth" not in device(one, "A100-80G")
    assert any("1 load of one size" in note for note in one.notes)


def test_a_refitted_file_is_a_costs_file(tmp_path: Path) -> None:
    fit = refit([cpu_cells(planned(10**8, Resources()), [(1000, 100), (100, 1000), (500, 500)], 5e10, 2e10)])
    text = encode_costs(fit.found, "\n".join(["Refitted.", *fit.notes]))
    assert text.startswith("# Refitted.\n# cpu: ")
    costs = load_costs(written(tmp_path, text))
    assert (costs.named("cpu").flops, costs.named("cpu").decode_flops) == pytest.approx((5e10, 2e10))
    assert yaml.safe_load(text)["devices"]["cpu"]["flops"] == pytest.approx(5e10)


SMALL = ((6, 221, 144, 6.5), (6, 221, 90, 3.62), (6, 221, 144, 5.26))
LARGE = ((12, 430, 366, 13.64), (12, 430, 352, 11.23), (12, 430, 384, 11.97), (12, 430, 366, 10.65), (12, 430, 346, 10.27))
"""Rows, prompt tokens, new tokens and seconds of the cells of two runs of the embedded model, on a busy machine, one thread."""
RUNS = {
    "small": (SMALL, 24, 23.59, {"layers": [15], "multipliers": [8, 20]}),
    "large": (LARGE, 32, 21.03, {"layers": [9, 21], "multipliers": [4, 12]}),
}
"""Their cells, tokens that an answer may have, seconds of their load, and what they ran."""


@pytest.mark.parametrize(("fitted", "judged"), [("small", "large"), ("large", "small")])
def test_a_plan_with_what_one_run_showed_is_nearer_to_the_other_than_the_default_s(
    fitted: str, judged: str, tmp_path: Path
) -> None:
    cells, most, load, _ = RUNS[fitted]
    (model,) = plan_of(tmp_path / "model").models
    costs = [CellCost(n, prompt, new, took, n * len(cells), "w", load, n * most) for n, prompt, new, took in cells]
    found = load_costs(written(tmp_path, encode_costs(refit([VariantSample(model, tuple(costs))]).found, "")))
    cells, most, load, axes = RUNS[judged]
    behaviors = {"refusal": {"file": "refusal.jsonl", "limit": cells[0][0]}}
    sweep = load_sweep(write_sweep(tmp_path, sweep_data(behaviors=behaviors, decoding={"max_new_tokens": most}, **axes)))
    took = load + sum(cell[3] for cell in cells)
    by_default, refitted = (make_plan(sweep, None, one).estimate.seconds / took for one in (DEFAULT_COSTS, found))
    assert abs(np.log(refitted)) < abs(np.log(by_default)) / 3
    assert 0.8 < refitted < 1.25
    assert found.answer_share == pytest.approx({"small": 0.875, "large": 0.945}[fitted], abs=1e-3)


def test_steps_that_were_faster_than_memory_is_said_to_be_make_it_faster() -> None:
    model = planned(10**8, Resources())
    cells = tuple(CellCost(10, 1000, 1000, 2.0 * 10**8 * 2000 / 1e12, slots=100) for _ in range(3))
    found = device(refit([VariantSample(model, cells)]), "cpu")
    assert found["decode_flops"] == pytest.approx(1e12)
    step = 2.0 * 10**8 * 100 / 1e12
    assert 4.0 * 10**8 / found["bandwidth"] == pytest.approx(step), "else reading the weights would take longer than the step did"


def test_a_file_that_is_no_costs_file_is_not_written_over(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, sweep_data())
    notes, costs = written(tmp_path / "sub", "mine\n"), written(tmp_path, "cpu_slots: 8\n")
    root, texts = filled(tmp_path / "out", grid()).root, {path: path.read_text() for path in (sweep, notes)}
    for path in (sweep, notes):
        told = CliRunner().invoke(app, ["refit", str(root), "--out", str(path)])
        assert told.exit_code == 2, told.output
        assert "--out: it is there already, and no costs file" in told.output
    assert {path: path.read_text() for path in texts} == texts
    assert "no costs file" not in CliRunner().invoke(app, ["refit", str(root), "--out", str(costs)]).output


def test_nothing_to_fit_is_said() -> None:
    with pytest.raises(InputError, match="nothing to fit"):
        refit([])
