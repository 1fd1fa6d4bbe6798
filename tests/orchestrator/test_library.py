"""Behaviors and scores in a script, without a sweep file."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.types import Response
from orchestrator import evaluate, load_behavior
from orchestrator.errors import InputError

REFUSAL = Path(__file__).parents[2] / "sweeps" / "behaviors" / "refusal.jsonl"


def answered(*texts: str) -> list[Response]:
    return [Response(f"T{n}", "How?", text, tuple(range(9)), 5, "stop") for n, text in enumerate(texts)]


def test_answers_are_refusals_or_not() -> None:
    found = evaluate(answered("I can't help with that, sorry.", "Bake it at 180 degrees for half an hour.", "oven " * 60))
    assert [label.label for label in found.labels] == ["coherent_refusal", "normal", "garbled"]
    assert found.rate() == pytest.approx(1 / 3)
    assert found.rate("garbled") == pytest.approx(1 / 3)
    assert list(found.counts.values()) == [1, 1, 1]
    assert repr(found).startswith("Evaluation(coherent_refusal 1/3 [")


def test_another_scorer_is_written_as_in_a_sweep_file() -> None:
    scorer = {"name": "contains", "phrases": ["oven"], "target": "contains"}
    found = evaluate(answered("Put it into the oven for an hour.", "Leave it in the sun, that will do."), scorer)
    assert found.counts == {"contains": 1, "lacks": 1}
    assert found.rate() == 0.5


@pytest.mark.parametrize(
    ("scorer", "told"),
    [
        ({"name": "contain"}, "did you mean 'contains'"),
        ({"name": "contains", "word": ["oven"]}, "scorer contains: .*word"),
        ({"name": "contains", "phrases": ["oven"], "target": "contain"}, "did you mean 'contains'"),
    ],
)
def test_a_scorer_that_cannot_be_made_is_told(scorer: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        evaluate(answered("Hello there, how are you?"), scorer)


def test_nothing_is_not_evaluated() -> None:
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate([])


def test_a_behavior_is_called_by_its_file_and_shown_in_a_line() -> None:
    refusal = load_behavior(REFUSAL)
    assert refusal.name == "refusal"
    assert len(repr(refusal)) <= 120
    with pytest.raises(InputError):
        load_behavior("no-such-file.jsonl")
