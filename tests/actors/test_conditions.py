"""Thresholds that are learned: by hand, and in a worker beside what the plain model gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from actors.conditions import balanced_accuracy, learned_threshold
from actors.cosines import cosines
from actors.engine.prefill import cosines_of
from actors.errors import JobError
from actors.types import Condition, Decoding, ExtractionJob, FloatArray, GenerationJob, Prompt, Steering
from actors.worker import ModelWorker
from tests.actors.engine.test_interventions import unit
from tests.actors.engine.test_stacks import states
from tests.actors.engine.test_steered_positions import run

UP = np.array([1.0, 0.0], np.float32)


def at(*cosines: float) -> FloatArray:
    """Vectors of length 3 with these cosines to ``UP``."""
    return np.array([[3 * one, 3 * np.sqrt(1 - one**2)] for one in cosines], np.float32)


def test_the_middle_of_the_widest_gap_that_tells_the_classes_apart() -> None:
    found = learned_threshold(at(0.9, 0.1, 0.6, 0.9), at(0.0, 0.2, 0.2, 0.8), UP)
    assert found.value == pytest.approx(0.4, abs=1e-6), "of the first and the third of each class: 0.9 0.6 | 0.0 0.2"
    assert (found.chosen, found.accuracy, found.n) == (1.0, 0.5, 4), "of the others one of two of each class is on its side"


def test_classes_that_overlap_have_the_best_balance() -> None:
    assert balanced_accuracy(np.array([0.1, 0.5, 0.6, 0.7]), np.array([0.2]), 0.3) == pytest.approx((0.75 + 1) / 2)
    found = learned_threshold(at(0.1, 0, 0.5, 0, 0.6, 0, 0.7, 0), at(0.2, 0, 0.15, 0), UP)
    assert found.value == pytest.approx(0.35, abs=1e-6)
    assert found.chosen == pytest.approx(0.875)


def test_a_threshold_stands_apart_from_every_prompt_that_chose_it() -> None:
    """The same prompt twice, a rounding apart: no threshold between the two, though it would tell one more of them apart."""
    found = learned_threshold(at(0.5 + 1e-7, 0, 0.9, 0), at(0.5, 0, 0.1, 0), UP)
    assert found.value in (pytest.approx(0.7, abs=1e-6), pytest.approx(0.3, abs=1e-6))
    assert found.chosen == 0.75


def test_cosines_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(JobError, match=r"the cosines of the 2 that choose it lie within .*; allowed: a number, another layer"):
        learned_threshold(at(0.5, 0.9), at(0.5, 0.1), UP)


def test_a_prompt_is_decided_by_the_bits_that_its_threshold_was_learned_from() -> None:
    """Alone and beside others, in either dtype that the stream has."""
    states = np.random.default_rng(0).standard_normal((7, 64)).astype(np.float32)
    vector = unit(1, 0)[0]
    together = cosines(states, vector)
    conditions = [Condition(0, vector, 0.0)] * 7
    assert cosines_of(torch.from_numpy(states), conditions) == together.tolist()
    assert [cosines_of(torch.from_numpy(one)[None], conditions[:1])[0] for one in states] == together.tolist()
    half = torch.from_numpy(states).bfloat16()
    assert cosines_of(half, conditions) == cosines(half.double().numpy(), vector).tolist()
    np.testing.assert_allclose(together, states @ vector / np.linalg.norm(states, axis=1), atol=1e-6)
    assert cosines(np.zeros((1, 64), np.float32), vector).tolist() == [0.0]


def test_too_few_prompts_are_refused() -> None:
    with pytest.raises(JobError, match="two prompts of each class"):
        learned_threshold(at(0.9), at(0.1, 0.2), UP)


def test_a_worker_learns_it_and_says_so(tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker("llama")
    how, y = (
        tuple(Prompt(f"{name}{n}", f"{name} number {n}, {text}") for n, text in enumerate("abcd")) for name in ("How", "y" * 9)
    )
    found = worker.extract(ExtractionJob("d", how, y, "dim"))
    vector = found.at(2).vector
    told = Condition(2, vector, None, True, how, y)
    steering = Steering((1, 2), unit(2, 0), 30.0, condition=told)
    prompts = (*how, *y)
    result = run(worker, [GenerationJob("c", prompts, Decoding(3), steering), GenerationJob("base", prompts, Decoding(3))])["c"]
    (threshold,) = result.thresholds
    assert threshold is not None
    plain = states(worker, prompts, 2)
    expected = learned_threshold(plain[:4], plain[4:], vector)
    assert threshold.value == pytest.approx(expected.value, abs=1e-5)
    assert (threshold.accuracy, threshold.n) == (expected.accuracy, 4)
    found_there = plain @ vector / np.linalg.norm(plain, axis=1)
    assert [one.acted for one in result.responses] == [(bool(cosine > expected.value),) for cosine in found_there]
    assert result.fired.fired is True
