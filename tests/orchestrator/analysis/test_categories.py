"""Categories whose directions are known, and angles against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from orchestrator.analysis.analysis import Material
from orchestrator.analysis.categories import CATEGORIES, CategoryOptions, CategoryRow
from orchestrator.results.columns import row_of
from tests.orchestrator.analysis.planted import Array, classes

WIDTH = 48
OPTIONS = CategoryOptions(permutations=99, rank=2)


def planted(n: int, seed: int, shifts: Array) -> Material:
    """``n`` prompts of each category, shifted by one of ``shifts`` ``[C, d]``, and ``2 n`` negative ones; noise of variance 1."""
    random = np.random.default_rng(seed)
    positive = np.concatenate([random.normal(size=(n, 1, WIDTH)) + shift for shift in shifts])
    both = np.concatenate([positive, random.normal(size=(2 * n, 1, WIDTH))]) + 3.0
    names = [f"c{number}" for number in range(len(shifts)) for _ in range(n)]
    return Material({"activations": both}, classes(len(positive), 2 * n), (*names, *[None] * 2 * n))


def shifts(count: int, common: float, own: float, dimensions: int | None = None) -> Array:
    """A common direction, and of each category one of so many ``dimensions`` (None: its own)."""
    found = np.zeros((count, WIDTH))
    found[:, 0] = common
    found[np.arange(count), 1 + np.arange(count) % (dimensions or count)] = own
    return found


def rows_of(material: Material) -> list[CategoryRow]:
    about = {"analysis_id": "a", "model": "m", "behavior": "b"}
    return [row_of(CategoryRow, {**about, **row}) for row in CATEGORIES.rows(material, OPTIONS)]


def test_angles_are_those_of_numpy_and_scipy() -> None:
    material = planted(9, 0, shifts(3, 3.0, 2.0))
    mean, *pairs = rows_of(material)
    assert [(row.category, row.other) for row in pairs] == [("c0", "c1"), ("c0", "c2"), ("c1", "c2")]
    positive, negative = material.of("positive")[:, 0].reshape(3, 9, WIDTH), material.of("negative")[:, 0].mean(axis=0)
    for row, (one, other) in zip(pairs, [(0, 1), (0, 2), (1, 2)], strict=True):
        ours, theirs = positive[one].mean(axis=0) - negative, positive[other].mean(axis=0) - negative
        cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
        assert row.raw == pytest.approx(np.degrees(np.arccos(cosine)), rel=1e-5)
        bases = [np.linalg.svd(positive[place] - negative)[2][:2].T for place in (one, other)]
        first, last = sorted(np.degrees(subspace_angles(*bases)))
        assert (row.principal_first, row.principal_last) == pytest.approx((first, last), rel=1e-5)
    assert mean.raw == pytest.approx(np.mean([row.raw for row in pairs]))
    assert mean.raw_spread == pytest.approx(np.std([row.raw for row in pairs], ddof=1))


@pytest.mark.parametrize(("own", "dimensions", "count"), [(0.0, None, 1), (4.0, None, 4), (4.0, 2, 2)])
def test_as_many_directions_are_found_as_were_planted(own: float, dimensions: int | None, count: int) -> None:
    angle = np.degrees(np.arccos(16 / (16 + own**2)))
    exact = held = 0
    for seed in range(40):
        mean, first, *_ = rows_of(planted(12, seed, shifts(4, 4.0, own, dimensions)))
        exact += mean.directions == count
        held += first.corrected_low - 1e-9 <= angle <= first.corrected_high
    assert exact >= 35, "95 % of 40 but for chance"
    assert held >= 36


def test_classes_that_do_not_differ_have_no_direction() -> None:
    found = [rows_of(planted(8, seed, np.zeros((3, WIDTH))))[0] for seed in range(60)]
    assert sum(row.directions == 0 for row in found) >= 53
    assert all(row.corrected_high == 180.0 or row.corrected_low <= 90 <= row.corrected_high for row in found)


def test_the_negative_prompts_that_categories_share_close_the_raw_angle_alone() -> None:
    apart = np.zeros((2, WIDTH))
    apart[0, 0] = apart[1, 1] = 3.0
    rows = [rows_of(planted(6, seed, apart))[1] for seed in range(30)]
    assert np.mean([row.raw for row in rows]) < 80
    assert np.mean([row.corrected for row in rows if row.corrected is not None]) == pytest.approx(90, abs=6)


def test_one_category_has_no_rows() -> None:
    assert rows_of(planted(8, 0, np.zeros((1, WIDTH)))) == []
