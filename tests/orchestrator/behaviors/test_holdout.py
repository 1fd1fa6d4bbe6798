"""Pairs that become test prompts: which, what they ask, and what is refused."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from orchestrator.behaviors import Behavior, load_behavior
from orchestrator.errors import InputError

WHAT = ("tea", "rain", "bread", "moss", "iron", "glass")
PAIRS = [[f"In French, please: tell me about {what}", f"Tell me about {what}"] for what in WHAT]


def load(folder: Path, entries: list[object], holdout: float | None) -> Behavior:
    path = folder / "pairs.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return load_behavior("b", path, holdout=holdout)


def test_negative_texts_are_asked_and_no_direction_is_extracted_from_their_pairs(tmp_path: Path) -> None:
    found = load(tmp_path, list(PAIRS), 2)
    asked = {prompt.text for prompt in found.test}
    left = [pair for pair in PAIRS if pair[1] not in asked]
    assert len(asked) == 2
    assert [[one.text, two.text] for one, two in zip(found.positive, found.negative, strict=True)] == left
    assert all(PAIRS[int(prompt.id[1:]) - 1][1] == prompt.text for prompt in found.test)


def test_a_share_is_rounded_and_at_least_one(tmp_path: Path) -> None:
    assert [len(load(tmp_path, list(PAIRS), share).test) for share in (0.01, 0.25, 0.5, 0.8)] == [1, 2, 3, 5]


def test_which_follows_from_the_texts_and_not_from_their_order(tmp_path: Path) -> None:
    shuffled = random.Random(1).sample(PAIRS, len(PAIRS))
    one, other = load(tmp_path, list(PAIRS), 3), load(tmp_path, list(shuffled), 3)
    assert {prompt.text for prompt in one.test} == {prompt.text for prompt in other.test}


def test_of_a_prompt_with_two_answers_the_prompt_is_asked_once(tmp_path: Path) -> None:
    entries = [
        {"question": f"Is it {n // 2}?", "answer_matching_behavior": " Yes", "answer_not_matching_behavior": f" No {n}"}
        for n in range(8)
    ]
    found = load(tmp_path, list(entries), 1)
    (test,) = found.test
    assert [prompt.text for prompt in (*found.positive, *found.negative)].count(test.text) == 0
    assert (len(found.positive), len(found.negative)) == (6, 6)


@pytest.mark.parametrize("holdout", [6, 7, 0.99])
def test_some_pairs_are_left_to_extract_from(tmp_path: Path, holdout: float) -> None:
    with pytest.raises(InputError, match=r"holdout.*too few pairs \(6\).*at most 5"):
        load(tmp_path, list(PAIRS), holdout)


def test_a_file_with_test_prompts_needs_none(tmp_path: Path) -> None:
    entries = [{"id": role, "role": role, "text": f"Say {role}"} for role in ("positive", "negative", "test")]
    with pytest.raises(InputError, match=r"holdout.*test prompts of its own"):
        load(tmp_path, list(entries), 1)


def test_without_it_the_error_says_that_there_is_such_a_thing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holdout holds out"):
        load(tmp_path, list(PAIRS), None)
