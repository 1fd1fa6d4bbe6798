"""The learning curve against pools that are really drawn, and against streams whose parameters are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from orchestrator.analysis.analysis import Material
from orchestrator.analysis.stability import STABILITY, StabilityOptions, StabilityRow
from orchestrator.results.columns import row_of
from tests.orchestrator.analysis.planted import Array, classes

WIDTH = 32


def rows_of(material: Material, agreement: float = 0.9) -> list[StabilityRow]:
    about = {"analysis_id": "a", "model": "m", "behavior": "b"}
    return [row_of(StabilityRow, {**about, **row}) for row in STABILITY.rows(material, StabilityOptions(agreement=agreement))]


def planted(n: int, seed: int, length: float = 4.0, apart: float = 0.0, categories: int = 0) -> Material:
    """``n`` prompts of each category (0: of none) and ``n`` negative ones, of unit noise; each category's direction is ``apart``
    in a dimension of its own."""
    random, shifts = np.random.default_rng(seed), np.zeros((max(categories, 1), WIDTH))
    shifts[:, 0] = length
    shifts[np.arange(len(shifts)), 1 + np.arange(len(shifts))] += apart
    positive = np.concatenate([random.normal(size=(n, 1, WIDTH)) + shift for shift in shifts])
    negative = random.normal(size=(n, 1, WIDTH))
    names = [f"c{number}" if categories else None for number in range(len(shifts)) for _ in range(n)]
    both = np.concatenate([positive, negative])
    return Material({"activations": both}, classes(len(positive), n), (*names, *[None] * n))


def resampled(material: Material, sizes: list[int], pools: int) -> Array:
    """The instability at each size by drawing two disjoint pools, of different categories where there are any."""
    random = np.random.default_rng(0)
    positive, negative, names = material.of("positive")[:, 0], material.of("negative")[:, 0], material.categories_of("positive")
    found = []
    for n in sizes:
        across, own = [], []
        for _ in range(pools):
            chosen = random.permutation(np.array(list(dict.fromkeys(names)), object))[:2]
            both = [np.flatnonzero([name == one for name in names]) for one in chosen]
            if len(both) == 1:
                both = np.array_split(random.permutation(both[0]), 2)
            others = np.array_split(random.permutation(len(negative)), 2)
            one, other = (
                positive[random.choice(places, n, replace=False)].mean(axis=0)
                - negative[random.choice(rest, n, replace=False)].mean(axis=0)
                for places, rest in zip(both, others, strict=True)
            )
            across.append(one @ other)
            own += [one @ one, other @ other]
        found.append((np.mean(own) - np.mean(across)) / np.mean(across))
    return np.array(found)


@pytest.mark.parametrize("categories", [0, 4])
def test_pools_that_are_drawn_lie_on_the_curve(categories: int) -> None:
    (row,) = rows_of(material := planted(40, 1, apart=2.0 if categories else 0.0, categories=categories))
    assert row.k is not None
    assert row.floor is not None
    sizes = [2, 3, 4, 6, 8, 12, 16, 20]
    found = resampled(material, sizes, 400)
    np.testing.assert_allclose(found, np.array([row.k / n + row.floor for n in sizes]), rtol=0.1)
    fit, _ = curve_fit(lambda n, k, a, floor: k / n**a + floor, sizes, found, p0=(row.k, 1.0, row.floor), sigma=found)
    assert fit[1] == pytest.approx(1.0, abs=0.1), "the exponent needs no fit"
    assert fit[2] == pytest.approx(row.floor, abs=0.05)


def test_what_was_planted_is_within_its_intervals() -> None:
    held = dict.fromkeys(("k", "agreement", "needed", "floor"), 0)
    truth = {"k": 4.0, "agreement": 16 / (20 + 64 / 12), "needed": 64 / (16 / 0.7 - 20), "floor": 0.25}
    for seed in range(60):
        (row,) = rows_of(planted(12, seed, apart=2.0, categories=5), 0.7)
        for name, value in truth.items():
            low, high = getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
            held[name] += (low is None or low <= value) and (high is None or value <= high)
    assert min(held.values()) >= 55, held


def test_where_categories_do_not_differ_there_is_no_floor() -> None:
    rows = [rows_of(planted(10, seed, categories=4))[0] for seed in range(40)]
    assert sum(row.floor_low <= 0 <= row.floor_high for row in rows) >= 37  # type: ignore[operator]
    (row,) = rows_of(planted(10, 0))
    assert (row.categories, row.floor, row.floor_low, row.floor_high) == (0, 0.0, 0.0, 0.0)


def test_no_direction_needs_no_number_of_prompts() -> None:
    (row,) = rows_of(planted(10, 0, length=0.0))
    assert row.needed_high is None
    assert row.k_high is None
