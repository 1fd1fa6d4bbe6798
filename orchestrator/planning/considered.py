"""Settings that were tried, what is known of them, and the rule that chooses among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tally:
    """What the responses of a finished cell count as: ``n`` of them, so many successes, so many garbled, so many whose answer
    had not begun. ``kl``: KL(unsteered || steered) on neutral prompts (None: not measured)."""

    n: int
    success: int
    garbled: int
    no_answer: int = 0
    kl: float | None = None


@dataclass(frozen=True)
class Considered:
    """A setting that was tried. ``layer`` is None where the method selected it; counts are of ``n`` labelled responses; ``kl`` as
    in its tally."""

    cell_id: str
    layer: int | None
    depth: float | None
    multiplier: float
    n: int
    success: int
    garbled: int
    no_answer: int = 0
    kl: float | None = None

    @property
    def success_rate(self) -> float:
        """Share of successes; 0 without responses."""
        return self.success / self.n if self.n else 0.0

    @property
    def incoherent_rate(self) -> float:
        """Share of responses that are garbled or have no answer, of which nothing is known; 1 without responses."""
        return (self.garbled + self.no_answer) / self.n if self.n else 1.0


def choose(tried: Sequence[Considered], max_garbled: float, max_kl: float | None = None) -> Considered | None:
    """The rule: garbled rate at most ``max_garbled``, where a response without an answer counts as garbled, and a KL of at most
    ``max_kl``, where there is one; then the best success rate; ties: the highest multiplier, then the earliest layer. None when
    nothing qualifies."""
    fit = [one for one in tried if one.incoherent_rate <= max_garbled and (max_kl is None or moves(one) <= max_kl)]
    last = float("inf")
    return max(fit, key=lambda one: (one.success_rate, one.multiplier, -(last if one.layer is None else one.layer)), default=None)


def moves(one: Considered) -> float:
    """Its KL; infinite where it is not measured."""
    return math.inf if one.kl is None else one.kl
