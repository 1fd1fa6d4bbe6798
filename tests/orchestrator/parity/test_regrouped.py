"""Directions of prompts that were batched otherwise than they are given; the oracle is the sum that they are made as."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from orchestrator.parity.diagnosis import Diagnosis, PlantedDirection, diagnose
from orchestrator.parity.regrouped import Parts, regrouped

DRAWN = np.random.default_rng(3)
L, D, N = 4, 48, 4
LENGTHS = (11, 12, 14, 17)
Array = npt.NDArray[np.float32]


def drawn() -> Array:
    return DRAWN.standard_normal((L, D)).astype(np.float32)


ALONE = [[drawn() + 2 for _ in range(N)], [drawn() for _ in range(N)]]
PADDED = {(side, prompt, length): drawn() for side in (0, 1) for prompt in range(N) for length in LENGTHS[prompt + 1 :]}
"""What the last position holds where a prompt is padded to a longer one of its class."""


def parts() -> list[Parts]:
    where = [(side, prompt) for side in (0, 1) for prompt in range(N)]
    alone = Parts((), tuple(where), tuple(LENGTHS[prompt] for _, prompt in where), np.stack([ALONE[s][p] for s, p in where]))
    keys = [(side, prompt, length) for side, prompt in where for length in LENGTHS[prompt:]]
    stacked = np.stack([PADDED.get(key, ALONE[key[0]][key[1]]) for key in keys])
    padded = Parts(("right padding",), tuple(key[:2] for key in keys), tuple(key[2] for key in keys), stacked)
    return [alone, padded]


def contrast(positive: list[Array], negative: list[Array]) -> Array:
    return np.asarray(np.mean(positive, axis=0) - np.mean(negative, axis=0), np.float32)


CLEAN = contrast(*ALONE)
CANDIDATES = [PlantedDirection((), 1, CLEAN), PlantedDirection(("no template",), 1, drawn())]
PARTS = parts()


def by_batches(batches: list[list[int]]) -> Array:
    """Every batch padded on the right to its longest."""
    sides: list[list[Array]] = []
    for side in (0, 1):
        rows = [
            PADDED.get((side, prompt, max(LENGTHS[one] for one in batch)), ALONE[side][prompt])
            for batch in batches
            for prompt in batch
        ]
        sides.append(rows)
    return contrast(*sides)


def said(
    direction: npt.ArrayLike,
    candidates: Sequence[PlantedDirection] = CANDIDATES,
    layers: Sequence[int] | None = None,
    those: Sequence[Parts] = PARTS,
) -> Diagnosis:
    found = diagnose(direction, candidates, layers, further=partial(regrouped, parts=those))
    assert found is not None
    return found


@pytest.mark.parametrize("batches", [[[0, 1], [2, 3]], [[3, 0], [1, 2]], [[2, 0, 1], [3]], [[3, 1, 0, 2]]])
def test_right_padding_is_named_in_whatever_batches(batches: list[list[int]]) -> None:
    lengths = DRAWN.uniform(0.1, 10, (L, 1))
    found = said(by_batches(batches) * lengths)
    assert found.names == ("right padding",)
    assert found.nearest.distance < 1e-6
    assert "prompts in other batches than given" in found.words


@pytest.mark.parametrize(
    ("kept", "names"),
    [
        ([1, 3], ("batch item 0",)),  # of batches of 2: and the last batch of 2 as well
        ([2], ("batch item 0 or aliased buffer",)),
    ],
)
def test_prompts_that_are_left_out_are_seen(kept: list[int], names: tuple[str, ...]) -> None:
    direction = contrast([ALONE[0][one] for one in kept], [ALONE[1][one] for one in kept])
    found = said(direction)
    assert set(names[0].split(" or ")) <= set(found.names[0].split(" or "))
    assert len(found.names) == 1


def test_a_clean_direction_and_one_of_another_cause_are_put_down_to_nothing() -> None:
    assert said(CLEAN).verdict == "clean"
    shaken = CLEAN + 0.1 * drawn()
    assert said(shaken).names == ()
    weighted = np.tensordot([0.4, 0.3, 0.2, 0.1], np.stack(ALONE[0]), 1) - np.mean(ALONE[1], axis=0)
    for other in (drawn(), CLEAN + 3 * drawn(), weighted, -drawn()):
        assert said(other).names == ()


def test_too_few_numbers_say_nothing() -> None:
    one = by_batches([[0, 3], [1, 2]])[:, :20]  # 80 numbers, 20 parts
    few = [Parts(each.names, each.where, each.lengths, each.activations[:, :, :20]) for each in PARTS]
    candidates = [PlantedDirection((), 1, CLEAN[:, :20])]
    assert list(regrouped(one[:1].astype(np.float64), [0], few)) == []
    assert said(one[:1], candidates, [0], few).names == ()
