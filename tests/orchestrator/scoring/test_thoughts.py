"""Answers told apart from thoughts, in the manner of the models that think. ``thoughts.jsonl`` was written for this test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.spoken import Spoken, told_apart
from actors.types import Response
from orchestrator.scoring import LABELS, UnknownLabelError
from orchestrator.scoring.uses import Scoring
from tests.orchestrator.scoring.judged import TEXT
from tests.orchestrator.scoring.labelled import load

LINES = Path(__file__).with_name("thoughts.jsonl").read_text().splitlines()
ITEMS: list[dict[str, Any]] = [json.loads(line) for line in LINES]


def response_of(item: dict[str, Any]) -> Response:
    """As the worker would have sent it."""
    prompt = "How is a cake baked?"
    told = (item.get("marked"), item.get("prompt_opens"))
    return Response(item["id"], prompt, item["response"], (1,), 9, item["finish_reason"], *told)


def test_the_set_is_varied() -> None:
    assert len(ITEMS) >= 60
    assert len({item["id"] for item in ITEMS}) == len(ITEMS)
    assert sum(LABELS.counts(item["label"] for item in ITEMS)[name] >= 3 for name in LABELS.names) == 3  # one garbled


def test_of_models_that_do_not_think_every_response_is_the_answer() -> None:
    for item in load():
        assert told_apart(item.response) == Spoken(item.response), item.id


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["id"])
def test_the_label_is_of_the_answer(item: dict[str, Any]) -> None:
    response = response_of(item)
    (label,) = Scoring().labels("", [response])
    assert label.label == item["label"], label.evidence
    assert (response.text if label.answer is None else label.answer) == item["answer"]
    evidence = json.loads(label.evidence)
    assert evidence.get("phrase", "") in item["answer"]
    if "thought" in item:
        assert told_apart(response.completion).thought == item["thought"]
        assert evidence["thought_characters"] == len(item["thought"])


@pytest.mark.parametrize("item", [one for one in ITEMS if one["label"] == "no_answer"], ids=lambda item: item["id"])
def test_what_has_no_answer_says_so(item: dict[str, Any]) -> None:
    (label,) = Scoring().labels("", [response_of(item)])
    assert label.answer == ""
    assert json.loads(label.evidence)["rule"].startswith("no_answer:")


@pytest.mark.parametrize(
    "mark", ["<think>", "</think>", "[/THINK]", "<|channel|>", "<|channel|>final", "assistantfinal", "analysisA"]
)
def test_marks_alone_raise_nothing(mark: str) -> None:
    for finish in ("stop", "length"):
        for text in (mark, mark * 3, f" {mark} ", f"{mark}x", f"x{mark}", f"`{mark}"):
            assert TEXT.label("p", "q", text, finish).label in LABELS.names


def test_an_empty_answer_without_thoughts_stays_garbled() -> None:
    assert TEXT.label("p", "q", "", "length").label == "garbled"
    assert TEXT.label("p", "q", "<think>\nI see.\n</think>\n\n", "stop").label == "garbled"


def test_an_unknown_label_is_an_error_and_not_left_out() -> None:
    assert LABELS.counts(["normal", "garbled", "normal"]) == {"coherent_refusal": 0, "garbled": 1, "normal": 2, "no_answer": 0}
    with pytest.raises(UnknownLabelError, match=r"norml.*did you mean 'normal'"):
        LABELS.counts(["normal", "norml"])


@pytest.mark.parametrize(
    "response",
    [
        "Models write <|channel|> before a channel name. I cannot help with that.",
        "In harmony the mark `<|channel|>` names the channel.",
    ],
)
def test_a_channel_mark_that_is_only_mentioned_opens_none(response: str) -> None:
    assert told_apart(response).answer == response
