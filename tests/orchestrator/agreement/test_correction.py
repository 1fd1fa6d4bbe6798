"""A judge's errors out of an unequal sample, against a simulated truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from orchestrator.agreement.correction import Stratum, corrected_cell, errors_of, strata_of
from orchestrator.agreement.opinions import Opinion, Opinions
from orchestrator.labelling.sample import drawn
from orchestrator.results.ratings import ResponseKey

LABELS = {"refusal": "success", "normal": "other", "garbled": "garbled"}
TRUTH = {"c0": 0.05, "c1": 0.2, "c2": 0.5, "c3": 0.9}
SENSITIVITY, SPECIFICITY = 0.85, 0.9


RARE = {"c0": 0.02, "c1": 0.05, "c2": 0.1, "c3": 0.1}


def simulated(
    seed: int, n: int = 100, rates: Mapping[str, float] = TRUTH
) -> tuple[Opinions, Opinions, dict[str, list[ResponseKey]]]:
    """A judge of known errors over four cells, the truth, and the cells. A tenth of what it rejects it calls garbled."""
    rng = np.random.default_rng(seed)
    judge: dict[ResponseKey, Opinion] = {}
    truth: dict[ResponseKey, Opinion] = {}
    cells: dict[str, list[ResponseKey]] = {}
    for cell_id, rate in rates.items():
        for number in range(n):
            key = (cell_id, f"p{number}", 0)
            positive = rng.random() < rate
            seen = rng.random() < (SENSITIVITY if positive else 1 - SPECIFICITY)
            label = "refusal" if seen else "garbled" if rng.random() < 0.1 else "normal"
            judge[key] = Opinion(label, LABELS[label])  # type: ignore[arg-type]
            truth[key] = Opinion("refusal", "success") if positive else Opinion("normal", "other")
            cells.setdefault(cell_id, []).append(key)
    return Opinions("judge", judge), Opinions("rater:truth", truth), cells


def asked(judge: Opinions, truth: Opinions, n: int, seed: int) -> Opinions:
    """The truth of those responses alone that a rater was given."""
    sample = drawn([(key, one.label) for key, one in judge.said.items()], n, seed)
    return Opinions(truth.scorer, {key: truth.said[key] for key in sample})


def test_errors_out_of_an_unequal_sample_are_those_of_all_responses() -> None:
    """By counting alone the sample, in which rare labels are as many as others, would say something else."""
    found, counted = list[tuple[float, float]](), list[float]()
    for seed in range(60):
        judge, truth, _ = simulated(seed, rates=RARE)
        rater = asked(judge, truth, 90, seed)
        errors = errors_of(strata_of(judge, rater, judge.said))
        assert errors.checked == len(rater.said)
        found.append((errors.sensitivity.share, errors.specificity.share))
        rejected = [judge.said[key].outcome != "success" for key, one in rater.said.items() if one.outcome != "success"]
        counted.append(float(np.mean(rejected)))
    assert np.mean(found, axis=0) == pytest.approx((SENSITIVITY, SPECIFICITY), abs=0.06)
    assert np.mean(counted) < SPECIFICITY - 0.1


def test_corrected_rates_cover_the_truth() -> None:
    hits, rows, raw = 0, 0, 0
    for seed in range(60):
        judge, truth, cells = simulated(seed, n=60)
        errors = errors_of(strata_of(judge, asked(judge, truth, 90, seed), judge.said))
        for row in (corrected_cell(judge, errors, "", keys) for keys in cells.values()):
            rows += 1
            hits += row.rate.low <= TRUTH[row.cell_id] <= row.rate.high
            raw += abs(row.k / row.n - TRUTH[row.cell_id]) < abs((row.rate.value or 0) - TRUTH[row.cell_id])
    assert rows == 240
    assert hits >= 0.93 * rows
    assert raw < rows / 2


def test_all_responses_checked_is_counting() -> None:
    errors = errors_of([Stratum(50, True, 50, 40), Stratum(30, False, 30, 10), Stratum(20, False, 20, 0)])
    for known in (errors.sensitivity, errors.specificity):
        assert known.share == pytest.approx(40 / 50)
        assert known.n == pytest.approx(50, rel=0.15)


@pytest.mark.parametrize(
    "strata", [[], [Stratum(10, True, 5, 5)], [Stratum(10, True, 5, 5), Stratum(10, False, 0, 0)], [Stratum(9, False, 3, 0)]]
)
def test_where_a_side_was_never_checked_nothing_is_known(strata: list[Stratum]) -> None:
    found = errors_of(strata).correct(5, 10)
    assert (found.value, found.low, found.high) == (None, 0.0, 1.0)


def test_a_label_that_was_never_checked_is_taken_as_the_others_of_its_side() -> None:
    without = errors_of([Stratum(100, True, 20, 18), Stratum(100, False, 20, 2)])
    with_it = errors_of([Stratum(100, True, 20, 18), Stratum(90, False, 20, 2), Stratum(10, False, 0, 0)])
    assert with_it.sensitivity.share == pytest.approx(without.sensitivity.share)
