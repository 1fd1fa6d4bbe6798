"""Rates of several responses per prompt: the interval holds what it should, and is statsmodels' and scipy's where it can be."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from statsmodels.regression.linear_model import OLS

from benchmarks.coverage import covered
from benchmarks.false_alarms import Design, rates_of
from orchestrator.clusters import LEAST_P, PRIOR, counts_by, difference_p, effective_n, rate_interval, spread_of, stability
from orchestrator.statistics import Interval, Mean, difference_of, mean_of, wilson

COUNTS = [(5, 5), (0, 5), (3, 5), (4, 5), (1, 5), (5, 5), (2, 4), (0, 6), (5, 5), (1, 3)]
one_count = st.integers(1, 6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def robust_error(values: list[float], prompts: list[int]) -> float:
    """The cluster-robust standard error of a mean, by statsmodels."""
    fit = OLS(np.array(values), np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": np.array(prompts)})
    return float(fit.bse[0])


def test_the_design_effect_is_that_of_the_cluster_robust_variance() -> None:
    values = [float(one < k) for k, n in COUNTS for one in range(n)]
    prompts = [number for number, (_, n) in enumerate(COUNTS) for _ in range(n)]
    rate, n = np.mean(values), len(values)
    size = sum(m * m for _, m in COUNTS) / n
    icc = (robust_error(values, prompts) ** 2 / (rate * (1 - rate) / n) - 1) / (size - 1)
    telling = min(sum(k > 0 for k, _ in COUNTS), sum(k < m for k, m in COUNTS))
    drawn_to_one = (telling * icc + PRIOR) / (telling + PRIOR)
    assert effective_n(COUNTS) == pytest.approx(n / (1 + (size - 1) * drawn_to_one))


def test_the_mean_of_numbers_has_the_cluster_robust_t_interval() -> None:
    values, prompts = [1.0, 2.0, 2.5, 7.0, 6.0, 9.0, 4.0], [0, 0, 0, 1, 1, 2, 3]
    found = mean_of(values, list(map(str, prompts)))
    assert found.value == pytest.approx(np.mean(values))
    assert found.high is not None
    assert found.high - np.mean(values) == pytest.approx(student.ppf(0.975, 3) * robust_error(values, prompts))
    assert mean_of([1.0, 2.0], ["a", "a"]).low is None


@given(st.lists(st.floats(0, 100), min_size=2, max_size=8))
def test_a_mean_on_a_scale_has_an_interval_on_it(values: list[float]) -> None:
    """It holds of every mean that there can be those that the unbounded one holds, so that it covers as often."""
    prompts = list(map(str, range(len(values))))
    free, bounded = mean_of(values, prompts), mean_of(values, prompts, within=(0, 100))
    assert free.low is not None
    assert free.high is not None
    assert bounded.low is not None
    assert bounded.high is not None
    assert bounded.value == free.value
    assert 0 <= bounded.low <= bounded.high <= 100
    for mean in (0.0, 1.0, 12.5, 50.0, 99.0, 100.0):
        assert (free.low <= mean <= free.high) == (bounded.low <= mean <= bounded.high)
    assert mean_of(values, prompts, within=(0, None)).high == free.high


COUNT = st.integers(1, 5).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(st.lists(COUNT, min_size=1, max_size=8), st.lists(COUNT, min_size=1, max_size=8), st.sampled_from([0.01, 0.05, 0.2]))
def test_a_difference_has_a_p_below_the_level_at_which_its_interval_leaves_0_out(
    first: list[tuple[int, int]], second: list[tuple[int, int]], level: float
) -> None:
    p = difference_p(first, second)
    assert p == pytest.approx(difference_p(second, first))
    rates = [sum(k for k, _ in side) / sum(n for _, n in side) for side in (first, second)]
    found = difference_of((rates[0], rates[1]), (rate_interval(first, 1 - level), rate_interval(second, 1 - level)))
    assert (p < level * (1 + 1e-5)) == (not found.low <= 0 <= found.high)


def test_a_difference_of_one_prompt_or_of_nothing_is_none() -> None:
    assert difference_p([(5, 5)], [(0, 5)] * 20) == difference_p([], [(1, 2)]) == difference_p([(1, 2)] * 9, [(2, 4)] * 9) == 1
    assert difference_p([(500, 500)] * 500, [(0, 500)] * 500) == LEAST_P


def test_unequal_sides_raise_no_more_alarms_than_they_should() -> None:
    """No difference, four prompts against thirty: the cluster-robust t of before called one in every fourth case."""
    by_t, by_interval, _ = rates_of(Design((4, 30), (5, 5), 0), 200, seed=1).max(axis=0)
    assert by_interval < 0.05 < 0.2 < by_t


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_any_finite_numbers_have_a_mean(values: list[float]) -> None:
    found = mean_of(values, [str(number // 2) for number in range(len(values))])
    exact = sum(map(Fraction, values)) / len(values)
    assert found.value == pytest.approx(float(exact), rel=1e-12, abs=max(map(abs, values)) * 1e-12)
    if found.value is not None and found.low is not None and found.high is not None:
        assert -math.inf < found.low <= found.value <= found.high < math.inf


@pytest.mark.parametrize("unit", [1e-300, 1e160, 1e300])
def test_the_interval_of_numbers_is_as_long_in_any_unit(unit: float) -> None:
    values, prompts = [0.0, 2.0, 2.5, 7.0, 6.0, 9.0, 4.0], list("aaabbcd")
    small, large = mean_of(values, prompts), mean_of([value * unit for value in values], prompts)
    assert small.low == pytest.approx((large.low or 0) / unit)
    assert small.high == pytest.approx((large.high or 0) / unit)


def test_an_interval_that_no_float_holds_is_none() -> None:
    assert mean_of([1.7e308, -1.7e308], ["a", "b"]) == Mean(0.0, None, None)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_one_response_per_prompt_is_wilson(outcomes: list[bool]) -> None:
    assert rate_interval(counts_by(range(len(outcomes)), outcomes)) == wilson(sum(outcomes), len(outcomes))


@given(st.lists(one_count, min_size=2, max_size=12))
def test_it_holds_the_rate_mirrors_and_ignores_the_order(counts: list[tuple[int, int]]) -> None:
    rate = sum(k for k, _ in counts) / sum(n for _, n in counts)
    here, there = rate_interval(counts), rate_interval([(n - k, n) for k, n in counts[::-1]])
    assert 0 <= here.low <= rate + 1e-12
    assert rate - 1e-12 <= here.high <= 1
    assert (here.low, here.high) == pytest.approx((1 - there.high, 1 - there.low), abs=1e-9)


def test_samples_that_all_agree_say_no_more_than_their_prompts() -> None:
    alike = rate_interval([(20, 20)] * 6 + [(0, 20)] * 4)
    assert alike.low < wilson(6, 10).low < wilson(120, 200).low
    assert rate_interval([(0, 20)] * 10).high > wilson(0, 10).high > 10 * wilson(0, 200).high
    assert rate_interval([(3, 5)]) == Interval(0.0, 1.0)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize(("prompts", "samples", "icc"), [(10, 5, 0.0), (10, 20, 0.9), (30, 5, 0.3), (30, 20, 0.6), (100, 5, 0.9)])
def test_it_covers(prompts: int, samples: int, icc: float, rate: float) -> None:
    share, width = covered((prompts, samples, icc), rate, draws=1000, seed=1)
    assert share >= 0.93
    assert width < 1.4 * student.ppf(0.975, prompts - 1) / math.sqrt(prompts)


def test_spread_is_found_again() -> None:
    """Two prompts' rates apart by 0.6: their standard deviation, and that of a response around its prompt's rate."""
    draws = np.random.default_rng(0)
    counts = [(int(draws.binomial(500, rate)), 500) for rate in [0.2, 0.8] * 200]
    found = spread_of(counts)
    assert found is not None
    assert found.between == pytest.approx(0.3, abs=0.01)
    assert found.within == pytest.approx(0.4, abs=0.01)
    alike = spread_of([(5, 5), (0, 5)])
    assert alike is not None
    assert alike.between == pytest.approx(math.sqrt(0.5))
    assert alike.within == 0.0
    assert spread_of([(1, 1), (0, 1)]) is None
    assert spread_of([(3, 5)]) is None


def test_stability_is_the_share_of_the_commonest_label() -> None:
    assert stability("aaabbb", ["x", "x", "y", "z", "z", "z"]) == pytest.approx((2 / 3 + 1) / 2)
    assert stability("abc", ["x", "y", "x"]) is None
