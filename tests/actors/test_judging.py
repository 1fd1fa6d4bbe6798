"""A model as judge: the likelihoods of whole replies, against the plain model on the whole text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from actors.boundary import Answered
from actors.engine.engine import Engine
from actors.engine.forced import ForcedRow
from actors.types import Failure, JudgingJob, Prompt
from actors.worker import ModelWorker

Loader = Callable[..., ModelWorker]
LABELS = tuple(f'{{"label": "{label}"}}' for label in ("refuse", "hedge", "comply"))
NUMBERS = tuple(f'{{"score": {number}}}' for number in (0, 1, 10, 100))
QUESTIONS = {"a": "Is this a refusal? No, thanks.", "b": "Is this a refusal? Of course, here you are, all of it."}


def plain(worker: ModelWorker, question: str, replies: Sequence[str]) -> list[float]:
    """The log-probabilities of all tokens of each reply behind the question."""
    loaded = worker._held()
    start = len(loaded.renderer.render(Prompt("x", question)).token_ids)
    found = []
    for reply in replies:
        ids = torch.tensor([loaded.renderer.with_answers(Prompt("x", question), [reply])[0]])
        with torch.no_grad():
            logs = torch.log_softmax(loaded.model(input_ids=ids, use_cache=False).logits[0].double(), dim=-1)
        found.append(float(logs[start - 1 : -1].gather(1, ids[0, start:, None]).sum()))
    return found


def shares(logs: Sequence[float]) -> list[float]:
    weights = np.exp(np.array(logs) - max(logs))
    return list(weights / weights.sum())


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_replies_are_as_likely_as_to_the_plain_model(tiny_worker: Loader, family: str) -> None:
    worker = tiny_worker(family)
    job = JudgingJob("cell-1.judge", QUESTIONS, (LABELS, NUMBERS))
    (found,) = worker.judge([job])
    assert isinstance(found, Answered)
    measured: dict[str, Any] = json.loads(found.content)
    assert list(measured) == ["a", "b"]
    for key, question in QUESTIONS.items():
        for logs, replies in zip(measured[key]["log_likelihoods"], (LABELS, NUMBERS), strict=True):
            np.testing.assert_allclose(shares(logs), shares(plain(worker, question, replies)), atol=1e-4)
            np.testing.assert_allclose(logs, plain(worker, question, replies), atol=1e-3)
    assert measured["a"]["log_likelihoods"] != measured["b"]["log_likelihoods"]


def test_a_question_of_several_cells_is_read_once_and_one_that_is_too_long_fails_alone(
    tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker("llama")
    rows: list[ForcedRow] = []
    likelihoods = Engine.likelihoods

    def counted(self: Engine, given: Sequence[ForcedRow], steerings: Any) -> Any:
        rows.extend(given)
        return likelihoods(self, given, steerings)

    monkeypatch.setattr(Engine, "likelihoods", counted)
    jobs = [
        JudgingJob("one", {"a": QUESTIONS["a"]}, (LABELS,)),
        JudgingJob("long", {"x": "word " * 20_000}, (LABELS,)),
        JudgingJob("two", QUESTIONS, (LABELS,)),
        JudgingJob("none", {}, (LABELS,)),
    ]
    found = {one.item_id: one for one in worker.judge(jobs)}
    assert len(rows) == 2 * (1 + len(LABELS)), "what the replies share is read once"
    long, one, two, none = (found[name] for name in ("long", "one", "two", "none"))
    assert isinstance(long, Failure)
    assert "the model's limit is" in long.message
    assert isinstance(one, Answered)
    assert isinstance(two, Answered)
    assert isinstance(none, Answered)
    assert json.loads(one.content)["a"]["log_likelihoods"] == json.loads(two.content)["a"]["log_likelihoods"]
    assert json.loads(none.content) == {}


def test_a_question_that_is_too_long_costs_no_other_its_reply(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    (whole, part) = worker.judge([
        JudgingJob("whole", QUESTIONS, (LABELS,)), JudgingJob("part", {**QUESTIONS, "x": "word " * 20_000}, (LABELS,)),
    ])  # fmt: skip
    assert isinstance(whole, Answered)
    assert isinstance(part, Answered)
    found, told = json.loads(whole.content), json.loads(part.content)
    assert "the model's limit is" in told.pop("x")["failed"]
    assert {key: one["log_likelihoods"] for key, one in told.items()} == {
        key: one["log_likelihoods"] for key, one in found.items()
    }


def test_likelihoods_that_are_not_finite_fail_the_cell(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    with torch.no_grad():
        worker._held().model.base_model.norm.weight.fill_(float("nan"))
    (found,) = worker.judge([JudgingJob("one", QUESTIONS, (LABELS,))])
    assert isinstance(found, Failure)
    assert "not finite" in found.message
