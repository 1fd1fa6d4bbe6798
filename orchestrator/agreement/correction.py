"""A judge's errors, from responses that somebody who is right has labelled too, and its rates without them.

The responses that were labelled may be drawn unequally over the judge's labels, as ``labelling`` draws them: within a label any
response is as likely, and each label counts by its share of all responses (Begg and Greenes 1983). Assumed is that the judge errs
alike in every cell.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from orchestrator.agreement.opinions import Opinions
from orchestrator.clusters import counts_by, effective_n, rate_interval
from orchestrator.results.ratings import ResponseKey
from orchestrator.statistics import CorrectedRate, Interval, Known, rogan_gladen


@dataclass(frozen=True)
class Stratum:
    """All responses to which a judge gives one label: how many, whether it counts as success, and of those that the reference
    labelled too how many there are and how many succeed."""

    responses: int
    success: bool
    checked: int
    confirmed: int


@dataclass(frozen=True)
class JudgeErrors:
    """How often a judge finds what succeeds, and how often it rejects what does not; ``checked`` responses tell it."""

    sensitivity: Known
    specificity: Known
    checked: int

    def correct(self, k: float, n: float) -> CorrectedRate:
        """The judge's rate ``k`` of ``n`` (effective numbers) without them."""
        return rogan_gladen(k, n, self.sensitivity, self.specificity)


def strata_of(judge: Opinions, reference: Opinions, among: Collection[ResponseKey]) -> list[Stratum]:
    """Of the responses ``among`` which the errors are the same."""
    counts: dict[str, list[int]] = {}
    success: dict[str, bool] = {}
    for key in among:
        said = judge.said.get(key)
        if said is None:
            continue
        count, success[said.label] = counts.setdefault(said.label, [0, 0, 0]), said.outcome == "success"
        count[0] += 1
        if (truth := reference.said.get(key)) is not None and truth.outcome is not None:
            count[1] += 1
            count[2] += truth.outcome == "success"
    return [Stratum(count[0], success[label], count[1], count[2]) for label, count in counts.items()]


def errors_of(strata: Sequence[Stratum]) -> JudgeErrors:
    """The errors of a judge. ``n`` of a share of which nothing is known is 0."""
    accepted, rejected = (_mass([one for one in strata if one.success is side]) for side in (True, False))
    checked = sum(one.checked for one in strata)
    if accepted is None or rejected is None:
        return JudgeErrors(Known(0.0, 0.0), Known(0.0, 0.0), checked)
    sensitivity = _share(accepted.positive, rejected.positive)
    specificity = _share(rejected.negative, accepted.negative)
    return JudgeErrors(sensitivity, specificity, checked)


@dataclass(frozen=True)
class _Mass:
    """How many of a side's responses are so: the estimate, one that is never 0 or all, and that one's squared relative error."""

    found: float
    smooth: float
    error: float


@dataclass(frozen=True)
class _VerdictSide:
    positive: _Mass
    negative: _Mass


def _mass(strata: Sequence[Stratum]) -> _VerdictSide | None:
    """Over the strata on one side of the verdict; None where none of it was checked. An unchecked stratum is taken to be as the
    side's others are."""
    checked, confirmed = sum(one.checked for one in strata), sum(one.confirmed for one in strata)
    if not checked:
        return None
    rows = [(one.responses, one.checked, one.confirmed) if one.checked else (one.responses, checked, confirmed) for one in strata]
    return _VerdictSide(_part(rows), _part([(n, m, m - r) for n, m, r in rows]))


def _part(rows: Sequence[tuple[int, int, int]]) -> _Mass:
    found = sum(n * r / m for n, m, r in rows)
    shares = [(n, m, (r + 0.5) / (m + 1)) for n, m, r in rows]
    smooth = sum(n * share for n, _, share in shares)
    variance = sum(n * n * share * (1 - share) / m for n, m, share in shares)
    return _Mass(found, smooth, variance / smooth**2 + 1 / sum(n for n, _, _ in shares))


def _share(one: _Mass, other: _Mass) -> Known:
    """The share of ``one`` in both, and how many responses would tell it as well were they drawn at random."""
    if one.found + other.found == 0:
        return Known(0.0, 0.0)
    smooth = one.smooth / (one.smooth + other.smooth)
    return Known(one.found / (one.found + other.found), 1 / (smooth * (1 - smooth) * (one.error + other.error)))


@dataclass(frozen=True)
class CorrectedCell:
    """A cell's success rate by the judge, ``k`` of ``n``, and what it is without the judge's errors. ``condition``: how it was
    steered, in words."""

    cell_id: str
    condition: str
    k: int
    n: int
    interval: Interval
    rate: CorrectedRate


def corrected_cell(judge: Opinions, errors: JudgeErrors, condition: str, keys: Sequence[ResponseKey]) -> CorrectedCell:
    """Of the cell whose responses are ``keys``."""
    counts = counts_by([prompt for _, prompt, _ in keys], [judge.said[key].outcome == "success" for key in keys])
    k, n, worth = sum(k for k, _ in counts), len(keys), effective_n(counts)
    return CorrectedCell(keys[0][0], condition, k, n, rate_interval(counts), errors.correct(k / n * worth, worth))
