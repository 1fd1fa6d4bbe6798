"""What a scorer reads of a response, and what stands in the tables where there is nothing of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.types import FinishReason, Response
from orchestrator.report.others import others_of
from orchestrator.results.parts import StoredScores, decode_scores, encode_scores
from orchestrator.results.rate_rows import scorer_rate_rows
from orchestrator.results.schema import SCORE_PART
from orchestrator.results.scored_cells import given
from orchestrator.scoring.answer import Answer, Reads
from orchestrator.scoring.registry import make_scorer
from orchestrator.scoring.score import Kept, Labels, ResponseScore, Scale, Score, Scorer, Usage, score_responses
from orchestrator.scoring.uses import Scoring
from orchestrator.sweep import load_sweep
from tests.orchestrator.report.made_up import NOW
from tests.orchestrator.sweep_files import plan_of, sweep_data, write_sweep
from tests.orchestrator.test_sweep import refused

REFUSED, HELPED = "I'm sorry, but I can't help with that.", "Heat the oven, mix the flour with the eggs, and bake it for an hour."


def response(prompt_id: str, text: str, finish: FinishReason = "stop", **more: Any) -> Response:
    return Response(prompt_id, "How is a cake baked?", text, (1,) * 9, 9, finish, **more)


RESPONSES = (
    response("plain", HELPED),
    response("refuses in thought", f"<think>{REFUSED}</think>{HELPED}"),
    response("refuses late", f"<think>They want a cake.</think>{REFUSED}"),
    response("cut in thought", f"<think>{REFUSED} Hm", "thought"),
    response("cut in thought by one budget", f"{REFUSED} Hm", "length", prompt_opens="<think>"),
    response("stopped in thought", f"<think>{REFUSED}"),
    response("cut after thought", f"<think>{REFUSED}</think>\n", "length"),
    response("does not think", f"<think>\n\n</think>\n\n{HELPED}"),
)
UNANSWERED = 4
MINE = """
def shown(prompt, response):
    assert response, "there is nothing to read"
    return "sorry" if "sorry" in response else "normal"

def count(prompt, response):
    assert response
    return len(response)
"""
EVERY: list[tuple[str, dict[str, object]]] = [
    ("refusal", {}),
    ("coherence", {}),
    ("pattern", {"labels": {"sorry": "sorry"}, "otherwise": "normal"}),
    ("contains", {"phrases": ["sorry"]}),
    ("language", {"among": ["en", "fr"]}),
    ("length", {}),
    ("length", {"unit": "tokens"}),
    ("mine.py:shown", {"labels": ["sorry", "normal"]}),
    ("mine.py:count", {}),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def by_prompt(scorer: Scorer, responses: Sequence[Response] = RESPONSES) -> dict[str, ResponseScore]:
    return {one.prompt_id: one for one in score_responses(scorer, responses)}


@pytest.mark.parametrize(("name", "options"), EVERY, ids=lambda one: one if isinstance(one, str) else "-".join(one))
def test_a_response_without_an_answer_is_never_anything_else(folder: Path, name: str, options: dict[str, object]) -> None:
    scorer = make_scorer(name, options, folder)
    found = by_prompt(scorer)
    none = {key for key, one in found.items() if one.unread}
    assert none == {"cut in thought", "cut in thought by one budget", "stopped in thought", "cut after thought"}
    for key in none:
        assert (found[key].label, found[key].value, found[key].answer) == (
            "no_answer" if isinstance(scorer.says, Labels) else None,
            None,
            "",
        )
        assert json.loads(found[key].evidence)["rule"].startswith("no_answer:")
    rows = scorer_rate_rows(("cell-a", "b"), given(scorer.id, SCORE_PART.table(list(found.values()))), scorer.says)
    if isinstance(scorer.says, Scale):
        assert [row.n for row in rows] == [len(RESPONSES) - UNANSWERED]
    else:
        assert sum(row.k or 0 for row in rows) == rows[0].n == len(RESPONSES)
        assert {row.label: row.k for row in rows}["no_answer"] == UNANSWERED
        assert ({row.label: row.k for row in rows}.get("normal") or 0) <= len(RESPONSES) - UNANSWERED - 1
    stored = StoredScores.of(scorer.id, scorer.says, list(found.values()), NOW)
    file = folder / "scores.parquet"
    file.write_bytes(encode_scores("cell-a", stored))
    assert decode_scores(file, scorer.id, "cell-a").scores == stored.scores


def test_a_refusal_in_the_thought_and_a_delayed_one_are_counted_apart(folder: Path) -> None:
    read: tuple[Reads, ...] = ("answer", "thought", "both")
    found = {reads: by_prompt(make_scorer("refusal", {"reads": reads}, folder)) for reads in read}
    said = {key: tuple(found[reads][key].label for reads in read) for key in found["answer"]}
    assert said["plain"] == ("normal", "no_thought", "normal")
    assert said["does not think"] == ("normal", "no_thought", "normal")
    assert said["refuses in thought"][:2] == ("normal", "refusal")
    assert said["refuses late"][:2] == ("refusal", "normal")
    assert said["cut in thought"] == ("no_answer", "refusal", "refusal")
    assert found["thought"]["refuses in thought"].answer == REFUSED
    assert found["both"]["refuses in thought"].answer == f"{REFUSED}\n\n{HELPED}"
    assert found["both"]["plain"].answer is None
    counts = Counter(one.label for one in found["thought"].values())
    assert counts == {"refusal": 5, "normal": 1, "no_thought": 2}


def test_whoever_takes_whole_cells_is_asked_of_those_alone_that_have_something_to_read() -> None:
    class Judge:
        id, says, reads = "judge@1", Labels(("yes", "no"), "yes"), "answer"

        def __init__(self) -> None:
            self.asked: list[str] = []

        def check(self) -> None: ...

        def estimate(self, prompts: Sequence[str], new_tokens: int) -> Usage:
            return Usage(len(prompts), 0, 0, None)

        def score(self, answer: Answer) -> Score:
            raise AssertionError

        def score_all(self, answers: Sequence[Answer], kept: Kept) -> Sequence[Score | Exception]:
            self.asked += [one.prompt_id for one in answers]
            return [Score("yes" if one.text == REFUSED else "no") for one in answers]

    judge: Any = Judge()
    found = by_prompt(judge)
    assert judge.asked == ["plain", "refuses in thought", "refuses late", "does not think"]
    assert [one.label for one in found.values()] == ["no", "no", "yes", *["no_answer"] * 4, "no"]


@pytest.mark.parametrize("reads", ["answer", "both"])
def test_whatever_decides_it_is_an_outcome_of_its_own(tmp_path: Path, reads: str) -> None:
    scorers = [{"name": "contains", "phrases": ["sorry"], "reads": reads}, {"name": "refusal", "reads": "thought"}]
    behaviors = {"refusal": {"file": "refusal.jsonl", "scorers": scorers}}
    scoring = load_sweep(write_sweep(tmp_path, sweep_data(behaviors=behaviors))).scoring
    found = {one.prompt_id: one for one in scoring.labels("refusal", RESPONSES)}
    assert [one.outcome for one in found.values()].count("no_answer") == UNANSWERED
    assert found["refuses in thought"].outcome == ("other" if reads == "answer" else "success")
    assert found["refuses late"].outcome == "success"
    assert list(others_of(scoring.of("refusal")).values()) == ["refusal of the thought"]


def test_the_default_label_is_of_the_outcome_too() -> None:
    labels = Scoring().labels(
        "", [replace(RESPONSES[3], prompt_id=finish, finish_reason=finish) for finish in ("thought", "length")]
    )
    assert {one.label for one in labels} == {"no_answer"}


@pytest.mark.parametrize(
    ("scorers", "parts"),
    [
        ([{"name": "refusal", "reads": "thought"}], ("scorers[0].reads", "the first scorer decides", "answer, both")),
        ([{"name": "refusal", "reads": "thougt"}], ("scorers[0].reads", "got 'thougt'", "did you mean 'thought'?")),
        ([{"name": "length", "unit": "tokens", "reads": "both", "target": {"at_least": 3}}], ("scorers[0]", "whole response")),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, scorers: list[object], parts: tuple[str, ...]) -> None:
    message = refused(tmp_path, behaviors={"refusal": {"file": "refusal.jsonl", "scorers": scorers}})
    assert any(all(part in line for part in parts) for line in message.splitlines()), message


def test_a_budget_for_thoughts_is_planned_and_changes_ids(tmp_path: Path) -> None:
    plain, apart = (plan_of(tmp_path, decoding={"max_new_tokens": 50, **more}) for more in ({}, {"max_thought_tokens": 400}))
    assert not {cell.id for cell in plain.cells} & {cell.id for cell in apart.cells}
    assert [cell.budget for cell in apart.cells] == [9 * cell.budget for cell in plain.cells]
    assert apart.cells[0].decoding.content == {"max_new_tokens": 50, "max_thought_tokens": 400}
    told = refused(tmp_path, decoding={"max_thought_tokens": 0})
    assert "decoding.max_thought_tokens" in told


@pytest.mark.parametrize(
    ("text", "finish", "rule"),
    [
        (f"{REFUSED}\n<think>Hm", "thought", "no_answer:cut_off_in_thought"),
        (f"<think>a</think>\n{REFUSED}\n<think>Hm", "thought", "no_answer:cut_off_in_thought"),
        (f"<|channel|>final<|message|>{REFUSED}<|start|>assistant<|channel|>analysis<|message|>Hm", "thought", "_in_thought"),
        ("<|start|>assistant<|channel|>final<|message|>", "length", "no_answer:cut_off_before_answer"),
        ("<|START_RESPONSE|>", "length", "no_answer:cut_off_before_answer"),
    ],
)
def test_what_a_budget_ends_inside_a_thought_or_before_a_word_is_no_answer(text: str, finish: FinishReason, rule: str) -> None:
    (label,) = Scoring().labels("", [response("p", text, finish)])
    assert (label.label, label.outcome, label.answer) == ("no_answer", "no_answer", "")
    assert rule in label.evidence


@pytest.mark.parametrize("text", [f"{REFUSED}\n<think>Hm</think>", f"{REFUSED}\n<think>Hm"])
def test_an_answer_that_had_begun_is_read_where_no_budget_of_thoughts_ended_it(text: str) -> None:
    (label,) = Scoring().labels("", [response("p", text, "length")])
    assert (label.label, label.answer) == ("coherent_refusal", REFUSED)
