"""Damage against the plain model: one text at a time, plain hooks, no cache, greedy answers made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from actors.boundary import Answered
from actors.engine.forced import ForcedRow
from actors.types import DamageJob, Failure, Prompt, Steering
from actors.worker import ModelWorker
from tests.actors.engine.test_forced import plain_log_probs, some_steerings

NEUTRAL = (Prompt("N1", "How do I boil an egg?"), Prompt("N2", "Name a colour"), Prompt("N3", "What is rain made of?"))
PROMPTS = (Prompt("P1", "Tell me a joke"), Prompt("P2", "Why is the sky blue?"))
TOKENS = 3


def plain(worker: ModelWorker, prompt: Prompt, continuation: tuple[int, ...], steering: Steering | None = None) -> Tensor:
    ids = worker._held().renderer.render(prompt).token_ids
    steerings = [] if steering is None else [steering]
    return plain_log_probs(worker, ForcedRow(ids, 0, continuation, len(steerings)), steerings)


def plain_kl(worker: ModelWorker, prompt: Prompt, steering: Steering | None) -> float:
    """The mean over the unsteered greedy answer's first tokens, where it ends before them up to its end."""
    answer: list[int] = []
    found = []
    while len(answer) < TOKENS:
        base = plain(worker, prompt, (*answer, 0))[-1]
        ours = plain(worker, prompt, (*answer, 0), steering)[-1]
        found.append(float((base.exp() * (base - ours)).sum()))
        answer.append(int(base.argmax()))
        if answer[-1] in worker._held().stop_tokens:
            break
    return sum(found) / len(found)


def worst_of(losses: torch.Tensor, tokens: int) -> float:
    return max(float(losses[start : start + tokens].mean()) for start in range(max(1, len(losses) - tokens + 1)))


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "qwen3_5"])
def test_divergences_and_losses_are_the_plain_models(family: str, tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker(family)
    rng = np.random.default_rng(4)
    answers = tuple((prompt, tuple(map(int, rng.integers(6, 261, n)))) for prompt in PROMPTS for n in (0, 5, 40, 40))
    steerings = [None, *some_steerings(worker)]
    jobs = [DamageJob(f"d{number}", one, NEUTRAL, TOKENS, answers[number:]) for number, one in enumerate(steerings)]
    results = list(worker.damage(jobs))
    for job, result in zip(jobs, results, strict=True):
        assert isinstance(result, Answered), result
        assert result.item_id == job.item_id
        found = json.loads(result.content)
        if job.steering is None:
            assert found["kl"] == [0.0] * len(NEUTRAL)
        np.testing.assert_allclose(found["kl"], [plain_kl(worker, one, job.steering) for one in NEUTRAL], atol=1e-4, rtol=1e-4)
        told = zip(found["losses"], found["windows"], found["spans"], strict=True)
        for (prompt, tokens), (loss, window, span) in zip(job.answers, told, strict=True):
            if not tokens:
                assert loss is window is span is None
                continue
            wanted = -plain(worker, prompt, tokens).gather(1, torch.tensor(tokens)[:, None])[:, 0]
            worst = worst_of(wanted, 12), worst_of(wanted.clamp(max=8), 24)
            np.testing.assert_allclose((loss, window, span), (float(wanted.mean()), *worst), atol=1e-4, rtol=1e-4)
    assert max(json.loads(one.content)["kl"][0] for one in results if isinstance(one, Answered)) > 0.01


def test_what_is_not_finite_fails_that_cell_alone(tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker()
    vector = np.full((1, worker._held().d_model), np.nan, np.float32)
    jobs = [DamageJob("good", None, NEUTRAL, TOKENS), DamageJob("bad", Steering((1,), vector, 1.0), NEUTRAL, TOKENS)]
    good, bad = worker.damage(jobs)
    assert isinstance(good, Answered)
    assert isinstance(bad, Failure)
    assert (bad.item_id, bad.kind) == ("bad", "non_finite")
