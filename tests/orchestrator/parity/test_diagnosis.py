"""A diagnosis on planted vectors: the oracle is how they were made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from orchestrator.parity.comparing import SiteMatch, difference, direction_of, matched_sites, told_sites
from orchestrator.parity.diagnosis import Diagnosis, PlantedDirection, Rounding, diagnose

DRAWN = np.random.default_rng(0)
L, D = 6, 40


def vectors(size: float = 1.0) -> npt.NDArray[np.float32]:
    return (size * DRAWN.standard_normal((L, D))).astype(np.float32)


CLEAN, PADDED, NORMED = vectors(), vectors(), vectors()
SLIGHT = CLEAN + vectors(0.05)
CANDIDATES = [
    PlantedDirection((), 1, CLEAN),
    PlantedDirection(("right padding",), 4, PADDED),
    PlantedDirection(("16-bit means",), 1, SLIGHT),
    PlantedDirection(("right padding", "16-bit means"), 4, PADDED + vectors(0.05)),
    PlantedDirection(("final norm",), 1, NORMED),
]


def said(
    direction: npt.ArrayLike, candidates: Sequence[PlantedDirection] = CANDIDATES, layers: Sequence[int] | None = None
) -> Diagnosis:
    found = diagnose(direction, candidates, layers)
    assert found is not None
    return found


def test_the_mistake_is_named_with_the_next_candidate_of_another_name() -> None:
    found = said(3 * PADDED)
    assert found.names == ("right padding",)
    assert found.nearest.distance < 1e-6
    assert found.next is not None
    assert found.next.names == ("right padding", "16-bit means")
    assert found.words.startswith("looks like right padding: distance 0; next candidate ")


def test_a_clean_direction_is_not_convicted_even_when_it_is_a_little_off() -> None:
    assert said(CLEAN).verdict == "clean"
    other_rounding = CLEAN + vectors(0.05)
    found = said(other_rounding)
    assert found.verdict == "clean"
    assert found.names == ()


def test_what_is_nearer_than_the_own_dtype_makes_is_sure_and_what_another_may_make_is_not() -> None:
    off = PADDED / np.linalg.norm(PADDED) + 0.03 * vectors() / np.sqrt(L * D)
    assert said(PADDED).sure
    found = said(off)
    assert found.names == ("right padding",)
    assert not found.sure
    assert "read in another dtype than the study's, or a cause that is not known" in found.words
    widened = diagnose(off, CANDIDATES, rounding=Rounding(own=0.01))
    assert widened is not None
    assert widened.sure


def test_mistakes_as_small_as_the_rounding_of_a_clean_direction_are_said_to_be_hidden() -> None:
    assert said(CLEAN).hidden == ()
    found = said(CLEAN + vectors(0.05))
    assert found.hidden == ("16-bit means",)
    assert not found.sure
    assert found.words.endswith("as small, and not to be told from it: 16-bit means")


@pytest.mark.parametrize("nothing", [np.zeros((L, D)), np.full((L, D), np.nan)])
def test_what_points_nowhere_is_no_direction(nothing: npt.NDArray[np.float64]) -> None:
    assert diagnose(nothing, CANDIDATES) is None


def test_a_layer_at_which_the_classes_do_not_differ_tells_nothing() -> None:
    holed = [PlantedDirection((), 1, np.full((L, D), np.nan, np.float32)), *CANDIDATES[1:]]
    assert diagnose(PADDED, holed) is None


def test_of_two_that_explain_it_the_simpler_one_is_named() -> None:
    between = PADDED + vectors(0.03)
    assert said(between).names == ("right padding",)
    assert said(CANDIDATES[3].direction).names == ("right padding", "16-bit means")


def test_what_nothing_explains_is_not_put_down_to_anything() -> None:
    found = said(vectors())
    assert found.verdict == "unexplained"
    assert found.names == ()
    assert found.words.startswith("no known mistake explains it")


def test_the_sign_the_other_way_is_told() -> None:
    found = said(-PADDED)
    assert (found.names, found.flipped) == (("right padding",), True)
    assert "sign the other way" in found.words


def test_one_layer_alone_is_enough() -> None:
    assert said(NORMED[3][None], layers=[3]).names == ("final norm",)


def test_layers_without_a_direction_do_not_count() -> None:
    holed = [
        *CANDIDATES,
        PlantedDirection(("block input",), 1, np.concatenate([np.full((1, D), np.nan), CLEAN[:-1]]).astype(np.float32)),
    ]
    assert said(np.concatenate([CLEAN[:1], CLEAN[:-1]]), holed).names == ("block input",)


def test_differences_are_those_of_numpy() -> None:
    one, other = DRAWN.standard_normal((2, 3, L, D)).astype(np.float32)
    other[:, 2] = one[:, 2]
    found = difference(one, other)
    assert found.bitwise == tuple(layer == 2 for layer in range(L))
    apart = one.astype(np.float64) - other
    np.testing.assert_allclose(found.absolute, np.abs(apart).max(axis=(0, 2)))
    expected = np.linalg.norm(apart, axis=-1) / np.linalg.norm(other.astype(np.float64), axis=-1)
    np.testing.assert_allclose(found.relative, expected.max(axis=0))
    np.testing.assert_allclose(direction_of(one, 1), one[0].astype(np.float64) - one[1:].mean(axis=0), rtol=1e-5, atol=1e-6)


def test_a_reading_is_matched_to_its_tensor() -> None:
    sites = DRAWN.standard_normal((3, L, 2, D)).astype(np.float32)
    names = ["output", "input", "output of mlp"]
    right = matched_sites(sites[0].transpose(1, 0, 2), sites, names)
    assert all(one.right and one.distance == 0 and one.next_distance > 0.5 for one in right)
    assert told_sites(right) == f"layers 0-{L - 1}: the output of its block"
    early = matched_sites(np.concatenate([sites[1, :1], sites[0, :-1]]).transpose(1, 0, 2), sites, names)
    assert told_sites(early) == f"layer 0: input of its block; layers 1-{L - 1}: output of the block before"


@pytest.mark.parametrize(
    ("match", "words"),
    [
        (SiteMatch(3, "output of mlp", 3, 0.0, 1.0), "output of mlp of its block"),
        (SiteMatch(3, "output", 4, 0.01, 1.0), "output of the block after"),
        (SiteMatch(5, "input", 2, 0.01, 1.0), "input of the block 3 before"),
        (SiteMatch(5, "output", 5, 0.3, 1.0), "no candidate site"),
    ],
)
def test_a_site_in_words(match: SiteMatch, words: str) -> None:
    assert match.words == words
