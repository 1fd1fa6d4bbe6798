"""Rates of responses of which several answer one prompt: these are not independent, so the prompt is the unit.

A *count* is a pair ``(k, n)``: so many of a prompt's ``n`` responses count. scipy is imported inside the functions, as in
``statistics``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from orchestrator.statistics import Interval, difference_of, t_quantile, wilson

Count = tuple[int, int]

LEAST_P = 1e-12
"""Smaller p-values are not told apart."""

PRIOR = 1.0
"""Prompts that agree wholly with themselves, added to those that tell how much the others do."""

FEW = 3
"""So few prompts with a success (or with a failure) are counted as rare events are."""


def counts_by(prompts: Iterable[Hashable], outcomes: Iterable[bool]) -> tuple[Count, ...]:
    """The count of each prompt; item i of both is one response."""
    asked, counted = Counter[Hashable](), Counter[Hashable]()
    for prompt, outcome in zip(prompts, outcomes, strict=True):
        asked[prompt] += 1
        counted[prompt] += outcome
    return tuple((counted[prompt], n) for prompt, n in asked.items())


def rate_interval(counts: Iterable[Count], confidence: float = 0.95) -> Interval:
    """The interval of a rate: Wilson's of as many independent trials as the responses are worth, whose quantile is Student's t
    with one degree of freedom less than there are prompts (Kott and Carr 1997; Dean and Pagano 2015).

    With one response per prompt that is Wilson's own. A single prompt, answered several times, says nothing of others: [0, 1].
    """
    return _interval(tuple(sorted(counts)), confidence)


@lru_cache(maxsize=65536)
def _interval(counts: tuple[Count, ...], confidence: float) -> Interval:
    k, n = map(sum, zip(*counts, strict=True)) if counts else (0, 0)
    if n == len(counts):
        return wilson(k, n, confidence)
    if len(counts) == 1:
        return Interval(0.0, 1.0)
    rate, worth = k / n, effective_n(counts)
    z = t_quantile(len(counts) - 1, confidence)
    middle, half = rate + z * z / (2 * worth), z * math.sqrt(rate * (1 - rate) / worth + (z / (2 * worth)) ** 2)
    low, high = ((middle + end) / (1 + z * z / worth) for end in (-half, half))
    shown, missed = _rarer(counts)
    return Interval(
        max(0.0, min(low, _least(rate, worth, confidence)) if shown <= FEW else low),
        min(1.0, max(high, 1 - _least(1 - rate, worth, confidence)) if missed <= FEW else high),
    )


def difference_p(first: Iterable[Count], second: Iterable[Count]) -> float:
    """The two-sided p-value of the difference of two rates whose prompts are not the same: one less the confidence at which the
    interval of the difference, made of those of both rates, begins to contain 0. At least ``LEAST_P``; 1 where a side has no
    response, or its responses are all to one prompt."""
    sides = tuple(sorted(first)), tuple(sorted(second))
    if not all(sides):
        return 1.0
    rates = [sum(k for k, _ in counts) / sum(n for _, n in counts) for counts in sides]

    def apart(p: float) -> bool:
        found = difference_of((rates[0], rates[1]), (_interval(sides[0], 1 - p), _interval(sides[1], 1 - p)))
        return not found.low <= 0 <= found.high

    low, high = LEAST_P, 1.0 - LEAST_P
    if not apart(high):
        return 1.0
    if apart(low):
        return low
    while high > low * (1 + 1e-6):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if apart(middle) else (middle, high)
    return high


def effective_n(counts: Sequence[Count]) -> float:
    """As many independent trials as tell as much of the rate: ``n`` over the design effect ``1 + (m - 1) icc``, at least the
    number of prompts where these are equally large.

    ``m`` is the mean size of a response's prompt. The correlation ``icc`` within a prompt is the one that gives the
    cluster-robust variance of the rate, in [0, 1], drawn towards 1 by ``PRIOR``: near 0 and 1 only the few prompts that differ
    from the others tell of it, and of none nothing is known.
    """
    k, n = map(sum, zip(*counts, strict=True))
    size = sum(m * m for _, m in counts) / n
    if size == 1 or len(counts) < 2:
        return float(len(counts))
    rate = k / n
    icc, telling = 0.0, min(_rarer(counts))
    if 0 < k < n:
        robust = sum((x - m * rate) ** 2 for x, m in counts) * len(counts) / (len(counts) - 1)
        icc = min(1.0, max(0.0, (robust / (n * rate * (1 - rate)) - 1) / (size - 1)))
    return n / (1 + (size - 1) * (telling * icc + PRIOR) / (telling + PRIOR))


def _rarer(counts: Sequence[Count]) -> tuple[int, int]:
    """Prompts with a success, and prompts with a failure."""
    return sum(x > 0 for x, _ in counts), sum(x < m for x, m in counts)


def _least(rate: float, worth: float, confidence: float) -> float:
    """The lower end for so few events that they are Poisson's: Wilson's is too high there (Brown, Cai and DasGupta 2001)."""
    from scipy.stats import chi2

    return float(chi2.ppf(1 - confidence, 2 * rate * worth)) / (2 * worth) if rate else 0.0


@dataclass(frozen=True)
class Spread:
    """How far a rate varies, as standard deviations: ``between`` the prompts' own rates, and ``within`` a prompt from response to
    response. ``within`` is 0 where all responses to a prompt are alike."""

    between: float
    within: float


def spread_of(counts: Sequence[Count]) -> Spread | None:
    """The two components of a binary outcome's variance, by analysis of variance; None unless there are several prompts, and
    several responses to one."""
    n, prompts = sum(m for _, m in counts), len(counts)
    if prompts < 2 or n == prompts:
        return None
    rate = sum(x for x, _ in counts) / n
    within = sum(x * (m - x) / m for x, m in counts) / (n - prompts)
    among = sum(m * (x / m - rate) ** 2 for x, m in counts) / (prompts - 1)
    size = (n - sum(m * m for _, m in counts) / n) / (prompts - 1)
    return Spread(math.sqrt(max(0.0, (among - within) / size)), math.sqrt(within))


def stability(prompts: Iterable[Hashable], labels: Iterable[str]) -> float | None:
    """The share of a prompt's responses that have its commonest label, mean over prompts; None unless one has several."""
    found: dict[Hashable, Counter[str]] = {}
    for prompt, label in zip(prompts, labels, strict=True):
        found.setdefault(prompt, Counter())[label] += 1
    if all(labels.total() == 1 for labels in found.values()):
        return None
    return math.fsum(max(labels.values()) / labels.total() for labels in found.values()) / len(found)
