"""Agreement of two scorers against scikit-learn, krippendorff and simulation."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score, confusion_matrix, precision_recall_fscore_support

from orchestrator.agreement.measures import Coefficient, agreement, alphas, kappas, rank_correlation

LABELS = ("refusal", "normal", "garbled")


def raters(n: int, wrong: float, seed: int) -> tuple[list[str], list[str], list[str]]:
    """Two simulated raters, of whom the second gives another label than the first with the chance ``wrong``; ten prompts."""
    rng = np.random.default_rng(seed)
    first = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    second = np.where(rng.random(n) < wrong, (first + rng.integers(1, 3, n)) % 3, first)
    return [LABELS[one] for one in first], [LABELS[one] for one in second], [f"p{number % 10}" for number in range(n)]


@pytest.mark.parametrize(("n", "wrong"), [(40, 0.1), (300, 0.25), (300, 0.66), (60, 0.0)])
def test_two_simulated_raters_have_the_kappa_and_alpha_of_other_libraries(n: int, wrong: float) -> None:
    first, second, prompts = raters(n, wrong, seed=n)
    found = agreement(first, second, prompts, LABELS)
    assert found.kappa.value == pytest.approx(cohen_kappa_score(first, second))
    codes = [[LABELS.index(one) for one in said] for said in (first, second)]
    assert found.alpha.value == pytest.approx(krippendorff.alpha(codes, level_of_measurement="nominal"))
    assert np.array_equal(found.table, confusion_matrix(first, second, labels=LABELS))
    assert (found.n, found.prompts) == (n, 10)
    assert found.agreed == sum(a == b for a, b in zip(first, second, strict=True))
    precision, recall, _, _ = precision_recall_fscore_support(second, first, labels=LABELS)
    assert [one.both / one.first for one in found.by_label] == pytest.approx(precision)
    assert [one.both / one.second for one in found.by_label] == pytest.approx(recall)
    for coefficient in (found.kappa, found.alpha):
        if wrong == 0:
            assert coefficient == Coefficient(1.0)
            continue
        assert coefficient.low is not None
        assert coefficient.value is not None
        assert coefficient.high is not None
        assert coefficient.low <= coefficient.value <= coefficient.high


def test_many_tables_at_once_have_krippendorffs_alpha_each() -> None:
    rng = np.random.default_rng(0)
    tables = rng.integers(0, 6, (20, 4, 4)).astype(float)
    for table, found in zip(tables, alphas(tables), strict=True):
        pairs = np.repeat(np.argwhere(table >= 0), table.astype(int).ravel(), axis=0)
        assert found == pytest.approx(krippendorff.alpha(pairs.T, level_of_measurement="nominal"))


def test_many_tables_at_once_have_cohens_kappa_each() -> None:
    rng = np.random.default_rng(0)
    tables = rng.integers(0, 6, (20, 4, 4)).astype(float)
    for table, found in zip(tables, kappas(tables), strict=True):
        pairs = np.repeat(np.argwhere(table >= 0), table.astype(int).ravel(), axis=0)
        assert found == pytest.approx(cohen_kappa_score(*pairs.T))


def test_answers_to_few_prompts_say_less_than_as_many_prompts() -> None:
    """Both raters agree or not by the prompt: two hundred answers to ten prompts are not two hundred witnesses."""
    first, second, _ = raters(20, 0.4, seed=3)
    few = agreement(first * 10, second * 10, [f"p{number}" for number in range(20)] * 10)
    many = agreement(first * 10, second * 10, [f"p{number}" for number in range(200)])
    assert few.alpha.value == many.alpha.value
    assert few.kappa.value == many.kappa.value
    assert width(few.alpha) > 2 * width(many.alpha)
    assert width(few.kappa) > 2 * width(many.kappa)


def width(found: Coefficient) -> float:
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low


@pytest.mark.parametrize("name", ["alpha", "kappa"])
def test_the_intervals_of_alpha_and_of_kappa_cover_the_truth(name: str) -> None:
    """Sixty prompts, of which both raters say the same again of a second answer: one witness each."""
    truth = getattr(agreement(*raters(50_000, 0.25, seed=0)), name).value
    hits = 0
    for seed in range(1, 51):
        first, second, _ = raters(60, 0.25, seed)
        found = getattr(agreement(first * 2, second * 2, [str(number) for number in range(60)] * 2), name)
        hits += (found.low or 0) <= truth <= (found.high or 0)
    assert hits >= 43


def test_raters_that_know_one_label_only_have_no_coefficient() -> None:
    found = agreement(["normal"] * 3, ["normal"] * 3, ["a", "b", "c"])
    assert (found.kappa, found.alpha, found.agreed) == (Coefficient(), Coefficient(), 3)


def test_one_prompt_gives_no_interval_and_no_response_is_an_error() -> None:
    found = agreement(["a", "b"], ["a", "a"], ["p", "p"])
    assert found.alpha.value is not None
    assert found.alpha.low is None
    with pytest.raises(ValueError, match="share no response"):
        agreement([], [], [])


@pytest.mark.parametrize(
    ("first", "second", "prompts"),
    [("xyyx" * 3, "xyxx" * 3, "ppppqqqqrrrr"), ("xxxx", "yyyy", "pqrs"), ("xxxx", "xxyy", "pqpq"), ("xyxy", "yxyx", "ppqq")],
    ids=["some agree", "none agree", "one label", "none of two agree"],
)
def test_prompts_that_are_all_alike_give_no_interval_of_no_width(first: str, second: str, prompts: str) -> None:
    found = agreement(list(first), list(second), list(prompts))
    for coefficient in (found.kappa, found.alpha):
        assert coefficient.value is not None
        assert coefficient.low is None or coefficient.low < (coefficient.high or 0)
    assert found.kappa.low is None
    assert found.agrees.low < found.agrees.high


def test_numbers_are_compared_by_their_ranks() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=50)
    second = np.exp(first) + rng.normal(size=50)
    found = rank_correlation(list(first), list(second))
    assert found.value == pytest.approx(spearmanr(first, second).statistic)
    assert found.low is not None
    assert found.low < (found.value or 0) < (found.high or 0)
    assert rank_correlation([1, 2, 3], [5, 5, 5]) == Coefficient()
    assert rank_correlation([1, 2, 3, 4, 5], [1, 4, 9, 16, 25]).low is None
