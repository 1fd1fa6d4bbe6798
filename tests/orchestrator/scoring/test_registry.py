"""The scorers by what they say of plain texts, their ids, and how wrong options and files are told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator.errors import InputError
from orchestrator.scoring import CLASSIFIERS
from orchestrator.scoring.registry import SCORERS, make_scorer
from tests.orchestrator.scoring.labelled import load

PIRATE = {"labels": {"pirate": [r"\barr+\b", "matey"], "polite": "please"}, "otherwise": "plain"}


def said(name: str, options: Mapping[str, object], text: str, folder: Path = Path()) -> str | float | None:
    score = make_scorer(name, options, folder).score("p", "Say something.", text)
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
    ],
)
def test_what_they_say(name: str, options: Mapping[str, object], text: str, expected: str | float) -> None:
    assert said(name, options, text) == expected


def test_refusal_and_coherence_together_say_what_the_text_classifier_says() -> None:
    refusal, coherence, text = (make_scorer(name, {}, Path()) for name in ("refusal", "coherence", "refusal"))
    assert text.id == refusal.id == "refusal@4"
    cases = [one for one in load() if len(one.response) < 2000][:150]
    labels = set()
    for case in cases:
        whole = CLASSIFIERS["text"].label("p", "", case.response, "stop")
        answer = case.response if whole.answer is None else whole.answer
        if coherence.score("p", "", answer).label == "garbled":
            expected = "garbled"
        else:
            expected = {"refusal": "coherent_refusal", "normal": "normal"}[str(refusal.score("p", "", answer).label)]
        assert whole.label in (expected, "no_answer")
        labels.add(whole.label)
    assert labels >= {"coherent_refusal", "garbled", "normal"}


def test_patterns_take_linear_time() -> None:
    """Fifty letters and `(a+)+$` keep a backtracking matcher busy for years."""
    start = time.monotonic()
    assert said("pattern", {"labels": {"x": "(a+)+$"}}, "a" * 50_000 + "!") == "other"
    assert time.monotonic() - start < 2


def test_ids_follow_what_is_asked() -> None:
    def id_of(name: str, **options: object) -> str:
        return make_scorer(name, options, Path()).id

    assert id_of("coherence") == "coherence@4"
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
    assert [loud.score("p", "", text).label for text in ("HEY", "hey")] == ["loud", "calm"]
    assert loud.score("p", "", "HEY").evidence == '{"capitals": 3}'
    assert said("mine.py:share", {}, "hello", tmp_path) == 0.5
    (tmp_path / "mine.py").write_text(OWN + "\n")
    assert make_scorer("mine.py:shouting", {"labels": ["loud", "calm"]}, tmp_path).id != loud.id, "its file has changed"


@pytest.mark.parametrize("name", ["wrong", "raising"])
@pytest.mark.parametrize("options", [{"labels": ["loud", "calm"]}, {}])
def test_where_a_scorer_of_ones_own_fails_the_error_is_its_evidence(
    name: str, options: Mapping[str, object], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    score = make_scorer(f"mine.py:{name}", options, tmp_path).score("p", "", "hello")
    assert (score.label, score.value) == (None, None)
    assert {"wrong": "neither", "raising": "ZeroDivisionError"}[name] in score.evidence


def test_a_file_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    for name, told in (
        ("mien.py:share", "there is no such file.*did you mean 'mine.py:share'"),
        ("mine.py:shar", "no function 'shar'.*did you mean 'share'"),
        ("broken.py:share", "cannot be run: ModuleNotFoundError"),
    ):
        with pytest.raises(InputError, match=told):
            make_scorer(name, {}, tmp_path)


def test_every_kind_is_tried_here() -> None:
    assert set(SCORERS) == {"refusal", "coherence", "pattern", "contains", "language", "length"}
