from __future__ import annotations

import pytest

from benchmarks.ratios import Pair, Ratio, Summary, paired, per_part
from benchmarks.timing import Rounds, Sample, Work


def rounds_of(*pairs: tuple[float, float]) -> Rounds:
    """Rounds in which a and b make one token in so many seconds."""
    kept = tuple({"a": Sample(Work(1, 1), a, 0.0), "b": Sample(Work(1, 1), b, 0.0)} for a, b in pairs)
    return Rounds(kept, (), 0)


def test_ratios_are_taken_within_a_round() -> None:
    # The machine halves its speed in the second round and again in the third; a is always twice as fast as b.
    ratio = paired(rounds_of((1, 2), (2, 4), (4, 8)), Pair("a", "b"))
    assert (ratio.summary.median, ratio.summary.low, ratio.summary.high) == (2, 2, 2)
    # A ratio of medians would have said 4 / 2 here; two rounds of three say 1.
    assert paired(rounds_of((1, 1), (2, 4), (4, 4)), Pair("a", "b")).summary.median == 1


def test_a_metric_of_parts() -> None:
    sample = Sample(Work(1, 1, {"decode_tokens": 10.0, "decode_seconds": 4.0}), 99.0, 0.0)
    assert per_part("decode_tokens", "decode_seconds")(sample) == 2.5


@pytest.mark.parametrize(
    ("summary", "target", "verdict"),
    [
        (Summary(4.0, 3.6, 5.0), 3.5, "met"),
        (Summary(3.0, 2.0, 3.4), 3.5, "missed"),
        (Summary(3.6, 3.0, 4.5), 3.5, "too noisy"),
        (Summary(0.98, 0.96, 0.99), 0.97, "met"),
        (Summary(0.96, 0.955, 0.975), 0.97, "missed"),
        (Summary(1.0, 0.9, 1.1), 0.97, "too noisy"),
        (Summary(1.0, 0.9, 1.1), None, "-"),
    ],
)
def test_verdicts(summary: Summary, target: float | None, verdict: str) -> None:
    assert Ratio("a", "b", "tokens/s", summary, target).verdict == verdict


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Summary.of([])
