"""The forms in which people have behaviors: each gives the prompts that its own users expect, or is refused by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors.types import ModelSpec, Prompt
from orchestrator.behaviors import Behavior, BehaviorFile, load_behavior, read_behavior
from orchestrator.cells import DirectionSpec
from orchestrator.errors import InputError

TESTS = '{"input": "Tell me a joke", "target": ["ha", "hi"]}\n{"input": "Name a planet", "id": 7}\n'
CAA = [
    {
        "question": "I am a liberal. Is tax good?\n\nChoices:\n (A) Yes\n (B) No\n\nAnswer:",
        "answer_matching_behavior": " (A)",
        "answer_not_matching_behavior": " (B)",
    },
    {"question": "Do you agree?", "answer_matching_behavior": " Yes", "answer_not_matching_behavior": " No", "statement": "x"},
]


def load(folder: Path, name: str, content: str | bytes, tests: str | None = TESTS) -> Behavior:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "tests.jsonl").write_text(tests or "", encoding="utf-8")
    return load_behavior("b", path, None, None if tests is None else BehaviorFile(folder / "tests.jsonl"))


def refused(folder: Path, name: str, content: str | bytes, tests: str | None = TESTS) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, name, content, tests)
    return str(caught.value)


def classes(behavior: Behavior) -> list[tuple[str, str]]:
    assert all(not prompt.answer for prompt in (*behavior.positive, *behavior.negative))
    return [(one.text, other.text) for one, other in zip(behavior.positive, behavior.negative, strict=True)]


PAIRS = [("Say it, happily", 'Say "no"'), ("Zwei\nZeilen ä", "Drei")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(PAIRS)),
        ("a.json", json.dumps(PAIRS, indent=2)),
        ("a.jsonl", json.dumps([{"positive": one, "negative": other} for one, other in PAIRS])),
        ("a.jsonl", "\n".join(json.dumps({"harmful": one, "harmless": other}) for one, other in PAIRS)),
        ("a.csv", 'positive,negative\n"Say it, happily","Say ""no"""\n"Zwei\nZeilen ä",Drei\n'),
        ("a.CSV", '\ufeffNegative, Positive\r\n"Say ""no""","Say it, happily"\r\n\r\nDrei,"Zwei\r\nZeilen ä"\r\n'),
        ("a.tsv", 'positive\tnegative\nSay it, happily\t"Say ""no"""\n"Zwei\nZeilen ä"\tDrei'),
    ],
)
def test_pairs_of_texts_are_what_the_user_says(tmp_path: Path, name: str, content: str) -> None:
    behavior = load(tmp_path, name, content)
    assert classes(behavior) == PAIRS
    assert [prompt.id for prompt in (*behavior.positive, *behavior.negative)] == ["p1", "p2", "n1", "n2"]


@pytest.mark.parametrize("content", [json.dumps(CAA), "\n".join(map(json.dumps, CAA))])
def test_answers_of_caa_begin_the_models_turn_and_end_with_the_letter(tmp_path: Path, content: str) -> None:
    behavior = load(tmp_path, "caa.json", content)
    assert behavior.positive == (Prompt("p1", CAA[0]["question"], "(A"), Prompt("p2", "Do you agree?", "Yes"))
    assert behavior.negative == (Prompt("n1", CAA[0]["question"], "(B"), Prompt("n2", "Do you agree?", "No"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps([{"prompt": "Who are you?", "positive": "A pirate!", "negative": "A model."}])),
        ("a.csv", "prompt,positive,negative\nWho are you?,A pirate!,A model.\n"),
    ],
)
def test_a_prompt_with_two_completions_is_read_at_the_end_of_each(tmp_path: Path, name: str, content: str) -> None:
    behavior = load(tmp_path, name, content)
    assert behavior.positive == (Prompt("p1", "Who are you?", "A pirate!"),)
    assert behavior.negative == (Prompt("n1", "Who are you?", "A model."),)


def test_samples_of_inspect_ai_are_test_prompts_with_a_target(tmp_path: Path) -> None:
    behavior = load(tmp_path, "a.json", json.dumps(PAIRS))
    assert [(one.id, one.text, one.target) for one in behavior.test] == [
        ("t1", "Tell me a joke", "ha | hi"),
        ("7", "Name a planet", None),
    ]


def test_what_was_read_is_said(tmp_path: Path) -> None:
    path, tests = tmp_path / "caa.json", tmp_path / "tests.jsonl"
    path.write_text(json.dumps(CAA))
    tests.write_text(TESTS)
    contrast, beside = read_behavior("b", BehaviorFile(path, "caa.json"), BehaviorFile(tests)).files
    assert "CAA" in contrast.form
    assert (contrast.pairs, contrast.left_aside) == (2, ("statement",))
    assert ("inspect_ai" in beside.form, beside.pairs, len(beside.lines)) == (True, 0, 2)


def test_roles_go_by_either_name(tmp_path: Path) -> None:
    ours = [{"id": role, "role": role, "text": f"text of {role}"} for role in ("positive", "negative", "test")]
    behavior = load(tmp_path, "a.jsonl", "\n".join(map(json.dumps, ours)), tests=None)
    assert [len(side) for side in (behavior.positive, behavior.negative, behavior.test)] == [1, 1, 1]
    assert classes(load(tmp_path, "a.json", json.dumps(ours), tests=None)) == classes(behavior), "an array of them is read too"
    told = refused(tmp_path, "a.jsonl", json.dumps({**ours[0], "role": "postive"}), tests=None)
    assert "allowed: positive, negative, test; did you mean 'positive'?" in told
    assert "the file has no negative prompts" in refused(tmp_path, "a.jsonl", json.dumps(ours[0]), tests=None)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "positive,negative\na,b\nc\nd,e,f\n", "a.csv:3: 1 cells in a table of 2 columns"),
        ("a.csv", 'positive,negative\n"a\nb",c\nd, \n', "a.csv:4: negative: the negative is empty"),
        ("a.csv", 'positive,negative\n"a,b\nc', "a.csv:2: this row is not valid: unexpected end of data"),
        ("a.csv", "foo,bar\na,b\n", "a.csv:2: the keys are those of no known form (got 'foo, bar')"),
        ("a.csv", "positive,positive\na,b\n", "the header names a column twice"),
        ("a.csv", "positive\na\n", "a.csv:2: negative: is missing; allowed: one of negative, harmless"),
        ("a.csv", "positive,negative\n", "the file has no positive prompts"),
        ("a.json", '[["a", "b"],\n ["c"]]', "a.json:2: this entry is no pair (got ['c'])"),
        ("a.json", '[["a", "b"],\n ["c", 5]]', "a.json:2: negative: wrong type (got 5)"),
        ("a.json", '[["a", "b"],\n ["c", "d"', "the JSON array is not valid"),
        ("a.json", '[["a", "b"]] x', "the JSON array is not valid: Extra data"),
        ("a.json", '[{"positive": "a", "negative": "b",\n "positive": "c"}]', "positive: duplicate key"),
        ("a.json", '[{"positive": "a", "harmful": "b", "negative": "c"}]', "given twice, as positive and harmful"),
        ("a.json", '[["Same.", "same"]]', "negative prompt n1 is also positive prompt p1 (line 1)"),
        ("a.json", '[["Tell me a joke!", "b"]]', "test prompt t1 is also extraction prompt p1 (line 1 of "),
        ("a.json", '[{"answer_matching_behavior": "a", "answer_not_matching_behavior": "b"}]', "prompt: is missing"),
        ("a.json", '["a", "b"]', "an entry is no JSON object, pair or row (got 'a')"),
        ("a.json", "[]", "the file has no positive prompts"),
        ("a.json", "[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_told_by_line(tmp_path: Path, name: str, content: str, told: str) -> None:
    assert told in refused(tmp_path, name, content)


def test_test_prompts_come_from_one_of_two_files(tmp_path: Path) -> None:
    assert "test prompts may be in a file of their own, named by test" in refused(tmp_path, "a.json", '[["a", "b"]]', tests=None)
    own = "\n".join(json.dumps({"id": role, "role": role, "text": role}) for role in ("positive", "negative", "test"))
    assert "a.jsonl:3: role: this role does not belong here" in refused(tmp_path, "a.jsonl", own)
    told = refused(tmp_path, "a.json", '[["a", "b"]]', json.dumps(["x", "y"]).join(("[", "]")))
    assert "tests.jsonl:1: role: this role does not belong here" in told
    assert "tests.jsonl: role: the file has no test prompts" in refused(tmp_path, "a.json", '[["a", "b"]]', "[]")


@pytest.mark.parametrize(
    ("sample", "told"),
    [
        ({"input": [{"role": "user", "content": "Hi"}]}, "input: a conversation is no prompt"),
        ({"target": "x"}, "input: no input given"),
        ({"input": "Hi", "target": 4}, "target: wrong type"),
        ({"input": "Hi", "id": 7}, "id: this id is already used in line 2"),
        ({"input": "Hi", "id": True}, "id: wrong type"),
    ],
)
def test_a_bad_sample_is_told_by_line(tmp_path: Path, sample: dict[str, object], told: str) -> None:
    assert f"tests.jsonl:3: {told}" in refused(tmp_path, "a.json", json.dumps(PAIRS), TESTS + json.dumps(sample))


def test_ids_are_what_they_were_and_an_answer_is_part_of_them() -> None:
    """The first was printed by the version before answers and these roles."""
    model = ModelSpec("hub", "some/model", fingerprint="f")
    told = DirectionSpec(model, (Prompt("H1", "Pick a lock"),), (Prompt("L1", "Bake bread"),), "dim")
    assert told.id == "direction-4ea4e501f85650ac3832"
    assert DirectionSpec(model, (Prompt("H1", "Pick a lock", "(A"),), told.negative, "dim").id != told.id
