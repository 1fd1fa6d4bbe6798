"""Two sides against each other: the numbers are scipy's and the paper's, and what cannot be compared says so."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import fisher_exact, permutation_test, ttest_rel
from scipy.stats import t as student

from orchestrator.clusters import difference_p
from orchestrator.compare.comparison import TAKE_PAIRED, Comparison, Outcomes, Question, adjusted, compare, side_of
from orchestrator.errors import InputError
from orchestrator.results.rows import CellRow
from orchestrator.statistics import transfer_effectiveness
from tests.orchestrator.compare.made_up import made, reader, unsteered


def against(a: list[CellRow], b: list[CellRow], question: Question | None = None, stored: Any = None) -> Comparison:
    asked, read = question or Question(), reader(stored)
    return compare(side_of("a", a, asked, read), side_of("b", b, asked, read), asked)


def test_the_papers_int4_against_fp16() -> None:
    found = against([made("aaaa", 17, 30, quantization="nf4")], [made("bbbb", 23, 30)])
    assert found.points == pytest.approx(-20)
    assert round(found.p, 3) == 0.170
    assert round(found.h, 2) == -0.43
    assert (round(100 * found.b.interval.low, 1), round(100 * found.b.interval.high, 1)) == (59.1, 88.2)
    assert found.differs == ("quantization",)
    assert (found.a.steerable, found.b.steerable) == (False, True)
    assert found.te is None
    assert found.notes == ()


def test_the_same_prompts_are_paired() -> None:
    first: Outcomes = {("T1", 0): True, ("T2", 0): True, ("T3", 0): False, ("T4", 0): True}
    second: Outcomes = {("T4", 0): False, ("T3", 0): False, ("T2", 0): False, ("T1", 0): True}
    rows = [made("aaaa", 3, 4, multiplier=20.0)], [made("bbbb", 1, 4)]
    found = against(*rows, stored={"cell-aaaa": first, "cell-bbbb": second})
    assert found.paired is not None
    assert (found.paired.n, found.paired.only_a, found.paired.only_b, found.paired.p) == (4, 2, 0, 0.5)


@pytest.mark.parametrize(
    "other",
    [
        made("bbbb", 3, 5, multiplier=20.0),
        made("bbbb", 3, 4, multiplier=20.0, behavior="refusal-2"),
        made("bbbb", 3, 4, multiplier=20.0, prompts_sha256="other"),
    ],
    ids=["another number of prompts", "another behavior", "other texts"],
)
def test_other_prompts_are_not(other: CellRow) -> None:
    found = against([made("aaaa", 3, 4, prompts_sha256="these")], [other])
    assert found.paired is None
    assert "no paired test" in found.notes[-1]


def test_why_there_is_no_paired_test() -> None:
    several = [made("aaaa", 3, 4, multiplier=4.0), made("bbbb", 2, 4, multiplier=8.0)]
    told = against(several, [unsteered("cccc", 1, 4)]).notes[-1]
    assert told == "no paired test: a prompt has more answers on one side than on the other"
    other = against([made("aaaa", 3, 4, prompts_sha256="x")], [made("bbbb", 3, 4, multiplier=20.0, prompts_sha256="y")])
    assert other.notes[-1] == "no paired test: the two sides were not asked the same prompts"


def test_groups_are_counted_together_and_tested_by_prompt() -> None:
    whole = [made("aaaa", 3, 10, multiplier=4.0), made("bbbb", 5, 10, multiplier=8.0)]
    quantized = [
        made("cccc", 5, 10, multiplier=8.0, quantization="int8"),
        made("dddd", 1, 10, multiplier=4.0, quantization="int8"),
    ]
    found = against(whole, quantized)
    assert (found.a.k, found.a.n, found.b.k, found.b.n) == (8, 20, 6, 20)
    first, second = ([sum(number < k for k in ks) for number in range(10)] for ks in ((3, 5), (5, 1)))
    paired_t = ttest_rel(first, second)
    corrected = paired_t.statistic * math.sqrt((40 - 2) / (40 - 1))  # statsmodels counts the two coefficients
    assert found.p == pytest.approx(2 * student.sf(abs(corrected), 9))
    assert found.paired is not None
    differences = np.subtract(first, second)
    oracle = permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=True)
    assert found.paired.p == pytest.approx(oracle.pvalue)
    assert (found.paired.n, found.paired.only_a, found.paired.only_b) == (10, 2, 0)
    assert any("clustered by prompt" in note for note in found.notes)
    uneven = against(whole, quantized[:1])
    assert uneven.paired is None
    assert "more answers on one side" in uneven.notes[-1]
    both = [(sum(number < k for k in (3, 5)), 2) for number in range(10)]
    assert uneven.p == difference_p(both, [(int(number < 5), 1) for number in range(10)])


def test_where_the_two_tests_disagree_the_paired_one_is_to_be_taken() -> None:
    """Five of eight prompts differ, all of them one way: that happens by chance in 2 of 32 cases, and the t gives 0.012."""
    ours = [made("aaaa", 5, 8, multiplier=4.0), made("bbbb", 0, 8, multiplier=8.0)]
    theirs = [made(name, 0, 8, multiplier=times, method="random") for name, times in (("cccc", 4.0), ("dddd", 8.0))]
    found = against(ours, theirs)
    assert (found.a.k, found.a.n, found.b.k, found.b.n) == (5, 16, 0, 16)
    assert found.paired is not None
    assert found.paired.p == 2 / 32
    assert found.p == pytest.approx(0.012, abs=0.001)
    assert TAKE_PAIRED in found.notes
    agreeing = against([made("aaaa", 8, 8, multiplier=4.0), made("bbbb", 7, 8, multiplier=8.0)], theirs)
    assert agreeing.paired is not None
    assert max(agreeing.p, agreeing.paired.p) < 0.05
    assert TAKE_PAIRED not in agreeing.notes


def test_a_prompt_in_several_cells_is_no_new_evidence() -> None:
    """Ten cells a side that repeat one answer per prompt say what one cell says."""
    one = against([made("aaaa", 8, 10)], [made("bbbb", 3, 10, quantization="int8")])
    ours = [made(f"a{number:03}", 8, 10, multiplier=number) for number in range(10)]
    theirs = [made(f"b{number:03}", 3, 10, multiplier=number, quantization="int8") for number in range(10)]
    ten = against(ours, theirs)
    assert one.paired is not None
    assert ten.paired is not None
    assert ten.paired.p == one.paired.p
    assert one.p > 0.03
    assert fisher_exact([[80, 20], [30, 70]]).pvalue < 1e-10
    assert ten.p > 0.01


def test_transfer_effectiveness_of_a_transfer_over_the_targets_own() -> None:
    transferred = made("aaaa", 5, 30, is_transfer=True, source_model="qwen-7b")
    own = made("bbbb", 29, 30)
    expected = transfer_effectiveness([True] * 5 + [False] * 25, [True] * 29 + [False])
    for found in (against([transferred], [own]), against([own], [transferred])):
        assert found.te == expected
        assert found.te.kind == "joint"
    independent = against([transferred], [own], Question(te_kind="independent")).te
    assert independent is not None
    assert (round(independent.low or 0, 3), round(independent.high or 0, 3)) == (0.036, 0.321)


def test_transfer_effectiveness_falls_back_on_independent_arms() -> None:
    found = against([made("aaaa", 5, 30, is_transfer=True, source_model="q")], [made("bbbb", 49, 50)])
    assert found.te is not None
    assert found.te.kind == "independent"


def test_no_transfer_effectiveness_of_anything_else() -> None:
    transferred = made("aaaa", 5, 30, is_transfer=True, source_model="q")
    assert against([transferred], [unsteered("bbbb", 0, 30)]).te is None
    assert against([transferred], [made("bbbb", 9, 30, variant="another model")]).te is None
    assert against([made("cccc", 5, 30)], [made("bbbb", 9, 30, multiplier=3.0)]).te is None
    assert against([transferred], [made("bbbb", 9, 30)], Question("garbled")).te is None


def test_other_labels_can_be_compared() -> None:
    garbled: dict[str, Outcomes] = {
        name: {(f"T{n}", 0): n < k for n in range(10)} for name, k in (("cell-aaaa", 7), ("cell-bbbb", 0))
    }
    rows = [made("aaaa", 2, 10, garbled=7)], [made("bbbb", 2, 10, multiplier=1.0)]
    found = against(*rows, Question("garbled"), garbled)
    assert (found.a.k, found.b.k) == (7, 0)


def test_an_in_sample_rate_is_marked() -> None:
    found = against([made("aaaa", 9, 10, in_sample=True)], [made("bbbb", 5, 10, multiplier=4.0)])
    assert found.a.in_sample
    assert any("in-sample" in note for note in found.notes)


def test_what_cannot_be_compared() -> None:
    row = made("aaaa", 9, 10)
    with pytest.raises(InputError, match="on both sides"):
        against([row], [row])
    with pytest.raises(InputError, match="no labels"):
        against([made("bbbb", 0, 10, success_n=None)], [row])


def test_several_are_adjusted_together_and_one_alone_is_not() -> None:
    one = against([made("aaaa", 10, 10)], [made("bbbb", 0, 10, multiplier=1.0)])
    other = against([made("cccc", 5, 10)], [made("dddd", 4, 12, multiplier=1.0)])
    assert adjusted([one]) == [one]
    first, second = adjusted([one, other])
    assert first.p_holm == pytest.approx(2 * one.p)
    assert second.p_holm == pytest.approx(other.p)
    assert first.paired is not None
    assert one.paired is not None
    assert first.paired.p_holm == one.paired.p
    assert second.paired is None


def test_a_label_that_is_called_as_an_outcome_that_it_is_not_is_told_apart() -> None:
    there = [("other", "success"), ("normal", "other")]
    with pytest.raises(InputError, match="outcome:other, label:other"):
        Question("other").check(there)
    for name in ("outcome:other", "label:other", "garbled", "label:normal"):
        Question(name).check(there)
