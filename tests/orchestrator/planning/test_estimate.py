"""The cost model: against memory that was measured, and against itself where more work must cost more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors.types import DType, ModelSpec, Prompt, Quantization, Resources
from orchestrator.devices import ACCELERATORS, GIB, kind_of
from orchestrator.errors import InputError
from orchestrator.models.files import shape_of
from orchestrator.planning.costs import DEFAULT_COSTS
from orchestrator.planning.estimate import (
    VariantCost,
    VariantWork,
    cache_bytes,
    load_seconds,
    memory_limit,
    prompt_tokens,
    run_seconds,
    weight_bytes,
)
from tests.orchestrator.sweep_files import EMBEDDED, hub, plan_of

SMALL = ModelSpec("embedded", "smollm2-135m-instruct")
MIB = 1024**2


def spec(dtype: DType = "float32", quantization: Quantization = "none") -> ModelSpec:
    return ModelSpec("embedded", "smollm2-135m-instruct", dtype=dtype, quantization=quantization)


@pytest.mark.parametrize(
    ("dtype", "quantization", "measured"),
    [
        ("float32", "none", 513),
        ("bfloat16", "none", 257),
        ("bfloat16", "int8", 155),
        ("float32", "int8", 209),
        ("float32", "nf4", 159),
        ("bfloat16", "nf4", 105),
        ("bfloat16", "nf4-double", 105),
        ("float32", "fp4", 159),
        ("bfloat16", "fp4", 105),
    ],
)
def test_weights_take_what_was_measured(dtype: DType, quantization: Quantization, measured: int) -> None:
    """MiB of the loaded SmolLM2-135M as measured with bitsandbytes 0.50.2."""
    assert weight_bytes(shape_of(SMALL), spec(dtype, quantization)) / MIB == pytest.approx(measured, rel=0.07)


def test_the_cache_of_a_known_model() -> None:
    """SmolLM2: 30 layers, 3 heads of 64 for keys and for values, 4 bytes: 46,080 bytes a token."""
    assert cache_bytes(shape_of(SMALL), spec(), 1) == 30 * 2 * 3 * 64 * 4


def test_prompt_tokens_count_text_system_prompt_and_template() -> None:
    assert prompt_tokens(Prompt("p", "x" * 40), None) == 40
    assert prompt_tokens(Prompt("p", "x" * 41), "y" * 7) == 42


def test_the_plan_adds_up(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, layers=[9, 12], multipliers=[4, 8], decoding={"max_new_tokens": 50}, engine={"slots": 10})
    cost = plan.estimate
    assert (cost.rows, cost.loads) == (5 * 30, 1)
    assert cost.new_tokens == 5 * 30 * 50
    texts = plan.cells[0].prompts
    extraction = [*plan.directions[0].positive, *plan.directions[0].negative]
    assert cost.prompt_tokens == 5 * sum(prompt_tokens(p, None) for p in texts) + sum(prompt_tokens(p, None) for p in extraction)
    longest = max(prompt_tokens(p, None) for p in texts) + 50
    assert cost.peak_bytes[plan.models[0].variant] == weight_bytes(shape_of(SMALL), spec()) + 10 * longest * 46_080


def test_the_quickstarts_size_takes_minutes_on_two_cores(tmp_path: Path) -> None:
    """Measured: 150-250 tokens/s, prompt and new together, is the ceiling of two cores with the 135M model."""
    behaviors = {"refusal": {"file": "refusal.jsonl", "limit": 10}}
    decoding = {"max_new_tokens": 48}
    plan = plan_of(tmp_path, layers=[9, 12, 15], multipliers=[4, 8, 12, 20], behaviors=behaviors, decoding=decoding)
    rate = (plan.estimate.prompt_tokens + plan.estimate.new_tokens) / plan.estimate.seconds
    assert 40 < rate < 250


def work(new: int, slots: int, prompt: int = 0) -> VariantWork:
    """``new`` tokens to generate in ``slots`` rows at once."""
    return VariantWork(rows=slots, prompt=prompt, new=new, read=0, trials=0.0, slots=slots, longest=100)


def test_a_small_batch_on_a_gpu_is_bound_by_reading_the_weights(tmp_path: Path) -> None:
    model = plan_of(tmp_path, models={"b": hub("b", gpus=1, accelerator="A100-80G", dtype="bfloat16")}).models[0]
    variant = VariantCost(model.name, model.spec, model.shape, model.resources, 1)
    device = replace(ACCELERATORS["A100-80G"], block_seconds=0.0)
    one = run_seconds(variant, device, work(100, 1))
    assert one == pytest.approx(100 * 7.6e9 * 2 / (0.6 * 2039e9), rel=0.02)
    assert run_seconds(variant, device, work(800, 8)) == pytest.approx(one)
    half = VariantCost(model.name, model.spec, model.shape, Resources(0.5, 1, "A100-80G"), 1)
    assert run_seconds(half, device, work(100, 1)) == pytest.approx(2 * one)
    launching = replace(device, block_seconds=0.01)
    assert run_seconds(variant, launching, work(100, 1)) == pytest.approx(100 * 28 * 0.01)


@pytest.mark.parametrize(
    ("location", "step", "rate"), [("Qwen/Qwen2.5-32B-Instruct", 0.098, 2600), ("Qwen/Qwen2.5-7B-Instruct", None, 11_000)]
)
def test_a_full_batch_on_an_a100_follows_the_roofline(location: str, step: float | None, rate: int) -> None:
    """By hand: 256 rows x 2 x weights, at a bit more than half of the 312 TFLOP/s of the data sheet; that is longer
    than reading the weights at 2 TB/s, and than launching a graph."""
    spec = ModelSpec("hub", location, "main", dtype="bfloat16")
    variant = VariantCost("m", spec, shape_of(spec), Resources(gpus=1, gpu_memory=80), 1)
    device = DEFAULT_COSTS.device(variant.resources)
    seconds = run_seconds(variant, device, work(256 * 100, 256)) / 100
    assert seconds == pytest.approx(2 * 256 * variant.shape.parameters / (0.55 * 312e12))
    assert seconds > variant.shape.parameters * 2 / 2039e9
    assert 256 / seconds == pytest.approx(rate, rel=0.03)
    assert step is None or seconds == pytest.approx(step, rel=0.01)


def test_a_model_that_is_spread_is_reckoned_with_row_by_row(tmp_path: Path) -> None:
    """Each of its steps reads the weights for one token; on one GPU a step does so for all slots."""
    one, two = (
        plan_of(tmp_path, models={"b": hub("b", gpus=gpus, accelerator="A100-80G", dtype="bfloat16")}).estimate.models[0]
        for gpus in (1, 2)
    )
    loading = one.loads * load_seconds(one.weight_bytes, ACCELERATORS["A100-80G"])
    tokens = one.new_tokens
    assert two.new_tokens == tokens
    assert two.seconds - loading >= tokens * two.weight_bytes / ACCELERATORS["A100-80G"].bandwidth
    assert two.seconds - loading > 3 * (one.seconds - loading)


def test_a_mixture_of_experts_works_with_those_that_a_token_passes(tmp_path: Path) -> None:
    """Mixtral 8x7B: 46.7 B parameters to hold, 12.9 B to compute with (mistral.ai's own figures)."""
    entry = {"hub": "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpus": 1, "accelerator": "H200", "dtype": "bfloat16"}
    model = plan_of(tmp_path, models={"m": entry}).models[0]
    assert model.shape.working == pytest.approx(12.9e9, rel=0.005)
    variant = VariantCost(model.name, model.spec, model.shape, model.resources, 1)
    device = replace(ACCELERATORS["H200"], block_seconds=0.0)
    assert run_seconds(variant, device, work(0, 1, prompt=1000)) == pytest.approx(2 * 12.9e9 * 1000 / device.flops, rel=0.005)
    assert weight_bytes(model.shape, model.spec) == pytest.approx(2 * 46.7e9, rel=0.001)


def test_linear_attention_keeps_no_keys_and_values(tmp_path: Path) -> None:
    """Qwen3.5 9B: 8 of its 32 blocks have full attention, with 4 heads of 256 for keys and for values."""
    model = plan_of(tmp_path, models={"m": {"hub": "Qwen/Qwen3.5-9B", "dtype": "bfloat16"}}).models[0]
    assert cache_bytes(model.shape, model.spec, 1) == 8 * 2 * 4 * 256 * 2


def test_cosmic_costs_its_trials(tmp_path: Path) -> None:
    dim, cosmic, svd = (plan_of(tmp_path, methods=[name]).estimate for name in ("dim", "cosmic", "cosmic_svd"))
    assert dim.seconds == svd.seconds < cosmic.seconds


def test_more_work_costs_more(tmp_path: Path) -> None:
    few = plan_of(tmp_path, multipliers=[4]).estimate
    many = plan_of(tmp_path, multipliers=[4, 8, 12]).estimate
    quantized = plan_of(tmp_path, multipliers=[4], models={"small": {**EMBEDDED, "quantizations": ["int8"]}}).estimate
    assert few.seconds < many.seconds
    assert few.seconds < quantized.seconds
    assert sum(quantized.peak_bytes.values()) < sum(few.peak_bytes.values())


def test_a_transfer_from_a_later_model_loads_the_earlier_one_again(tmp_path: Path) -> None:
    models = {"b": hub("b"), "d": hub("d")}
    forward = plan_of(tmp_path, models=models, transfer=[{"source": "b", "target": "d"}])
    backward = plan_of(tmp_path, models=models, transfer=[{"source": "d", "target": "b"}])
    assert ([one.loads for one in forward.estimate.models], [one.loads for one in backward.estimate.models]) == ([1, 1], [2, 1])


def test_memory_limits() -> None:
    assert memory_limit(Resources()) is None
    assert memory_limit(Resources(gpus=2, accelerator="A100-80G")) == 2 * 79 * GIB
    assert memory_limit(Resources(gpus=0.5, accelerator="T4")) == 7.5 * GIB
    assert memory_limit(Resources(gpus=1)) == max(kind.memory_bytes or 0 for kind in ACCELERATORS.values())
    assert memory_limit(Resources(gpus=2, gpu_memory=80)) == 160e9
    kinds = [kind_of(Resources(gpus=1, gpu_memory=memory)) for memory in (0, 24, 80, 141, 1000)]
    assert kinds == ["A100-80G", "A100-80G", "A100-80G", "H200", "A100-80G"]
    assert (kind_of(Resources()), kind_of(Resources(gpus=1, accelerator="L4"))) == ("cpu", "L4")


@pytest.mark.parametrize(
    ("more", "fits"),
    [
        ({"gpus": 1, "accelerator": "T4", "dtype": "float32"}, False),
        ({"gpus": 1, "accelerator": "A100-80G", "dtype": "float32"}, True),
        ({"gpus": 1, "accelerator": "T4", "dtype": "bfloat16"}, True),
        ({"gpus": 2, "accelerator": "T4", "dtype": "float32"}, True),
        ({"gpus": 0.5, "accelerator": "T4", "dtype": "bfloat16"}, False),
        ({"gpus": 0.5, "accelerator": "T4", "dtype": "bfloat16", "quantizations": ["nf4"]}, True),
        ({}, True),
    ],
)
def test_a_7b_model_is_refused_where_it_cannot_fit(tmp_path: Path, more: dict[str, object], fits: bool) -> None:
    if fits:
        assert plan_of(tmp_path, models={"b": {**hub("b"), **more}}).cells
        return
    with pytest.raises(InputError, match=r"sweep\.yaml:\d+: models\.b\.gpus: model b cannot fit: its weights take"):
        plan_of(tmp_path, models={"b": {**hub("b"), **more}})


CHAIN = [
    {"name": "pilot", "layers": [3, 6], "multipliers": [4, 8]},
    {"name": "local", "choose": {"from": "pilot", "layer": "best", "multiplier": "calibrated"}},
    {"name": "report", "choose": {"from": "local", "layer": "best", "multiplier": "calibrated"}},
]


@pytest.mark.parametrize(("count", "loads"), [(1, 1), (2, 3)])
def test_a_chain_of_grids_comes_back_to_every_model_that_another_one_displaces(count: int, loads: int, tmp_path: Path) -> None:
    models = {name: hub(name) for name in ("a", "b")[:count]}
    plan = plan_of(tmp_path, models=models, layers=None, multipliers=None, grids=CHAIN)
    assert [model.loads for model in plan.estimate.models] == [loads] * count


def test_a_model_of_the_hub_is_downloaded_once_for_all_its_quantizations(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, models={"a": hub("a", quantizations=["none", "nf4"]), "small": EMBEDDED})
    bandwidth = DEFAULT_COSTS.download_bandwidth
    assert [model.download_seconds for model in plan.estimate.models] == [2 * plan.models[0].shape.parameters / bandwidth, 0, 0]
