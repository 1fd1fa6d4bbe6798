"""Intervals, tests, effect sizes and bootstraps against the paper's digits, scipy, enumeration and closed formulas."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from fractions import Fraction
from itertools import combinations, product
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm, permutation_test

from orchestrator import statistics
from orchestrator.statistics import (
    BootstrapKind,
    CorrectedRate,
    Interval,
    Known,
    TransferEffectiveness,
    clustered,
    cohens_h,
    difference_of,
    effectively_steerable,
    effectiveness_text,
    fisher,
    holm,
    interval_text,
    p_text,
    percent_text,
    rogan_gladen,
    sign_flip,
    transfer_effectiveness,
    wilson,
)


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


def test_the_interval_of_a_difference_is_newcombes_example() -> None:
    """56/70 against 48/80, method 10, in his Table II."""
    found = difference_of((56 / 70, 48 / 80), (wilson(56, 70), wilson(48, 80)))
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


def test_no_trials_say_nothing() -> None:
    assert wilson(0, 0) == Interval(0.0, 1.0)
    assert interval_text(None) == ""
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
    assert interval_text(wilson(9, 10)) == "[59.6, 98.2]"
    assert interval_text(wilson(50, 50)) == "[92.9, 100]"
    assert percent_text(9, 10) == "90"
    assert percent_text(1, 3) == "33.3"
    assert percent_text(0, 10) == "0"


@pytest.mark.parametrize(
    ("first", "second", "p", "one_sided"),
    [((50, 50), (30, 50), 1.8e-7, 8.8e-8), ((23, 30), (17, 30), 0.170, 0.085), ((30, 50), (5, 50), 2.0e-7, 9.8e-8)],
)
def test_fisher_of_the_papers_counts(first: tuple[int, int], second: tuple[int, int], p: float, one_sided: float) -> None:
    assert fisher(*first, *second) == pytest.approx(p, rel=0.03)
    assert fisher(*first, *second, "greater") == pytest.approx(one_sided, rel=0.03)
    assert fisher(*second, *first, "less") == pytest.approx(one_sided, rel=0.03)


small = st.integers(1, 12).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(small, small)
def test_fisher_is_the_sum_over_all_tables_with_these_margins(first: tuple[int, int], second: tuple[int, int]) -> None:
    (k1, n1), (k2, n2) = first, second
    total, wanted = k1 + k2, Fraction(math.comb(n1, k1) * math.comb(n2, k2))
    ways = [math.comb(n1, k) * math.comb(n2, total - k) for k in range(max(0, total - n2), min(n1, total) + 1)]
    p = sum(way for way in ways if way <= wanted) / Fraction(sum(ways))
    assert fisher(k1, n1, k2, n2) == pytest.approx(float(p), abs=1e-9)
    assert fisher(k1, n1, k2, n2) == pytest.approx(fisher(k2, n2, k1, n1), abs=1e-9)


def test_fisher_without_trials_says_nothing() -> None:
    assert fisher(0, 0, 3, 5) == 1.0


@pytest.mark.parametrize(
    ("first", "second", "h"),
    [((50, 50), (30, 50), 1.37), ((23, 30), (17, 30), 0.43), ((27, 30), (23, 30), 0.36), ((29, 30), (0, 50), 2.77)],
)
def test_cohens_h_of_the_papers_counts(first: tuple[int, int], second: tuple[int, int], h: float) -> None:
    assert round(cohens_h(*first, *second), 2) == h


@given(counts, counts)
def test_cohens_h_is_the_angle_between_the_rates(first: tuple[int, int], second: tuple[int, int]) -> None:
    """The angle between the unit vectors (sqrt p, sqrt(1 - p)), doubled."""
    p, q = first[0] / first[1], second[0] / second[1]
    angle = 2 * math.acos(min(1.0, math.sqrt(p * q) + math.sqrt((1 - p) * (1 - q))))
    assert abs(cohens_h(*first, *second)) == pytest.approx(angle, abs=1e-6)
    assert cohens_h(*first, *second) == -cohens_h(*second, *first)
    assert (cohens_h(*first, *second) > 0) == (p > q)


def test_cohens_h_needs_trials() -> None:
    with pytest.raises(ValueError, match="at least one trial"):
        cohens_h(0, 0, 1, 2)


outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=9)


@given(outcomes)
def test_mcnemar_counts_every_way_to_flip_the_differing_prompts(pairs: list[tuple[bool, bool]]) -> None:
    """Under the null each differing prompt falls to either side alike: enumerate them all."""
    differing = [a for a, b in pairs if a != b]
    half = Fraction(len(differing), 2)
    far = abs(sum(differing) - half)
    extreme = sum(abs(sum(flips) - half) >= far for flips in product((0, 1), repeat=len(differing)))
    assert sign_flip([a - b for a, b in pairs]) == pytest.approx(float(Fraction(extreme, 2 ** len(differing))))
    assert sign_flip([a - b for a, b in pairs]) == sign_flip([b - a for a, b in pairs])


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=9))
@settings(max_examples=40, deadline=None)
def test_sign_flips_are_scipys(differences: list[int]) -> None:
    values = (np.array(differences, float),)
    oracle = permutation_test(values, np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=True)
    assert sign_flip(differences) == pytest.approx(oracle.pvalue if any(differences) else 1.0)


def test_very_many_sign_flips_are_drawn() -> None:
    assert sign_flip([60_000] * 20) < 0.001
    assert sign_flip([60_000, -60_000] * 10) == pytest.approx(1, abs=0.05)


def test_clusters_that_agree_are_counted_once() -> None:
    sides, prompts = [True] * 12 + [False] * 12, [f"a{n % 4}" for n in range(12)] + [f"b{n % 4}" for n in range(12)]
    assert clustered([True] * 12 + [False] * 12, sides, prompts) == pytest.approx(fisher(4, 4, 0, 4))
    assert clustered([True] * 24, sides, prompts) == 1.0
    assert clustered([True, False], [True, False], ["one", "one"]) == 1.0
    assert clustered([True, False], [True, True], ["one", "two"]) == 1.0


def test_clustered_by_prompt_keeps_its_level_where_fisher_does_not() -> None:
    """No difference between the sides, but prompts that are easy or hard, each answered 20 times: 5 % should be called one."""
    draws, false, naive = np.random.default_rng(1), 0, 0
    sides, prompts = [number < 300 for number in range(600)], [number // 20 for number in range(600)]
    for _ in range(200):
        easy = draws.beta(0.5, 0.5, 30)
        outcomes = draws.random(600) < easy[prompts]
        false += clustered(outcomes.tolist(), sides, prompts) < 0.05
        naive += fisher(int(outcomes[:300].sum()), 300, int(outcomes[300:].sum()), 300) < 0.05
    assert binom.sf(false - 1, 200, 0.05) > 0.001
    assert naive > 80


def test_mcnemar_sees_what_fisher_cannot() -> None:
    differences = [1] * 6 + [0] * 24
    assert sign_flip(differences) == pytest.approx(2 * 0.5**6)
    assert fisher(10, 30, 4, 30) > 0.1 > sign_flip(differences)


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_is_bonferroni_on_every_subset(p: list[float]) -> None:
    """The closed testing procedure by Bonferroni, which Holm's is: the largest over all sets that hold the hypothesis."""

    def closed(i: int) -> float:
        others = [j for j in range(len(p)) if j != i]
        sets = [(i, *more) for size in range(len(p)) for more in combinations(others, size)]
        return max(min(1.0, len(one) * min(p[j] for j in one)) for one in sets)

    assert holm(p) == pytest.approx(tuple(closed(i) for i in range(len(p))))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([]) == ()
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, 1.5])


def arm(k: int, n: int) -> list[bool]:
    return [True] * k + [False] * (n - k)


TABLE_10 = [
    ((30, 30), (24, 30), "1.25", (1.071, 1.579)),
    ((5, 30), (29, 30), "0.17", (0.036, 0.321)),
    ((29, 30), (29, 30), "1.00", (0.900, 1.111)),
    ((1, 30), (30, 30), "0.03", (0.000, 0.100)),
]


@pytest.mark.parametrize(("transferred", "control", "value", "interval"), TABLE_10)
def test_the_independent_bootstrap_is_the_papers_table_10(
    transferred: tuple[int, int], control: tuple[int, int], value: str, interval: tuple[float, float]
) -> None:
    found = transfer_effectiveness(arm(*transferred), arm(*control), "independent")
    assert found.value is not None
    assert f"{found.value:.2f}" == value
    assert rounded(found) == interval


def test_the_joint_bootstrap_draws_the_same_prompts_in_both_arms() -> None:
    failing_alike = [True] * 12 + [False] + [True] * 17
    assert rounded(transfer_effectiveness(failing_alike, failing_alike)) == (1.0, 1.0)
    assert rounded(transfer_effectiveness(failing_alike, failing_alike[::-1])) != (1.0, 1.0)


@pytest.mark.parametrize("kind", ["joint", "independent"])
def test_an_end_on_a_step_is_decided_by_the_exact_distribution(kind: BootstrapKind) -> None:
    """30/30 over 24/30: the transferred arm is constant, so both kinds have one distribution, that of the control alone."""
    assert binom.cdf(18, 30, 0.8) < 0.025 < binom.cdf(19, 30, 0.8) < 0.026
    for seed in range(4):
        found = transfer_effectiveness(arm(30, 30), arm(24, 30), kind, resamples=1, seed=seed)
        assert found.exact
        assert rounded(found) == (1.071, 1.579)


@pytest.mark.parametrize("kind", ["joint", "independent"])
@pytest.mark.parametrize(
    ("transferred", "control"),
    [("1011", "1101"), ("1000", "1101"), ("1111", "1010"), ("0010", "0001"), ("110", "101"), ("01", "11")],
)
def test_the_interval_is_that_of_every_resample(kind: BootstrapKind, transferred: str, control: str) -> None:
    """Every resample of a few prompts, each as likely."""
    one, other = ([letter == "1" for letter in text] for text in (transferred, control))
    draws = list(product(range(len(one)), repeat=len(one)))
    pairs = [(drawn, drawn) for drawn in draws] if kind == "joint" else list(product(draws, draws))
    tops = [(sum(one[i] for i in a), sum(other[i] for i in b)) for a, b in pairs]
    low = sorted(Fraction(a, b) if b else (math.inf if a else Fraction(0)) for a, b in tops)
    high = sorted(Fraction(a, b) if b else math.inf for a, b in tops)
    expected = float(low[math.ceil(0.025 * len(low)) - 1]), float(high[math.ceil(0.975 * len(high)) - 1])
    found = transfer_effectiveness(one, other, kind)
    assert (found.low, found.high) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["joint", "independent"])
def test_what_is_too_large_is_drawn_and_agrees_with_the_exact(kind: BootstrapKind, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = [True] * 17 + [False] * 13, [True] * 9 + [False] * 4 + [True] * 14 + [False] * 3
    exact = transfer_effectiveness(*arms, kind)
    monkeypatch.setattr(statistics, "EXACT_UP_TO", 29)
    drawn = transfer_effectiveness(*arms, kind, resamples=50_001)
    assert (exact.exact, drawn.exact) == (True, False)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.02)
    assert transfer_effectiveness(arm(3, 30), arm(20, 31), "independent", resamples=50).exact is False
    with pytest.raises(ValueError, match="at least one resample"):
        transfer_effectiveness(*arms, kind, resamples=0)


def test_te_is_undefined_where_the_control_is_0() -> None:
    undefined = TransferEffectiveness(None, None, None, "joint")
    assert transfer_effectiveness(arm(3, 5), arm(0, 5)) == undefined
    assert transfer_effectiveness([], []) == undefined
    assert effectiveness_text(undefined) == "undefined (the control is 0)"


def test_a_weak_control_has_no_upper_bound() -> None:
    """One control in thirty: more than a third of the resamples have none at all."""
    found = transfer_effectiveness(arm(15, 30), [*arm(0, 29), True], "independent")
    assert found.value == pytest.approx(15)
    assert found.high == math.inf
    assert effectiveness_text(found).endswith(", inf]")
    both = transfer_effectiveness(arm(1, 30), arm(1, 30))
    assert (both.low, both.high) == (0.0, math.inf)


def test_one_prompt_is_resampled_to_itself() -> None:
    assert transfer_effectiveness([True], [True]) == TransferEffectiveness(1.0, 1.0, 1.0, "joint")
    assert transfer_effectiveness([False], [True, True], "independent") == TransferEffectiveness(0.0, 0.0, 0.0, "independent")


def test_impossible_bootstraps() -> None:
    with pytest.raises(ValueError, match="same prompts"):
        transfer_effectiveness(arm(1, 2), arm(1, 3))
    with pytest.raises(ValueError, match="at least one resample"):
        transfer_effectiveness(arm(1, 2), arm(1, 2), resamples=0)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20), st.randoms())
def test_te_holds_its_value_and_ignores_the_order(pairs: list[tuple[bool, bool]], chance: Random) -> None:
    found = transfer_effectiveness([a for a, _ in pairs], [b for _, b in pairs], resamples=2000)
    shuffled = chance.sample(pairs, len(pairs))
    assert transfer_effectiveness([a for a, _ in shuffled], [b for _, b in shuffled], resamples=2000) == found
    if found.value is not None and found.low is not None and found.high is not None:
        assert found.low - 1e-12 <= found.value <= found.high + 1e-12


def rounded(found: TransferEffectiveness) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return round(found.low, 3), round(found.high, 3)


def test_effectively_steerable_from_60_percent_on() -> None:
    assert effectively_steerable(18, 30)
    assert not effectively_steerable(17, 30)
    assert effectively_steerable(3, 5)
    assert not effectively_steerable(0, 0)
    with pytest.raises(ValueError, match="0 <= k <= n"):
        effectively_steerable(3, 2)


def test_p_values_as_shown() -> None:
    assert [p_text(p) for p in (1.0, 0.17, 0.0012, 1.76e-7, 0.0)] == ["1.000", "0.170", "0.001", "1.8e-7", "0.000"]


def test_the_module_is_light() -> None:
    code = "import sys, json, orchestrator.statistics; print(json.dumps([m for m in ('scipy', 'numpy') if m in sys.modules]))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == []


@pytest.mark.parametrize(("p", "se", "sp"), [(0.1, 0.7, 0.8), (0.3, 0.9, 0.95), (0.95, 0.95, 0.99), (0.5, 1.0, 1.0)])
def test_a_corrected_rate_covers_the_truth(p: float, se: float, sp: float) -> None:
    rng = np.random.default_rng(1)
    hits, values = 0, list[float]()
    for _ in range(400):
        right, rejected = rng.binomial(40, se), rng.binomial(40, sp)
        k = int(rng.binomial(100, p * se + (1 - p) * (1 - sp)))
        found = rogan_gladen(k, 100, Known(right / 40, 40), Known(rejected / 40, 40))
        hits += found.low <= p <= found.high
        assert found.value is not None
        values.append(found.value)
        assert 0 <= found.low <= found.high <= 1
    assert hits >= 0.93 * 400
    assert np.mean(values) == pytest.approx(p, abs=0.03)


def test_a_perfect_judge_is_corrected_in_nothing_but_its_interval() -> None:
    certain, guessed = Known(1.0, 1e9), Known(1.0, 20)
    exact = rogan_gladen(7, 10, certain, certain)
    assert exact.value == 0.7
    assert (exact.low, exact.high) == pytest.approx((0.39, 0.90), abs=0.02)  # as Agresti and Coull's for 7 of 10
    known_less = rogan_gladen(7, 10, guessed, guessed)
    assert known_less.value == 0.7
    assert known_less.high - known_less.low > exact.high - exact.low


def test_rogan_and_gladens_own_formula() -> None:
    """Half of the answers called positive by a judge that finds 90 % and wrongly adds 20 %: (0.5 + 0.8 - 1) / (0.9 + 0.8 - 1)."""
    assert rogan_gladen(50, 100, Known(0.9, 50), Known(0.8, 50)).value == pytest.approx(0.3 / 0.7)
    assert rogan_gladen(0, 100, Known(0.9, 50), Known(0.8, 50)).value == 0.0
    assert rogan_gladen(100, 100, Known(0.9, 50), Known(0.8, 50)).value == 1.0


@pytest.mark.parametrize(("k", "n", "positives"), [(0, 1, 1), (27, 30, 1), (41, 50, 1), (0, 2, 1), (30, 30, 30)])
def test_a_corrected_rate_lies_within_its_interval_however_few_responses_tell_the_errors(k: int, n: int, positives: int) -> None:
    for judge in (Known(1.0, positives), Known(1.0, 30)), (Known(1.0, 30), Known(1.0, positives)):
        found = rogan_gladen(k, n, *judge)
        assert found.value is not None
        assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("k", "sp"), [(0, 0.8), (5, 0.8), (0, 0.9), (0, 0.99)])
def test_counts_that_the_judges_errors_cannot_give_have_the_interval_of_the_nearest_that_they_can(k: int, sp: float) -> None:
    found = rogan_gladen(k, 100, Known(0.9, 40), Known(sp, 40))
    nearest = rogan_gladen(max(k, 100 * (1 - sp)), 100, Known(0.9, 40), Known(sp, 40))
    assert (found.value, found.low) == (0.0, nearest.low)
    assert found.high == pytest.approx(nearest.high)
    assert found.high > 0.02
    mirrored = rogan_gladen(100 - k, 100, Known(sp, 40), Known(0.9, 40))
    assert (mirrored.value, mirrored.high) == (1.0, 1.0)
    assert mirrored.low == pytest.approx(1 - found.high)


@pytest.mark.parametrize("p", [0.0, 0.02, 0.05])
def test_a_corrected_rate_near_0_covers_the_truth_with_some_width(p: float) -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(400):
        judge = Known(rng.binomial(40, 0.9) / 40, 40), Known(rng.binomial(40, 0.8) / 40, 40)
        found = rogan_gladen(int(rng.binomial(100, 0.9 * p + 0.2 * (1 - p))), 100, *judge)
        hits += found.low <= p <= found.high
        assert found.high - found.low > 0.02
    assert hits >= 0.93 * 400


@pytest.mark.parametrize(("se", "sp"), [(0.5, 0.5), (0.3, 0.6)])
def test_a_judge_no_better_than_chance_tells_nothing(se: float, sp: float) -> None:
    assert rogan_gladen(5, 10, Known(se, 100), Known(sp, 100)) == CorrectedRate(None, 0.0, 1.0)
    assert rogan_gladen(0, 0, Known(1.0, 100), Known(1.0, 100)) == CorrectedRate(None, 0.0, 1.0)
