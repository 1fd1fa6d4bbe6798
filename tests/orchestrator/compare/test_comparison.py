"""Two sides against each other: the numbers are scipy's and the paper's, and what cannot be compared says so."""

from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import fisher_exact

from orchestrator.compare.comparison import Comparison, Outcomes, Question, adjusted, compare, side_of
from orchestrator.errors import InputError
from orchestrator.records.rows import CellRow
from orchestrator.statistics import transfer_effectiveness
from tests.orchestrator.compare.made_up import made, reader, unsteered


def against(a: list[CellRow], b: list[CellRow], question: Question | None = None, stored: Any = None) -> Comparison:
    asked, read = question or Question(), reader(stored)
    return compare(side_of("a", a, asked, read), side_of("b", b, asked, read), asked, read)


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
    first: Outcomes = {"T1": True, "T2": True, "T3": False, "T4": True}
    second: Outcomes = {"T4": False, "T3": False, "T2": False, "T1": True}
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
    assert told == "no paired test: the cells of a are taken together, so a prompt has several answers there"
    other = against([made("aaaa", 3, 4, prompts_sha256="x")], [made("bbbb", 3, 4, multiplier=20.0, prompts_sha256="y")])
    assert other.notes[-1] == "no paired test: the two sides were not asked the same prompts"
    crossed = [made("dddd", 3, 4, multiplier=4.0, intervention="ablation", quantization="int8")]
    crossed += [made("eeee", 3, 4, multiplier=8.0, quantization="int8")]
    straight = [made("ffff", 3, 4, multiplier=4.0), made("gggg", 3, 4, multiplier=8.0, intervention="ablation")]
    note = against(straight, crossed).notes[-1]
    assert note == "no paired test: the cells of the two sides are not under the same other conditions, one to one"


def test_groups_are_counted_together_and_paired_by_what_they_share() -> None:
    whole = [made("aaaa", 3, 10, multiplier=4.0), made("bbbb", 5, 10, multiplier=8.0)]
    quantized = [
        made("cccc", 5, 10, multiplier=8.0, quantization="int8"),
        made("dddd", 1, 10, multiplier=4.0, quantization="int8"),
    ]
    found = against(whole, quantized)
    assert (found.a.k, found.a.n, found.b.k, found.b.n) == (8, 20, 6, 20)
    assert found.p == pytest.approx(fisher_exact([[8, 12], [6, 14]]).pvalue)
    assert found.paired is not None
    assert (found.paired.n, found.paired.only_a, found.paired.only_b) == (20, 2, 0)
    assert any("taken together" in note for note in found.notes)
    assert against(whole, quantized[:1]).paired is None


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
    found = against([made("aaaa", 2, 10, garbled=7)], [made("bbbb", 2, 10, multiplier=1.0)], Question("garbled"))
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
