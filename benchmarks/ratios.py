"""Medians, spreads and verdicts. A ratio is taken within a round and the rounds' ratios are then summarised."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.timing import Rounds, Sample

Verdict = Literal["met", "missed", "too noisy", "-"]
SPREAD_LIMIT = 0.05
"""(max - min) / median of a ratio above which rounds that disagree about a target decide nothing."""

Metric = Callable[[Sample], float]


@dataclass(frozen=True)
class Summary:
    """Median, smallest and largest of a few measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Raises ``ValueError`` when there are none."""
        if not values:
            raise ValueError("nothing was measured")
        return cls(statistics.median(values), min(values), max(values))

    @property
    def spread(self) -> float:
        """(max - min) / median."""
        return (self.high - self.low) / self.median if self.median else float("inf")


@dataclass(frozen=True)
class Ratio:
    """``of`` / ``to`` in one metric; larger is better. ``target`` None: for information."""

    of: str
    to: str
    metric: str
    summary: Summary
    target: float | None = None

    @property
    def verdict(self) -> Verdict:
        """By the median; "too noisy" when the rounds disagree about the target and the spread is above ``SPREAD_LIMIT``."""
        if self.target is None:
            return "-"
        agreed = (self.summary.low >= self.target) == (self.summary.high >= self.target)
        if self.summary.spread > SPREAD_LIMIT and not agreed:
            return "too noisy"
        return "met" if self.summary.median >= self.target else "missed"


def tokens_per_second(sample: Sample) -> float:
    """New tokens per second of a sample."""
    return sample.tokens_per_second


def tokens_per_cpu_second(sample: Sample) -> float:
    """New tokens per second of processor time: for machines that are never quiet."""
    return sample.tokens_per_cpu_second


def cpu_speed(sample: Sample) -> float:
    """Runs per second of processor time, where every contender of a pair does the same work."""
    return 1.0 / sample.cpu_seconds


def per_part(tokens: str, seconds: str) -> Metric:
    """A metric from two of ``Work.parts``: ``tokens`` / ``seconds``."""
    return lambda sample: sample.work.parts[tokens] / sample.work.parts[seconds]


@dataclass(frozen=True)
class Pair:
    """Which two contenders to compare, in what, against which target."""

    of: str
    to: str
    target: float | None = None
    metric: str = "tokens/s"


def paired(rounds: Rounds, pair: Pair, metric: Metric = tokens_per_second) -> Ratio:
    """The ratio of two contenders, taken within each kept round."""
    values = [metric(one[pair.of]) / metric(one[pair.to]) for one in rounds.kept]
    return Ratio(pair.of, pair.to, pair.metric, Summary.of(values), pair.target)
