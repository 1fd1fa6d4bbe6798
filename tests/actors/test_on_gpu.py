"""A worker on a GPU that is not there (``tests.pretend_cuda``): whatever it is asked, it gives what it gives on the CPU."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from actors.boundary import Answered
from actors.engine.graphs import GRAPH
from actors.loading import load_model
from actors.types import (
    ActivationsJob,
    CellResult,
    Condition,
    DamageJob,
    Decoding,
    DivergencesJob,
    DType,
    EngineOptions,
    ExtractionJob,
    FloatArray,
    GenerationJob,
    JudgingJob,
    Prompt,
    ShiftsJob,
    Steering,
)
from actors.worker import ModelWorker
from tests.actors.engine.test_every_steering import PROMPTS, Compared
from tests.every_steering import AXES, few, steerings
from tests.pretend_cuda import PretendGpu, on_gpu, plug_in

Loader = Callable[..., ModelWorker]
STEERINGS = 16
"""So few have every value of every axis."""
KIND = tuple(Prompt(f"k{number}", text) for number, text in enumerate(("be kind to me", "love the sea", "thanks a lot")))
UNKIND = tuple(Prompt(f"u{number}", text) for number, text in enumerate(("be bad", "hate it all", "go away now")))
ANSWERS = tuple((prompt, tuple(range(10, 10 + n))) for prompt in PROMPTS for n in (0, 5, 40))
BEFORE_MEASURING = 3
"""Waits of one firing check: its numbers go there in two copies, and come back in one."""


@contextmanager
def on_a_gpu(cpu: ModelWorker) -> Iterator[tuple[ModelWorker, PretendGpu]]:
    """In the ``with`` block a worker that holds the same model on the GPU, and the GPU."""
    worker, loaded = ModelWorker(), load_model(cpu._held().spec)
    with pytest.MonkeyPatch.context() as monkeypatch, plug_in(monkeypatch) as gpu:
        info = worker.hold(on_gpu(loaded), EngineOptions(slots=16))
        assert info.device == "cuda:0"
        assert "in a batch" in info.provenance["checked"], info.provenance["checked"]
        gpu.waits.clear()
        yield worker, gpu


def cells(worker: ModelWorker, jobs: Sequence[GenerationJob]) -> dict[str, list[tuple[int, ...]]]:
    """What each cell's rows answer."""
    results = list(worker.generate(jobs))
    assert all(isinstance(one, CellResult) for one in results), results
    return {one.cell_id: [row.token_ids for row in one.responses] for one in results if isinstance(one, CellResult)}


def steered() -> list[Steering]:
    """Two at places and fading, one within a block, one in a plane, and one of two parts under a condition."""
    random = np.random.default_rng(0)
    unit, other = np.linalg.qr(random.standard_normal((64, 2)))[0].T.astype(np.float32)
    vectors = np.repeat(unit[None], 3, axis=0)
    condition = Condition(2, other, 0.0, above=True)
    return [
        Steering((1, 2, 3), vectors, 9.0, positions="last_prompt+first:2"),
        Steering((1, 2, 3), vectors, 9.0, positions="generation", schedule="linear:4", keep_norm=True),
        Steering((1, 2, 3), vectors, 1.0, "ablation", site="mlp"),
        Steering((1, 2, 3), vectors, 70.0, "angular", bases=(other[None],) * 3),
        Steering((1,), vectors[:1], 6.0, condition=condition, then=(Steering((3,), vectors[:1], 4.0, "replacement"),)),
    ]


def answer_alike(cpu: ModelWorker, made: Sequence[Steering]) -> PretendGpu:
    """Greedy and drawn answers are those of the CPU, in recorded steps."""
    greedy = [GenerationJob(f"c{number}", PROMPTS, Decoding(4), one) for number, one in enumerate(made)]
    drawing = Decoding(2, temperature=0.8, top_p=0.9)
    every = [GenerationJob("base", PROMPTS, Decoding(9)), *greedy], [GenerationJob("drawn", PROMPTS, drawing, made[0])]
    expected = [cells(cpu, jobs) for jobs in every]
    with on_a_gpu(cpu) as (worker, gpu):
        for jobs, answers in zip(every, expected, strict=True):
            assert cells(worker, jobs) == answers
            assert worker._engine is not None
            assert worker._engine.decoding == GRAPH
    assert gpu.replays
    return gpu


def test_answers_are_those_of_the_cpu_and_a_firing_check_waits_three_times(tiny_worker: Loader) -> None:
    gpu = answer_alike(tiny_worker("llama", slots=32), steered())
    waits = {where: times for where, times in gpu.waits.items() if "firing.py" in where and " _record " in where}
    checks = sum(times for where, times in waits.items() if where.startswith("tolist"))
    assert checks
    assert sum(waits.values()) <= BEFORE_MEASURING * checks, "however many layers are steered"


@pytest.mark.slow
def test_every_steering_answers_as_on_the_cpu(tiny_worker: Loader) -> None:
    cpu = tiny_worker("llama", slots=32)
    answer_alike(cpu, [one for _, one in steerings(few(AXES, STEERINGS), Compared(cpu, cpu._held().model).where())])


@pytest.mark.parametrize(("family", "dtype"), [("qwen2", "float16"), pytest.param("gemma2", "bfloat16", marks=pytest.mark.slow)])
def test_half_precision_is_recorded_and_fires(family: str, dtype: DType, tiny_worker: Loader) -> None:
    unit = np.full((3, 64), 0.125, np.float32)
    jobs = [GenerationJob(f"c{number}", PROMPTS, Decoding(8), Steering((1, 2, 3), unit, 4.0 + number)) for number in range(2)]
    with on_a_gpu(tiny_worker(family, dtype)) as (worker, _):
        for one in worker.generate(jobs):
            assert isinstance(one, CellResult)
            assert one.fired.fired
            assert one.provenance["decoding"] == GRAPH


@pytest.mark.slow
def test_everything_else_measures_as_on_the_cpu(tiny_worker: Loader) -> None:
    cpu = tiny_worker("llama", slots=32)
    expected = list(measured(cpu))
    with on_a_gpu(cpu) as (worker, _):
        for ours, theirs in zip(measured(worker), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=2e-4)


def measured(worker: ModelWorker) -> Iterator[FloatArray]:
    """Numbers of damage, judging, activations, injections, and directions by both extractors and by a method that tries them."""
    loaded = worker._held()
    directions = np.random.default_rng(4).standard_normal((loaded.decoder.n_layers, loaded.d_model)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    steering = Steering((1, 2), directions[1:3], 8.0, positions="last_prompt+generation")
    injected: dict[str, Any] = {"layers": (1, 2), "multipliers": (2.0,), "random": 1}
    asked: list[tuple[Any, Any]] = [
        (worker.damage, DamageJob("damage", steering, PROMPTS, 3, ANSWERS)),
        (worker.judge, JudgingJob("judge", {"a": "Is this one?", "b": "Well then, is it?"}, (("yes", "no"), ("1", "2")))),
        (worker.activations, ActivationsJob("activations", KIND, UNKIND)),
        (worker.shifts, ShiftsJob("shifts", PROMPTS, directions, **injected, kept=(3,))),
        (worker.divergences, DivergencesJob("divergences", PROMPTS, directions, **injected, positive=KIND, negative=UNKIND)),
    ]
    for ask, job in asked:
        (found,) = ask([job])
        assert isinstance(found, Answered), found
        yield numbers(found.content)
    for method, extractor, site in (("dim", "hooks", "heads"), ("dim", "nnsight", "output"), ("cosmic", "hooks", "output")):
        options = {} if site == "output" else {"site": site}
        yield worker.extract(ExtractionJob("x", KIND, UNKIND, method, options, extractor)).vectors  # type: ignore[arg-type]


def numbers(content: bytes) -> FloatArray:
    """All numbers of a JSON document, or of a safetensors file, in order, but for seconds."""
    if not content.startswith(b"{"):
        from safetensors.numpy import load

        return np.concatenate([one.ravel().astype(np.float32) for _, one in sorted(load(content).items())])
    found: list[float] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            for name, one in value.items():
                collect(one if name != "seconds" else None)
        elif isinstance(value, list):
            for one in value:
                collect(one)
        elif isinstance(value, int | float):
            found.append(float(value))

    collect(json.loads(content))
    return np.array(found, np.float32)
