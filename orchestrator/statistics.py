"""Rates and their intervals. Whatever scipy has comes from scipy (SCIENCE.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Interval:
    """A closed interval of a proportion; both ends lie in [0, 1]."""

    low: float
    high: float


@lru_cache(maxsize=65536)
def wilson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """The Wilson score interval of ``k`` successes in ``n`` trials, without continuity correction (scipy).

    No trials say nothing: ``n == 0`` gives [0, 1]. ValueError unless ``0 <= k <= n`` and ``0 < confidence < 1``.
    """
    if not 0 <= k <= n:
        raise ValueError(f"need 0 <= k <= n, got k={k}, n={n}")
    if not 0 < confidence < 1:
        raise ValueError(f"need 0 < confidence < 1, got {confidence}")
    if n == 0:
        return Interval(0.0, 1.0)
    from scipy.stats import binomtest  # a second of import that planning must not pay

    found = binomtest(k, n).proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(float(found.low), float(found.high))


def rate_text(k: int, n: int) -> str:
    """``k`` of ``n`` as shown everywhere: ``9/10 [59.6, 98.2]``, the 95 % Wilson interval in percent; ``0/0`` has none."""
    return f"{k}/{n} {interval_text(k, n)}".rstrip()


def interval_text(k: int, n: int) -> str:
    """The 95 % Wilson interval in percent, ``[59.6, 98.2]``; empty without trials."""
    if n == 0:
        return ""
    interval = wilson(k, n)
    return f"[{_percent(interval.low)}, {_percent(interval.high)}]"


def percent_text(k: int, n: int) -> str:
    """``k`` of ``n`` in percent, ``90``, with one decimal only where it is not whole; ``-`` without trials."""
    return "-" if n == 0 else _percent(k / n)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")
