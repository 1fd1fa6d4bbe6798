"""What is said of a tool that steers, from its tokens and logits; the oracle is how they were made."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.parity.steering import GreedyAnswers, diagnose_steering, read_steered

DRAWN = np.random.default_rng(5)
N, T, P = 3, 6, 8


def answers(first: GreedyAnswers | None = None, differs_from: int = 0) -> GreedyAnswers:
    """New ones, equal to ``first`` before the step ``differs_from``."""
    tokens = DRAWN.integers(0, 1000, (N, T))
    logits = DRAWN.standard_normal((N, T, P)).astype(np.float32)
    if first is not None and first.logits is not None:
        tokens[:, :differs_from] = first.tokens[:, :differs_from]
        logits[:, :differs_from] = first.logits[:, :differs_from]
    return GreedyAnswers(tokens, logits)


RIGHT = answers()
KNOWN = {"": RIGHT, "prefill missed": answers(), "first step missed": answers(RIGHT, 1), "added twice": answers()}


@pytest.mark.parametrize("name", [name for name in KNOWN if name])
def test_each_mistake_is_named_from_logits_and_from_tokens_alone(name: str) -> None:
    made = KNOWN[name]
    assert made.logits is not None
    found = diagnose_steering(GreedyAnswers(made.tokens, made.logits * (1 + 1e-6)), KNOWN, 1e-3)
    assert (found.verdict, found.mistake) == ("mistake", name)
    assert found.words.startswith(f"looks like {name}: distance ")
    assert diagnose_steering(GreedyAnswers(made.tokens, None), KNOWN, 1e-3).mistake == name


def test_right_answers_are_equal_or_rounding() -> None:
    assert RIGHT.logits is not None
    assert diagnose_steering(RIGHT, KNOWN, 1e-3).words == "equal, bit for bit"
    rounded = GreedyAnswers(RIGHT.tokens, RIGHT.logits + np.float32(1e-5))
    found = diagnose_steering(rounded, KNOWN, 1e-3)
    assert (found.verdict, found.mistake) == ("rounding", "")


def test_what_nothing_explains_is_put_down_to_nothing() -> None:
    found = diagnose_steering(answers(), KNOWN, 1e-3)
    assert (found.verdict, found.mistake) == ("unexplained", "")
    assert found.words.startswith("no known mistake explains it")


def test_without_planted_mistakes_answers_are_compared_with_right_ones_alone() -> None:
    assert diagnose_steering(RIGHT, {"": RIGHT}, 1e-3).words == "equal, bit for bit"
    found = diagnose_steering(answers(), {"": RIGHT}, 1e-3)
    assert (found.verdict, found.mistake, found.next) == ("unexplained", "", None)
    assert found.words.startswith("differs: distance ")
    assert "no mistake was planted" in found.words


def test_steps_behind_another_token_do_not_count() -> None:
    assert RIGHT.logits is not None
    tokens, logits = RIGHT.tokens.copy(), RIGHT.logits.copy()
    tokens[:, 2:] += 1  # a tie at step 2, which rounding decides
    logits[:, 3:] += 100
    found = diagnose_steering(GreedyAnswers(tokens, logits), KNOWN, 1e-3)
    assert found.verdict == "rounding"
    assert found.right.tokens == pytest.approx(2 / T)


def test_a_file_of_planted_mistakes_is_read() -> None:
    file = {
        "labels": np.array(list(KNOWN)),
        "tokens": np.stack([one.tokens for one in KNOWN.values()]),
        "logits": np.stack([one.logits for one in KNOWN.values() if one.logits is not None]),
    }
    found = read_steered(file)
    assert list(found) == list(KNOWN)
    np.testing.assert_array_equal(found["added twice"].tokens, KNOWN["added twice"].tokens)
