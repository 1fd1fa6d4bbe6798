"""The engine's promises: a row's bits depend on the row alone; memory failures lose nothing; failures stay alone."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from actors.engine.decode import SlotBatch
from actors.engine.engine import Engine, batch_dependence
from actors.engine.lanes import Lanes
from actors.engine.prefill import Prefilled
from actors.engine.rows import Row
from actors.engine.segments import SegmentRunner
from actors.engine.stopwatch import Stopwatch
from actors.errors import OutOfMemoryError
from actors.stacks import StackBank
from actors.steering import SteeringHooks
from actors.types import (
    CellResult,
    Decoding,
    DType,
    EngineOptions,
    Failure,
    GenerationJob,
    ModelSpec,
    Prompt,
    Quantization,
    Steering,
    Underway,
)
from actors.worker import ModelWorker
from tests.architectures import tiny_architecture
from tests.oracle import TIE, first_difference, generate_alone
from tests.threads import on_threads
from tests.tiny import tiny_model, tiny_tokenizer

TEXTS = [
    "How do I bake a cake?",
    "Hi",
    "Tell me a joke",
    "Why is the sky blue at noon and red at dusk, and what about the moon?",
    "What are the planets?",
    "Recipe for pasta?",
    "x" * 120,
]
PROMPTS = tuple(Prompt(f"P{i}", text) for i, text in enumerate(TEXTS))
Bits = dict[tuple[str, str], tuple[tuple[int, ...], str]]
Loader = Callable[..., ModelWorker]


def jobs_of(worker: ModelWorker, n_new: int = 14) -> list[GenerationJob]:
    """Cells with different layers, directions, strengths and lengths."""
    loaded = worker._loaded
    assert loaded is not None
    rng = np.random.default_rng(1)
    jobs = [GenerationJob("base", PROMPTS, Decoding(n_new))]
    for number, (first, multiplier) in enumerate([(0, 9.0), (1, 4.0), (2, -8.0), (2, 15.0), (4, 20.0), (1, 30.0)]):
        vector = rng.standard_normal((1, loaded.d_model)).astype(np.float32)
        layers = tuple(range(first, loaded.decoder.n_layers))
        vectors = np.repeat(vector / np.linalg.norm(vector), len(layers), axis=0)
        jobs.append(GenerationJob(f"cell{number}", PROMPTS, Decoding(n_new + number % 3), Steering(layers, vectors, multiplier)))
    return jobs


def run(worker: ModelWorker, jobs: Sequence[GenerationJob]) -> dict[str, CellResult]:
    """Results by cell; every job must succeed."""
    results = {}
    for result in worker.generate(jobs):
        assert isinstance(result, CellResult), result
        results[result.cell_id] = result
    return results


def logits_of(worker: ModelWorker, jobs: Sequence[GenerationJob], monkeypatch: pytest.MonkeyPatch) -> Bits:
    """Tokens of every row, and a digest of every logit vector that chose them, by (cell, prompt)."""
    seen: dict[tuple[str, str], list[bytes]] = {}
    of_slot: dict[int, Tensor] = {}
    begin, step, forward = Engine._begin, SlotBatch.step, SlotBatch._forward

    def note(row: Row, logits: Tensor) -> None:
        seen.setdefault((jobs[row.job].cell_id, row.rendered.prompt.id), []).append(logits.float().numpy().tobytes())

    def spy_begin(self: Engine, prefilled: Prefilled, batch: SlotBatch, bank: StackBank, watch: Stopwatch) -> Iterator[Row]:
        yield from begin(self, prefilled, batch, bank, watch)
        for place, row in enumerate(prefilled.rows):
            note(row, prefilled.logits[place])

    def spy_forward(self: SlotBatch, span: slice) -> Tensor:
        logits = forward(self, span)
        of_slot.update(zip(range(span.start, span.stop), logits, strict=True))
        return logits

    def spy_step(self: SlotBatch, hooks: SteeringHooks) -> tuple[Tensor, Tensor]:
        result = step(self, hooks)
        for slot, row in enumerate(self.rows):
            if row is not None:
                note(row, of_slot[slot])
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "_begin", spy_begin)
        patch.setattr(SlotBatch, "_forward", spy_forward)
        patch.setattr(SlotBatch, "step", spy_step)
        results = run(worker, jobs)
    return {
        (cell, response.prompt_id): (
            response.token_ids,
            hashlib.sha256(b"".join(seen[cell, response.prompt_id])).hexdigest(),
        )
        for cell, result in results.items()
        for response in result.responses
    }


def spy_on(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[tuple[Any, ...]]:
    """The arguments of every call of a method from now on."""
    calls: list[tuple[Any, ...]] = []
    method = getattr(owner, name)

    def spy(*arguments: Any) -> Any:
        calls.append(arguments)
        return method(*arguments)

    monkeypatch.setattr(owner, name, spy)
    return calls


def twice(*always: tuple[DType, str], families: Sequence[str]) -> list[Any]:
    """Dtype and family: those named in every test run, the rest where it may take longer."""
    dtypes: tuple[DType, ...] = ("float32", "bfloat16")
    pairs = [(dtype, family) for dtype in dtypes for family in families]
    return [pytest.param(*pair, marks=() if pair in always else pytest.mark.slow) for pair in pairs]


@pytest.mark.parametrize(("dtype", "family"), twice(
    ("float32", "gemma2"), ("bfloat16", "llama"),
    families=("llama", "gemma2", "mistral", "qwen3"),
))  # fmt: skip
def test_bits_do_not_depend_on_the_batch(family: str, dtype: DType, tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tiny_worker(family, dtype)
    jobs = jobs_of(worker, n_new=9)
    together = logits_of(worker, jobs, monkeypatch)
    alone: Bits = {}
    for job in jobs:
        alone |= logits_of(worker, [job], monkeypatch)
    assert alone == together
    backwards = logits_of(worker, jobs[::-1], monkeypatch)
    assert backwards == together
    few_slots = tiny_worker(family, dtype, slots=16)
    assert logits_of(few_slots, jobs[3:] + jobs[:3], monkeypatch) == together, "refilled slots change the bits"
    for job, prompt in ((jobs[2], PROMPTS[3]), (jobs[2], PROMPTS[1]), (jobs[0], PROMPTS[3]), (jobs[0], PROMPTS[2])):
        single = [dataclasses.replace(job, prompts=(prompt,))]
        segments = spy_on(monkeypatch, SegmentRunner, "run")
        (key,) = logits_of(worker, single, monkeypatch).items()
        assert together[key[0]] == key[1]
        assert len(segments) == 1, "a row that shares nothing runs its prompt once, in one piece"


@pytest.mark.parametrize(("dtype", "family"), twice(
    ("float32", "llama"), ("bfloat16", "gemma2"), families=("llama", "gemma2", "qwen3")
))  # fmt: skip
def test_lanes_change_no_bit(family: str, dtype: DType, tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of the batch on threads of their own; first on one lane."""
    worker = tiny_worker(family, dtype)
    assert worker._engine is not None
    jobs = jobs_of(worker, n_new=9)
    monkeypatch.setattr(worker._engine, "_lanes", Lanes(1))
    together = logits_of(worker, jobs, monkeypatch)
    monkeypatch.setattr("actors.engine.lanes.ROWS_PER_LANE", 1)
    for count in (2, 3):
        monkeypatch.setattr(worker._engine, "_lanes", Lanes(count))
        spans = spy_on(monkeypatch, SlotBatch, "_forward")
        assert logits_of(worker, jobs, monkeypatch) == together
        assert max(span.start for _, span in spans) > 0, "no part but the first has run"


@pytest.fixture
def two_threads() -> Iterator[int]:
    yield from on_threads(2)


@pytest.mark.usefixtures("two_threads")
def test_where_bits_depend_on_the_shape_lanes_that_are_held_up_stay(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Experts on two cores that another process has all the while: forwards keep their rows."""
    worker = tiny_worker("mixtral")
    monkeypatch.setattr("actors.engine.lanes.SHORTEST", 0.0)
    monkeypatch.setattr("actors.engine.lanes.WAITED", SimpleNamespace(read_text=lambda: f"0 {time.perf_counter_ns()} 0"))
    rows = []
    for _ in range(2):
        with monkeypatch.context() as patch:
            forwards = spy_on(patch, SegmentRunner, "_forward")
            run(worker, jobs_of(worker, n_new=2)[:2])
        rows.append(sorted(len(segment.tokens) for _, segment in forwards))
    assert min(rows[0]) < 16, "there are lanes"
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    "quantization", ["int8", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("nf4", "nf4-double", "fp4", "fp4-double"))]
)
def test_quantized_rows_equal_generate(quantization: Quantization, tiny_worker: Loader) -> None:
    # INT8 picks outlier columns over the whole batch (a limit that the provenance states): compare where there are none.
    worker = tiny_worker("llama_calm" if quantization == "int8" else "llama", "float32", quantization)
    loaded = worker._loaded
    assert loaded is not None
    differences = 0
    jobs = jobs_of(worker, n_new=8)
    for job_id, result in run(worker, jobs).items():
        job = next(job for job in jobs if job.cell_id == job_id)
        for prompt, response in zip(PROMPTS, result.responses, strict=True):
            ids = loaded.renderer.render(prompt).token_ids
            n_new = job.decoding.max_new_tokens
            guess = response.token_ids if prompt is not PROMPTS[0] else None
            alone = generate_alone(loaded.model, loaded.decoder.blocks, ids, job.steering, n_new, guess=guess)
            gap = first_difference(loaded.model, loaded.decoder.blocks, ids, job.steering, response.token_ids, alone)
            if gap is not None and gap.gap >= TIE:
                differences += 1
    assert differences == 0, f"{quantization}: {differences} rows differ from generate"


def test_same_cells_twice_in_fixed_shape_are_identical(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama", "float32", "int8")
    first, second = run(worker, jobs_of(worker, 6)), run(worker, jobs_of(worker, 6))
    for cell, result in first.items():
        assert [r.token_ids for r in result.responses] == [r.token_ids for r in second[cell].responses]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("simulated"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["allocator", "driver", "cuBLAS"],
)
def test_out_of_memory_halves_and_loses_nothing(
    error: RuntimeError, tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker("llama", slots=64)
    jobs = jobs_of(worker)
    expected = run(worker, jobs)
    real_step = SlotBatch.step
    sizes: list[int] = []

    def short_of_memory(self: SlotBatch, hooks: SteeringHooks) -> tuple[Tensor, Tensor]:
        sizes.append(self.shape.slots)
        if self.shape.slots > 16:
            raise error
        return real_step(self, hooks)

    monkeypatch.setattr(SlotBatch, "step", short_of_memory)
    recovered = run(worker, jobs)
    assert sizes[0] > 16
    assert sizes[-1] <= 16
    for cell, result in expected.items():
        assert [r.token_ids for r in recovered[cell].responses] == [r.token_ids for r in result.responses]


def test_out_of_memory_at_the_smallest_batch_is_an_error(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tiny_worker("llama", slots=16)

    def never(self: object, hooks: object) -> tuple[Tensor, Tensor]:
        raise torch.OutOfMemoryError("simulated")

    monkeypatch.setattr(SlotBatch, "step", never)
    with pytest.raises(OutOfMemoryError, match="16 slots"):
        list(worker.generate(jobs_of(worker)))


def test_one_bad_job_fails_alone(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    jobs = jobs_of(worker)[:2]
    wide = Steering((1,), np.ones((1, 9), np.float32), 3.0)
    outcomes = list(worker.generate([GenerationJob("wide", PROMPTS, Decoding(4), wide), *jobs]))
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert [failure.item_id for failure in failures] == ["wide"]
    assert "(1, 9)" in failures[0].message
    assert failures[0].kind == "job"
    assert {o.cell_id for o in outcomes if isinstance(o, CellResult)} == {"base", "cell0"}


def test_non_finite_logits_fail_their_cell_alone(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    jobs = jobs_of(worker)[:2]
    endless = Steering((2, 3, 4), np.full((3, 64), 1e38, np.float32), 3.0)  # one shift is finite, two are not
    outcomes = list(worker.generate([GenerationJob("inf", PROMPTS, Decoding(4), endless), *jobs]))
    (failure,) = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert (failure.item_id, failure.kind) == ("inf", "non_finite")
    expected = run(worker, jobs)
    for outcome in outcomes:
        if isinstance(outcome, CellResult):
            assert outcome.responses == expected[outcome.cell_id].responses, "a neighbour's NaN leaked"


def test_a_slot_is_clean_for_the_row_after_one_that_is_not_finite(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its keys beyond the new row's own are masked, but 0 times NaN is NaN."""
    worker = tiny_worker("llama", slots=16)
    assert worker._engine is not None
    worker._engine._loaded = dataclasses.replace(worker._engine._loaded, batch_dependence="as on CUDA")
    prompts = tuple(Prompt(f"p{number}", f"Question {number:02}") for number in range(16))  # of one length, so in one batch
    job = GenerationJob("good", prompts[:5], Decoding(6))
    spoiled = GenerationJob("spoiled", prompts, Decoding(6))
    expected = run(worker, [job])["good"].responses
    step = SlotBatch.step

    def breaks_once(self: SlotBatch, hooks: SteeringHooks) -> tuple[Tensor, Tensor]:
        tokens, finite = step(self, hooks)
        broken = torch.tensor([row is not None and row.job == 0 for row in self.rows])
        for slot in broken.nonzero().flatten().tolist():
            for kept in self._cache._store:
                assert kept is not None
                kept[0][slot], kept[1][slot] = torch.nan, torch.nan
        return tokens, finite & ~broken

    monkeypatch.setattr(SlotBatch, "step", breaks_once)
    # All sixteen slots are refilled.
    outcomes = {getattr(one, "item_id", getattr(one, "cell_id", "")): one for one in worker.generate([spoiled, job])}
    assert isinstance(outcomes["spoiled"], Failure)
    good = outcomes["good"]
    assert isinstance(good, CellResult), good
    assert good.responses == expected


def test_no_slot_is_given_a_position_that_the_model_does_not_have(tiny_worker: Loader) -> None:
    """Learned positions end where rows may: a slot whose row ended there, beside rows that go on, must not go further."""
    worker = tiny_worker("gpt2", slots=16)
    assert worker._engine is not None
    worker._engine._loaded = dataclasses.replace(worker._engine._loaded, batch_dependence="as on CUDA")
    text = "".join(chr(97 + place % 26) for place in range(700))
    template = len(worker._held().renderer.render(Prompt("x", text[:100])).token_ids) - 100  # a token for each letter
    longest = 508 - template
    ends, goes_on = Prompt("ends", text[:longest]), Prompt("goes on", text[: longest - 8])
    jobs = [GenerationJob("short", (ends,), Decoding(4)), GenerationJob("long", (goes_on,), Decoding(12))]
    together = run(worker, jobs)
    for job in jobs:
        assert run(worker, [job])[job.cell_id].responses == together[job.cell_id].responses


def test_how_far_the_rows_are_is_told_when_it_is_asked_for(tiny_worker: Loader) -> None:
    """And the answers are the same as without."""
    worker = tiny_worker("llama")
    jobs = jobs_of(worker)
    told = list(worker.generate(jobs, 0.0))
    underway = [one for one in told if isinstance(one, Underway)]
    results = {one.cell_id: one for one in told if isinstance(one, CellResult)}
    n = sum(len(job.prompts) for job in jobs)
    assert [one.tokens for one in underway] == sorted(one.tokens for one in underway)
    assert 0 < underway[0].tokens <= n
    assert underway[0].rows > underway[-1].rows
    plain = run(worker, jobs)
    assert {key: one.responses for key, one in results.items()} == {key: one.responses for key, one in plain.items()}


def test_nothing_stays_on_the_model(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    loaded = worker._loaded
    assert loaded is not None
    before = loaded.model.config._attn_implementation
    generator = worker.generate(jobs_of(worker))
    next(generator)
    assert isinstance(generator, Generator)
    generator.close()
    assert loaded.model.config._attn_implementation == before
    assert loaded.decoder.final_norm is not None
    for block in [*loaded.decoder.blocks, loaded.decoder.final_norm]:
        assert not block._forward_hooks
        assert not block._forward_pre_hooks
        assert "forward" not in block.__dict__


def test_multiplier_zero_is_the_baseline(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    steering = Steering((1, 2), np.repeat(np.eye(1, 64, dtype=np.float32), 2, axis=0), 0.0)
    results = run(worker, [GenerationJob("zero", PROMPTS, Decoding(9), steering), GenerationJob("base", PROMPTS, Decoding(9))])
    assert [r.token_ids for r in results["zero"].responses] == [r.token_ids for r in results["base"].responses]
    assert results["zero"].fired.fired is None


def test_a_budget_for_thoughts_of_a_model_that_shows_no_marks_of_them_is_remarked_on_once(
    tiny_worker: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    worker, asked = tiny_worker("llama"), (Prompt("t", "Think in <think> and </think>."),)
    told = "neither chat template nor tokenizer has marks of thoughts"
    run(worker, [GenerationJob("plain", PROMPTS, Decoding(3)), GenerationJob("asked", asked, Decoding(3, 9))])
    assert told not in caplog.text
    run(worker, [GenerationJob(name, PROMPTS, Decoding(3, 9)) for name in ("one", "two")])
    assert caplog.text.count(told) == 1


def test_batch_dependence_names_its_reason() -> None:
    assert "experts" in str(batch_dependence(tiny_model("mixtral")))
    assert batch_dependence(tiny_model("llama")) is None, "this machine's matrix products depend on the batch size"
    experts = str(batch_dependence(tiny_model("mixtral").to("meta")))
    assert ["experts" in reason or "CUDA" in reason for reason in experts.split("; ")] == [True, True], "every reason"
    assert "CUDA" in str(batch_dependence(tiny_model("llama").to("meta"))), "a device whose products are not measured"


def test_seconds_add_up_to_the_time_of_the_run(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    started = time.perf_counter()
    results = run(worker, jobs_of(worker))
    wall = time.perf_counter() - started
    total = sum(result.seconds for result in results.values())
    assert 0 < total <= wall
    assert all(result.seconds > 0 for result in results.values())


def test_cells_share_the_time_of_what_their_prompts_ran_in_side_by_side(
    tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on while prompts run and at no other time: steered at layers of their own, cells cost the same."""
    worker, now = tiny_worker("llama"), [0.0]
    run_all = SegmentRunner.run_all

    def take_a_second(self: SegmentRunner, segments: Any) -> Any:
        now[0] += 1.0
        return run_all(self, segments)

    monkeypatch.setattr(SegmentRunner, "run_all", take_a_second)
    monkeypatch.setattr("actors.engine.stopwatch.time", SimpleNamespace(perf_counter=lambda: now[0]))
    results = run(worker, jobs_of(worker, n_new=1)[:4])
    np.testing.assert_allclose([result.seconds for result in results.values()], now[0] / 4)


@pytest.mark.parametrize("name", ["aria_text", "dbrx"])
def test_experts_by_any_name_make_a_row_depend_on_its_batch(name: str) -> None:
    """Aria and DBRX count their experts under names of their own; their products have as many rows as the router sends them."""
    assert "experts" in str(batch_dependence(tiny_architecture(name)))


@pytest.mark.parametrize("name", ["youtu", "gemma4_text", "modernbert-decoder"])
def test_a_row_alone_has_the_bits_that_it_has_among_others(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latent attention (youtu) makes values of what the cache keeps, laid out as no cache lays them out; so few are summed
    otherwise. Gemma 4 has an activation of 16 numbers, fewer than fill a register; ModernBERT's reads half of a product."""
    tiny_architecture(name).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    worker = ModelWorker()
    worker.load(ModelSpec("folder", str(tmp_path)), EngineOptions(slots=16))
    prompts = (Prompt("short", "Hi"), Prompt("empty", ""), Prompt("long", "How do I bake a cake?"))
    together = logits_of(worker, [GenerationJob("base", prompts, Decoding(3))], monkeypatch)
    for prompt in prompts:
        for key, bits in logits_of(worker, [GenerationJob("base", (prompt,), Decoding(3))], monkeypatch).items():
            assert together[key] == bits
