"""Wilson intervals against the paper's digits, scipy, and the closed formula."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from orchestrator.statistics import Interval, interval_text, percent_text, rate_text, wilson


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (50, 50, 92.9, 100.0),
        (45, 50, 78.6, 95.7),
        (23, 30, 59.1, 88.2),
        (29, 30, 83.3, 99.4),
        (0, 50, 0.0, 7.1),
        (17, 30, 39.2, 72.6),
    ],
)
def test_the_papers_intervals(k: int, n: int, low: float, high: float) -> None:
    interval = wilson(k, n)
    assert (round(100 * interval.low, 1), round(100 * interval.high, 1)) == (low, high)


counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.floats(0.5, 0.999))
def test_equals_scipy_and_the_formula(pair: tuple[int, int], confidence: float) -> None:
    k, n = pair
    interval = wilson(k, n, confidence)
    found = binomtest(k, n).proportion_ci(confidence, "wilson")
    assert (interval.low, interval.high) == (found.low, found.high)
    z, p = norm.ppf((1 + confidence) / 2), k / n
    middle, half = (p + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert interval.low == pytest.approx(max(0, middle - half), abs=1e-12)
    assert interval.high == pytest.approx(min(1, middle + half), abs=1e-12)


@given(counts)
def test_holds_the_rate_and_mirrors(pair: tuple[int, int]) -> None:
    k, n = pair
    here, there = wilson(k, n), wilson(n - k, n)
    assert 0 <= here.low <= k / n + 1e-12
    assert k / n - 1e-12 <= here.high <= 1
    assert here.low == pytest.approx(1 - there.high, abs=1e-12)


def test_no_trials_say_nothing() -> None:
    assert wilson(0, 0) == Interval(0.0, 1.0)
    assert interval_text(0, 0) == ""
    assert rate_text(0, 0) == "0/0"
    assert percent_text(0, 0) == "-"


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_impossible_counts(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="0 <= k <= n"):
        wilson(k, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, math.nan])
def test_impossible_confidence(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 2, confidence)


def test_texts() -> None:
    assert rate_text(9, 10) == "9/10 [59.6, 98.2]"
    assert rate_text(50, 50) == "50/50 [92.9, 100]"
    assert percent_text(9, 10) == "90"
    assert percent_text(1, 3) == "33.3"
    assert percent_text(0, 10) == "0"
