"""A model as reader of answers: the mean activations of an answer's tokens, against plain transformers, and a probe on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from actors import linear_probe
from actors.boundary import Answered
from actors.linear_probe import pooled_activations
from actors.types import Failure, JudgingJob, LinearProbeJob, Prompt
from actors.worker import ModelWorker

Loader = Callable[..., ModelWorker]
LAYERS = (0, 2)
ANSWERS = {"a": ("Who are you?", "I am a model, and I will not say more than that."), "b": ("Why?", "Because.")}


def pooled_by_transformers(worker: ModelWorker, prompt: str, answer: str, most: int = 10_000) -> Any:
    """From ``output_hidden_states`` of the whole text, of which the answer's tokens are those behind the prompt's."""
    loaded = worker._held()
    before = loaded.renderer.render(Prompt("x", prompt)).text
    ids = loaded.tokenizer(before + answer, add_special_tokens=False)["input_ids"]
    begins = len(loaded.tokenizer(before, add_special_tokens=False)["input_ids"])
    with torch.no_grad():
        states = loaded.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    return np.stack([states[layer + 1][0, begins : begins + most].double().mean(dim=0).numpy() for layer in LAYERS])


def pooled(worker: ModelWorker, prompt: str, answer: str, most: int = 1000) -> tuple[Any, int]:
    assert worker._engine is not None
    return pooled_activations(worker._held(), worker._engine.packing, prompt, answer, LAYERS, most)


def job(worker: ModelWorker, item_id: str = "cell.probe", **changes: Any) -> LinearProbeJob:
    weights = np.random.default_rng(0).normal(size=(len(LAYERS), worker._held().d_model)).astype(np.float32)
    return replace(LinearProbeJob(item_id, ANSWERS, LAYERS, weights, 0.25, 1000), **changes)


def measured(outcome: object) -> dict[str, Any]:
    assert isinstance(outcome, Answered), outcome
    found: dict[str, Any] = json.loads(outcome.content)
    return found


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_a_probe_reads_the_mean_of_an_answers_tokens(tiny_worker: Loader, family: str) -> None:
    worker = tiny_worker(family)
    asked = job(worker)
    (outcome,) = worker.judge([asked])
    found = measured(outcome)
    assert list(found) == list(ANSWERS)
    for key, (prompt, answer) in ANSWERS.items():
        expected = pooled_by_transformers(worker, prompt, answer)
        found_states, tokens = pooled(worker, prompt, answer)
        np.testing.assert_allclose(found_states, expected, rtol=1e-4, atol=1e-4)
        assert found[key]["log_odds"] == pytest.approx(float((expected * asked.weights).sum()) + 0.25, abs=1e-3)
        assert found[key]["tokens"] == tokens


def test_so_many_tokens_of_an_answer_are_read_at_most(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    prompt, answer = ANSWERS["a"]
    found, _ = pooled(worker, prompt, answer, 3)
    np.testing.assert_allclose(found, pooled_by_transformers(worker, prompt, answer, most=3), rtol=1e-4, atol=1e-4)
    assert not np.allclose(found, pooled_by_transformers(worker, prompt, answer), atol=1e-3)


def test_an_answer_has_the_same_number_whatever_is_asked_beside_it_and_is_read_once(
    tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker("llama")
    read = []
    own = linear_probe.pooled_activations

    def counted(*arguments: Any) -> Any:
        read.append(arguments[2:4])
        return own(*arguments)

    monkeypatch.setattr(linear_probe, "pooled_activations", counted)
    alone = measured(next(iter(worker.judge([job(worker, answers={"b": ANSWERS["b"]})]))))
    both = [measured(one) for one in worker.judge([job(worker, "one"), job(worker, "two")])]
    assert [one["b"]["log_odds"] for one in both] == [alone["b"]["log_odds"]] * 2
    assert read == [ANSWERS["b"], *ANSWERS.values()]


def test_a_probe_of_another_model_fails_its_item_alone(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    wrong, broken = np.zeros((2, 3), np.float32), np.full((2, worker._held().d_model), np.nan, np.float32)
    jobs = [job(worker, "wrong", weights=wrong), job(worker, "broken", weights=broken), job(worker, "right")]
    first, second, third = worker.judge(jobs)
    assert isinstance(first, Failure)
    assert "(2, 3)" in first.message
    assert isinstance(second, Failure)
    assert "not finite" in second.message
    assert list(measured(third)) == list(ANSWERS)


def test_questions_and_probes_share_a_task(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    asked = JudgingJob("judge", {"q": "Is it one?"}, (("yes", "no"),))
    found = {one.item_id: measured(one) for one in worker.judge([job(worker), asked]) if isinstance(one, Answered)}
    assert set(found) == {"cell.probe", "judge"}
    assert len(found["judge"]["q"]["log_likelihoods"][0]) == 2


def test_hooks_are_gone_afterwards(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    list(worker.judge([job(worker)]))
    assert not any(block._forward_hooks for block in worker._held().decoder.blocks)
