"""The scorers by what they say of plain texts, their ids, and how wrong options and files are told."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator.errors import InputError
from orchestrator.scoring.own import GROUP
from orchestrator.scoring.registry import SCORERS, make_scorer
from orchestrator.scoring.score import ScoringError, score_responses
from tests.orchestrator.scoring.judged import answer, response

PIRATE = {"labels": {"pirate": [r"\barr+\b", "matey"], "polite": "please"}, "otherwise": "plain"}


def said(name: str, options: Mapping[str, object], text: str, folder: Path = Path()) -> str | float | None:
    score = make_scorer(name, options, folder).score(answer(text))
    return score.value if score.label is None else score.label


@pytest.mark.parametrize(
    ("name", "options", "text", "expected"),
    [
        ("pattern", PIRATE, "ARRR, please", "pirate"),
        ("pattern", PIRATE, "Please carry on", "polite"),
        ("pattern", {**PIRATE, "ignore_case": False}, "ARRR", "plain"),
        ("pattern", PIRATE, "Barren land", "plain"),
        ("contains", {"phrases": ["arr", "STRASSE"]}, "Die Straße", "contains"),
        ("contains", {"phrases": "arr"}, "carry the barrel", "lacks"),
        ("contains", {"phrases": "arr"}, "carry, arr!", "contains"),
        ("contains", {"phrases": "arr", "whole_words": False}, "carry", "contains"),
        ("contains", {"phrases": "Arr", "ignore_case": False}, "arr", "lacks"),
        ("language", {"among": ["en", "fr"]}, "Le chat dort sur la table de la cuisine.", "fr"),
        ("language", {"among": ["en", "fr"]}, "The cat sleeps on the kitchen table.", "en"),
        ("language", {"among": ["en", "fr"]}, "Oui.", "unknown"),
        ("length", {}, "one  two\nthree", 3.0),
        ("length", {"unit": "characters"}, "éa", 2.0),
        ("length", {"unit": "tokens"}, "éa", 0.0),
    ],
)
def test_what_they_say(name: str, options: Mapping[str, object], text: str, expected: str | float) -> None:
    assert said(name, options, text) == expected


def test_a_length_in_tokens_is_of_the_whole_response() -> None:
    whole = replace(response("<think>hm</think>Yes."), token_ids=(1, 2, 3, 4))
    (score,) = score_responses(make_scorer("length", {"unit": "tokens"}, Path()), [whole])
    assert (score.value, score.answer) == (4.0, "Yes.")


def test_patterns_take_linear_time() -> None:
    """Fifty letters and `(a+)+$` keep a backtracking matcher busy for years."""
    start = time.monotonic()
    assert said("pattern", {"labels": {"x": "(a+)+$"}}, "a" * 50_000 + "!") == "other"
    assert time.monotonic() - start < 60


def test_ids_follow_what_is_asked() -> None:
    def id_of(name: str, **options: object) -> str:
        return make_scorer(name, options, Path()).id

    assert id_of("coherence") == "coherence@6"
    assert id_of("length") == id_of("length", unit="words") == "length@1"
    assert id_of("length", unit="characters").startswith("length@1-")
    two = {"x": "a", "y": "b"}
    assert id_of("pattern", labels=two) != id_of("pattern", labels=dict(reversed(two.items()))), "the first that matches decides"
    assert id_of("contains", phrases="a") == id_of("contains", phrases=["a"])


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("pattern", {"labels": {"x": "(?<=a)b"}}, "the pattern of 'x', '(?<=a)b', is not valid: invalid perl operator: (?<="),
        ("pattern", {"labels": {"other": "b"}}, "'otherwise' is 'other', a label that has a pattern"),
        ("pattern", {"labels": {}}, "at least 1"),
        ("language", {"among": ["en", "xx"]}, "unknown language 'xx'"),
        ("length", {"units": "words"}, "Extra inputs"),
        ("refusal", {"strict": True}, "Extra inputs"),
    ],
)
def test_wrong_options_are_refused(name: str, options: Mapping[str, object], told: str) -> None:
    with pytest.raises(ValidationError) as raised:
        make_scorer(name, options, Path())
    assert told in str(raised.value)


def test_an_unknown_scorer_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown scorer \(got 'patern'\).*did you mean 'pattern'"):
        make_scorer("patern", {}, Path())


OWN = """
def shouting(prompt, response):
    capitals = sum(letter.isupper() for letter in response)
    return ("loud" if capitals * 2 > len(response) else "calm"), {"capitals": capitals}

def share(prompt, response):
    return len(response) / 10

def wrong(prompt, response):
    return "neither"

def raising(prompt, response):
    return 1 / 0
"""


def test_a_scorer_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    loud = make_scorer("mine.py:shouting", {"labels": ["loud", "calm"]}, tmp_path)
    assert [loud.score(answer(text)).label for text in ("HEY", "hey")] == ["loud", "calm"]
    assert loud.score(answer("HEY")).evidence == '{"capitals": 3}'
    assert said("mine.py:share", {}, "hello", tmp_path) == 0.5
    (tmp_path / "mine.py").write_text(OWN + "\n")
    assert make_scorer("mine.py:shouting", {"labels": ["loud", "calm"]}, tmp_path).id != loud.id, "its file has changed"


@pytest.mark.parametrize("name", ["wrong", "raising"])
@pytest.mark.parametrize("options", [{"labels": ["loud", "calm"]}, {}])
def test_where_a_scorer_of_ones_own_fails_the_prompt_and_the_error_are_named(
    name: str, options: Mapping[str, object], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    with pytest.raises(ScoringError, match=rf"^mine\.{name}@.* failed on the response to prompt p: ") as raised:
        score_responses(make_scorer(f"mine.py:{name}", options, tmp_path), [response("hello")])
    line = next(number for number, text in enumerate(OWN.splitlines(), start=1) if "/ 0" in text)
    assert {"wrong": "neither", "raising": f"ZeroDivisionError: division by zero (mine.py, line {line})"}[name] in str(
        raised.value
    )
    assert "Traceback" in raised.value.trace


GIVEN = """
from __future__ import annotations
from dataclasses import dataclass
from enum import Enum
import sys
import numpy as np

@dataclass
class Found:
    said: Kind

class Kind(str, Enum):
    LOUD = "loud"

class Speechless(Exception):
    def __str__(self):
        raise ValueError

def kind(prompt, response):
    return Found(Kind.LOUD).said, {"lone": chr(0xD800)}

def small(prompt, response):
    return np.float32(2)

def whole(prompt, response):
    return np.int64(2)

def leaving(prompt, response):
    sys.exit(3)

def ending(prompt, response):
    raise GeneratorExit

def speechless(prompt, response):
    raise Speechless

def endless(prompt, response):
    raise ValueError("x" * 1_000_000)

def measured(prompt, response):
    return 2.0, {"mean": float("nan"), "top": [float("inf")], "of": np.float64("nan")}

def by_pairs(prompt, response):
    return 2.0, {(1, 2): "a key that is no word"}

def circular(prompt, response):
    held = {}
    held["itself"] = held
    return 2.0, held
"""


@pytest.mark.parametrize(
    ("name", "options", "given"), [("kind", {"labels": ["loud", "calm"]}, "loud"), ("small", {}, 2.0), ("whole", {}, 2.0)]
)
def test_labels_and_numbers_of_other_types_are_taken_as_what_they_are(
    name: str, options: Mapping[str, object], given: str | float, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(GIVEN)
    (score,) = score_responses(make_scorer(f"mine.py:{name}", options, tmp_path), [response("hello")])
    assert repr(score.value if score.label is None else score.label) == repr(given)
    assert score.evidence.encode()


@pytest.mark.parametrize("name", ["measured", "by_pairs", "circular"])
def test_evidence_is_a_json_object_whatever_is_given_for_it(name: str, tmp_path: Path) -> None:
    def never(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    (tmp_path / "mine.py").write_text(GIVEN)
    (score,) = score_responses(make_scorer(f"mine.py:{name}", {}, tmp_path), [response("hello")])
    assert score.value == 2.0
    assert isinstance(json.loads(score.evidence, parse_constant=never), dict)


@pytest.mark.parametrize(
    ("name", "told"),
    [("leaving", "SystemExit: 3"), ("ending", "GeneratorExit: "), ("speechless", "Speechless"), ("endless", "ValueError: xxx")],
)
def test_whatever_a_scorer_of_ones_own_raises_fails_its_item_in_few_words(name: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GIVEN)
    with pytest.raises(ScoringError, match=f"prompt p: {told}") as raised:
        score_responses(make_scorer(f"mine.py:{name}", {}, tmp_path), [response("hello")])
    assert len(str(raised.value)) < 2000
    assert len(raised.value.trace) <= 20_000


HARD = """
import os, re

def mine(prompt, response):
    print("not an answer", flush=True)
    if response == "leave":
        os._exit(7)
    return len(re.findall("(a+)+$", response))
"""


def test_a_pattern_that_never_ends_fails_the_answer_and_holds_up_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(HARD)
    scorer = make_scorer("mine.py:mine", {"limit_seconds": 0.5}, tmp_path)
    assert scorer.id == make_scorer("mine.py:mine", {}, tmp_path).id, "the limit is no part of the id"
    told = r"prompt p: TimeoutError: took longer than 0\.5 s over this answer \(limit_seconds\) \(mine\.py, line 8\)"
    with pytest.raises(ScoringError, match=told):
        score_responses(scorer, [response("a" * 60 + "!")])
    with pytest.raises(ScoringError, match="prompt p: ChildProcessError: its process ended with exit code 7"):
        score_responses(scorer, [response("leave")])
    assert [score.value for score in score_responses(scorer, [response("baa")])] == [1.0], "a new process scores the next"


def test_the_file_that_the_id_names_is_the_one_that_runs(tmp_path: Path) -> None:
    file, times = tmp_path / "mine.py", (1_000_000_000, 1_000_000_000)
    for number in (1.0, 2.0):  # of one size and one time, as edits within a second are
        file.write_text(f"def f(prompt, response):\n    return {number}\n")
        os.utime(file, times)
        assert said("mine.py:f", {}, "hello", tmp_path) == number


CLASSES = """
LOADED = open("loaded", "a").write("x")

class Counted:
    def __init__(self, words, at_least=1, *, fold: bool = True):
        if at_least < 1:
            raise ValueError("at_least is below one")
        self.words, self.at_least, self.fold = words, at_least, fold

    def __call__(self, prompt, response):
        return "many" if sum(response.count(word) for word in self.words) >= self.at_least else "few"
"""


def test_a_class_is_made_with_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CLASSES)
    options = {"labels": ["many", "few"], "words": ["arr"], "at_least": 2}
    first, second = (make_scorer("mine.py:Counted", {**options, "at_least": n}, tmp_path) for n in (1, 2))
    assert first.id != second.id
    assert (tmp_path / "loaded").read_text() == "x", "its file is run once"
    scores = score_responses(second, [response("arr arr"), response("arr")])
    assert [score.label for score in scores] == ["many", "few"]
    assert (tmp_path / "loaded").read_text() == "xx", "and once in the process that scores"
    with pytest.raises(ValidationError, match="Extra inputs"):
        make_scorer("mine.py:Counted", {**options, "word": ["a"]}, tmp_path)
    with pytest.raises(ValidationError, match="words\\n  Field required"):
        make_scorer("mine.py:Counted", {"labels": ["many", "few"]}, tmp_path)
    with pytest.raises(InputError, match=r"at_least: it cannot be made: ValueError: at_least is below one \(got '0'\)"):
        make_scorer("mine.py:Counted", {**options, "at_least": 0}, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "def it(prompt): return 1",
        "def it(prompt, response, more): return 1",
        "class it:\n    pass",
        "def it(*, prompt, response): return 1",
    ],
)
def test_what_takes_no_prompt_and_answer_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(InputError, match="cannot be called with a prompt and an answer"):
        make_scorer("mine.py:it", {}, tmp_path)
    (tmp_path / "mine.py").write_text("def it(*both, more=1): return len(both)")
    assert said("mine.py:it", {}, "hello", tmp_path) == 2


def test_an_entry_point_is_named_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_package.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    points = EntryPoints([EntryPoint("their-share", "their_package:share", GROUP)])
    monkeypatch.setattr("orchestrator.scoring.own.entry_points", lambda **asked: points.select(**asked))
    assert said("their-share", {}, "hello") == 0.5
    assert make_scorer("their-share", {}, Path()).id.startswith("their_share@")
    with pytest.raises(InputError, match="did you mean 'their-share'"):
        make_scorer("their-shar", {}, Path())


@pytest.mark.parametrize("name", ["mañana.py:f", "..py:f", "a b.py:f", "x" * 200 + ".py:f"])
def test_an_id_is_a_name_for_a_folder_anywhere(name: str, tmp_path: Path) -> None:
    (tmp_path / name.partition(":")[0]).write_text("def f(prompt, response):\n    return 1\n")
    made = make_scorer(name, {"unit": "été"}, tmp_path).id
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}", made)


def test_a_file_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit()\n")
    for name, told in (
        ("mien.py:share", "there is no such file.*did you mean 'mine.py:share'"),
        ("mine.py:shar", "no function or class 'shar'.*did you mean 'share'"),
        ("broken.py:share", "cannot be run: ModuleNotFoundError"),
        ("leaves.py:share", "cannot be run: SystemExit"),
    ):
        with pytest.raises(InputError, match=told):
            make_scorer(name, {}, tmp_path)


def test_every_kind_is_tried_here() -> None:
    assert set(SCORERS) == {
        "refusal",
        "coherence",
        "pattern",
        "contains",
        "language",
        "length",
        "judge",
        "pool_judge",
        "linear_probe",
    }
