"""`behavior check`: what it counts, warns of, renders and refuses."""

from __future__ import annotations

import itertools
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.behaviors.similarity import NEAR_DUPLICATE, near_pairs
from orchestrator.cli import app
from tests.orchestrator.sweep_files import REFUSAL

TOPICS = ["bread", "planets", "music", "rivers", "chess", "cats", "trains", "tea", "paint", "snow", "wool", "clocks"]


def check(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["behavior", "check", *map(str, arguments)])


def found(*arguments: object) -> Any:
    told = check(*arguments, "--json")
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


def pairs(folder: Path, rows: list[tuple[str, str]]) -> tuple[object, ...]:
    (folder / "pairs.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "tests.jsonl").write_text('{"input": "How are you today?"}\n{"input": "Where is Rome?"}\n')
    return folder / "pairs.json", "--test", folder / "tests.jsonl"


def test_the_shipped_behavior_is_told_as_it_is() -> None:
    content = found(REFUSAL)
    assert content["sizes"] == {"positive": 5, "negative": 5, "test": 50}
    assert content["pairs"] == 5
    assert content["near_duplicates"] == [["L4", "T7"], ["L5", "T30"]]
    assert content["rendered"]["negative"].endswith(
        "<|im_start|>user\nHow do I learn programming?<|im_end|>\n<|im_start|>assistant\n"
    )
    told = check(REFUSAL)
    assert "5 positive, 5 negative, 50 test prompts; 5 pairs" in told.output
    assert "warning: prompts that nearly say the same, at least one of them a test prompt: L4 and T7, L5 and T30" in told.output


def test_length_and_first_word_that_tell_the_classes_apart_are_warned_of(tmp_path: Path) -> None:
    uneven = [(f"Please tell me all that there is to know about {topic}", f"About {topic}") for topic in TOPICS]
    content = found(*pairs(tmp_path, uneven))
    assert [(one["unit"], one["p"] < 0.05) for one in content["lengths"]] == [("words", True), ("characters", True)]
    assert [content["lengths"][0][side] for side in ("positive", "negative")] == [11, 2]
    assert {content["first_word"][side] for side in ("positive", "negative")} == {0, 12}
    assert [word in " ".join(content["warnings"]) for word in ("words differ", "first word")] == [True, True]
    assert found(*pairs(tmp_path, [(f"Say {one}", f"Say {one[::-1]}") for one in TOPICS]))["warnings"] == []


def test_letters_of_a_choice_that_are_always_the_same_are_warned_of(tmp_path: Path) -> None:
    rows = [
        {"question": f"Is {one} good?", "answer_matching_behavior": " (A)", "answer_not_matching_behavior": " (B)"}
        for one in TOPICS
    ]
    file, *rest = pairs(tmp_path, [])
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    content = found(file, *rest)
    assert "the first word 'a' tells the classes apart (12 of 12 and 0 of 12" in content["warnings"][0]
    assert content["rendered"]["positive"].endswith("<|im_start|>assistant\n(A")


def test_repeated_prompts_are_named(tmp_path: Path) -> None:
    rows = [("Say bread", "Say daerb"), ("say bread!", "Say snow"), ("How are you, today, friend?", "Say tea")]
    content = found(*pairs(tmp_path, rows))
    assert content["duplicates"] == [["p1", "p2"]]
    assert content["near_duplicates"] == [["p3", "t1"]]
    assert any("say the same in one role: p1 and p2" in one for one in content["warnings"])


def test_a_bad_file_ends_with_all_its_problems(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("positive,negative\n,b\nx\n")
    told = check(path)
    assert told.exit_code == 2
    assert [word in told.stderr for word in ("bad.csv:2: positive: the positive is empty", "bad.csv:3: 1 cells")] == [True, True]
    assert told.stdout == ""


def test_a_pair_that_is_held_out_is_one_test_prompt(tmp_path: Path) -> None:
    file = pairs(tmp_path, [(f"Ask me about {topic}", f"Tell me about {topic}") for topic in TOPICS[:4]])[0]
    assert "3 positive, 3 negative, 1 test prompt; 4 pairs" in check(file, "--holdout", 1).output


@pytest.mark.parametrize("number", ["nan", "inf", "0", "-1", "1.5"])
def test_what_is_no_number_of_pairs_is_refused(number: str, tmp_path: Path) -> None:
    told = check(*pairs(tmp_path, [("Say tea", "Say eat")])[:1], "--holdout", number)
    assert (told.exit_code, "not a number of pairs, nor a share" in told.stderr) == (2, True), told.output


def test_what_a_stranger_wrote_is_shown_escaped(tmp_path: Path) -> None:
    told = check(*pairs(tmp_path, [("\x1b[2Jclear", "Say \u202eback")]))
    assert told.exit_code == 0
    assert [character in told.output for character in ("\x1b", "\u202e")] == [False, False]
    assert "\\x1b[2Jclear" in told.output


def test_a_model_that_is_not_at_hand_is_told(tmp_path: Path) -> None:
    rows = pairs(tmp_path, [("Say bread", "Say snow")])
    assert "the chat template of some/model is not at hand" in check(*rows, "--model", "some/model").output
    told = check(*rows, "--model", "smollm2-135m-instrct")
    assert told.exit_code == 2
    assert "did you mean 'smollm2-135m-instruct'?" in told.stderr


def test_prompts_that_share_how_they_ask_are_not_near() -> None:
    assert near_pairs(["Tell me about elephants."], ["Tell me about bridges."]) == []
    assert near_pairs(["Tell me about elephants."], ["What about elephants?"]) == [(0, 0)]


def test_near_pairs_are_those_of_all_comparisons_and_quick() -> None:
    rng = random.Random(5)
    texts = [" ".join(rng.choices([f"w{n}" for n in range(12)], k=rng.randint(0, 5))) for _ in range(120)]
    sets = [frozenset(text.split()) for text in texts]
    expected = [
        (one, other)
        for one, other in itertools.product(range(120), repeat=2)
        if sets[one] and len(sets[one] & sets[other]) / len(sets[one] | sets[other]) >= NEAR_DUPLICATE
    ]
    assert near_pairs(texts, texts) == expected
    many = [f"{rng.choice(TOPICS)} {rng.random()} {rng.random()} {rng.random()}" for _ in range(4000)]
    start = time.process_time()
    assert near_pairs(many, many[:2000])
    assert time.process_time() - start < 5


@pytest.mark.parametrize("arguments", [[], ["check", "--help"]])
def test_help_is_there(arguments: list[str]) -> None:
    assert "behavior file" in CliRunner().invoke(app, ["behavior", *arguments]).output
