"""Teacher forcing against the plain model: one row at a time, with plain hooks, no cache and the model's own attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from actors.engine import forced as forced_module
from actors.engine.engine import Engine
from actors.engine.forced import ForcedRow
from actors.engine.segments import SegmentRunner
from actors.errors import OutOfMemoryError
from actors.types import Prompt, Steering
from actors.worker import ModelWorker

Loader = Callable[..., ModelWorker]
TEXTS = ["How do I bake a cake?", "Hi", "Why is the sky blue at noon and red at dusk, and what about the moon?"]
TOKENS = 261
"""Ids below this are the tiny tokenizer's own."""


def engine_of(worker: ModelWorker) -> Engine:
    assert worker._engine is not None
    return worker._engine


def some_steerings(worker: ModelWorker) -> list[Steering]:
    """An addition from an early block on, an ablation at one block, an affine ablation at the last."""
    loaded = worker._held()
    rng = np.random.default_rng(0)
    units = rng.standard_normal((3, 1, loaded.d_model)).astype(np.float32)
    units /= np.linalg.norm(units, axis=-1, keepdims=True)
    last = loaded.decoder.n_layers - 1
    return [
        Steering((1, 2), np.repeat(units[0], 2, axis=0), 4.0),
        Steering((2,), units[1], 1.0, "ablation"),
        Steering((last,), units[2], 1.0, "affine_ablation", (1.5,)),
    ]


def some_rows(worker: ModelWorker) -> list[ForcedRow]:
    """Every prompt with continuations of several lengths, under each steering and none, in a mixed order."""
    rng = np.random.default_rng(2)
    renderer = worker._held().renderer
    rows = []
    for number, text in enumerate(TEXTS):
        rendered = renderer.render(Prompt(text, text))
        for length in (1, 2 + number, 9):
            continuation = tuple(int(token) for token in rng.integers(6, TOKENS, length))
            rows += [ForcedRow(rendered.token_ids, rendered.prefix, continuation, steering) for steering in range(4)]
    return [rows[place] for place in rng.permutation(len(rows))]


def plain_log_probs(worker: ModelWorker, row: ForcedRow, steerings: list[Steering]) -> Tensor:
    """Log-probabilities ``[n, vocabulary]`` float64 at the continuation's positions, by the unchanged model with plain hooks."""
    loaded = worker._held()
    steering = steerings[row.steering - 1] if row.steering else None

    def hook_of(layer: int) -> Any:
        def hook(_module: object, _args: object, output: Any) -> Any:
            if steering is None or layer not in steering.layers:
                return None
            index = steering.layers.index(layer)
            vector = torch.from_numpy(steering.vectors[index])
            stream = output[0] if isinstance(output, tuple) else output
            if steering.intervention == "addition":
                edited = stream + steering.multiplier * vector
            else:
                target = steering.reference_at(index) if steering.intervention == "affine_ablation" else 0.0
                edited = stream + (target - stream @ vector)[..., None] * vector
            return (edited, *output[1:]) if isinstance(output, tuple) else edited

        return hook

    handles = [block.register_forward_hook(hook_of(layer)) for layer, block in enumerate(loaded.decoder.blocks)]
    try:
        with torch.no_grad():
            ids = torch.tensor([[*row.prompt, *row.continuation]])
            logits = loaded.model(input_ids=ids, use_cache=False).logits[0, len(row.prompt) - 1 : -1]
    finally:
        for handle in handles:
            handle.remove()
    return torch.log_softmax(logits.double(), dim=-1)


def check(worker: ModelWorker) -> None:
    """Every number of both readings, against the plain model."""
    rows, steerings = some_rows(worker), some_steerings(worker)
    expected = [plain_log_probs(worker, row, steerings) for row in rows]
    base = [plain_log_probs(worker, ForcedRow(row.prompt, 0, row.continuation), []) for row in rows]
    engine = engine_of(worker)
    found, moved = engine.likelihoods(rows, steerings), engine.divergences(rows, steerings)
    changed = 0.0
    for row, one, kl, ours, plain in zip(rows, found, moved, expected, base, strict=True):
        tokens = torch.tensor(row.continuation)
        np.testing.assert_allclose(one.log_probs, ours.gather(1, tokens[:, None])[:, 0], atol=1e-4, rtol=1e-4)
        second = ours.topk(2).values
        clear = ((second[:, 0] - second[:, 1]) > 1e-3).numpy()
        assert (one.greedy == (ours.argmax(dim=-1) == tokens).numpy())[clear].all()
        np.testing.assert_allclose(kl, (plain.exp() * (plain - ours)).sum(dim=-1), atol=1e-4, rtol=1e-3)
        if row.steering == 0:
            assert (kl == 0).all(), "the unsteered model against itself"
        changed = max(changed, float(kl.max()))
    assert changed > 0.01, "no steering does anything: the test could not fail"


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "mixtral", "qwen3_5"])
def test_numbers_are_the_plain_models(family: str, tiny_worker: Loader) -> None:
    """Packed and shared, sliding windows and softcaps, learned positions, a batch of fixed shape, and rows that run alone."""
    worker = tiny_worker(family)
    assert worker._held().decoder.runs_alone == (family == "qwen3_5")
    check(worker)


@pytest.mark.parametrize("family", ["llama", "mixtral"])
def test_a_row_alone_has_the_plain_models_own_bits(family: str, tiny_worker: Loader) -> None:
    worker = tiny_worker(family)
    rows = [replace(row, alone=True) for row in some_rows(worker) if row.steering == 0]
    others = [replace(row, alone=False) for row in rows]
    found = engine_of(worker).likelihoods([*others, *rows], [])[len(rows) :]
    for row, one in zip(rows, found, strict=True):
        with torch.no_grad():
            logits = worker._held().model(input_ids=torch.tensor([row.text])).logits[0, -len(row.continuation) :]
        plain = torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(row.continuation)[:, None])[:, 0]
        assert one.log_probs.tolist() == plain.tolist()
        assert one.total == float(plain.sum())


def test_memory_failures_halve_the_rows_and_lose_nothing(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tiny_worker()
    steerings = some_steerings(worker)
    rows = [replace(row, continuation=(last, *row.continuation)) for row in some_rows(worker) for last in (20, 21, 22)]
    before = engine_of(worker).likelihoods(rows, steerings)
    run, sizes = SegmentRunner.run_all, []

    def short_of_memory(self: SegmentRunner, segments: Any) -> Any:
        rows = max((len(segment.tokens) for segment in segments), default=0)
        sizes.append(rows)
        if rows > 2:
            raise torch.OutOfMemoryError("no memory for more than 2 rows")
        return run(self, segments)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentRunner, "run_all", short_of_memory)
        after = engine_of(worker).likelihoods(rows, steerings)
        patch.setattr(forced_module, "MAX_LOGITS", 1)
        one_by_one = engine_of(worker).likelihoods(rows, steerings)
    assert max(sizes) > 2 >= sizes[-1]
    for one, other, alone in zip(before, after, one_by_one, strict=True):
        np.testing.assert_array_equal(one.log_probs, other.log_probs)
        np.testing.assert_array_equal(one.log_probs, alone.log_probs)

    def no_memory(self: SegmentRunner, segments: Any) -> Any:
        raise torch.OutOfMemoryError("none left")

    monkeypatch.setattr(SegmentRunner, "run_all", no_memory)
    with pytest.raises(OutOfMemoryError, match="none left"):
        engine_of(worker).divergences(rows, steerings)


def test_unsteered_rows_share_forwards_and_have_the_bits_that_they_have_alone(
    tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no beginning to share, the template's, and the whole prompt but its last token; memory for one row is enough."""
    worker = tiny_worker()
    plain = [row for row in some_rows(worker) if not row.steering]
    rows = [replace(row, prefix=prefix) for row in plain for prefix in (0, row.prefix, len(row.prompt) - 1)]
    alone = [engine_of(worker).losses([row])[0] for row in rows]
    run, sizes, most = SegmentRunner.run, [], 1000

    def counted(self: SegmentRunner, segment: Any) -> Any:
        if len(segment.tokens) > most:
            raise torch.OutOfMemoryError("no memory for more")
        sizes.append(len(segment.tokens))
        return run(self, segment)

    monkeypatch.setattr(SegmentRunner, "run", counted)
    together = engine_of(worker).losses(rows)
    assert len(sizes) < len(rows)
    assert max(sizes) > 1
    most = 1
    in_little_memory = engine_of(worker).losses(rows)
    for row, one, other, third in zip(rows, alone, together, in_little_memory, strict=True):
        wanted = plain_log_probs(worker, row, []).gather(1, torch.tensor(row.continuation)[:, None])[:, 0]
        np.testing.assert_allclose(-one, wanted, atol=1e-4)
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)


def test_answers_are_as_they_were_after_it_and_greedy_ones_are_found_greedy(tiny_worker: Loader) -> None:
    """Its own greedy answer, which a steered row was generated with, is greedy at each token, and no hook is left behind."""
    worker = tiny_worker()
    rendered = worker._held().renderer.render(Prompt("p", TEXTS[0]))
    steerings = some_steerings(worker)[:1]
    tokens: list[int] = []
    for _ in range(6):
        row = ForcedRow(rendered.token_ids, rendered.prefix, (*tokens, 6), 1)
        tokens.append(int(plain_log_probs(worker, row, steerings)[-1].argmax()))
    (found,) = engine_of(worker).likelihoods([ForcedRow(rendered.token_ids, 0, tuple(tokens), 1)], steerings)
    assert found.greedy.all()
    assert not any(block._forward_hooks for block in worker._held().decoder.blocks)
