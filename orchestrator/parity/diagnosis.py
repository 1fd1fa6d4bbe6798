"""Names the mistake that a direction was extracted with, from the direction alone.

No constant is learned: every known mistake's own direction is computed on the same model and prompts (``actors.parity``), and
the nearest says which it is. A direction is convicted only where a mistake explains it far better than no mistake does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from orchestrator.parity.comparing import cosines

BETTER = 4.0
"""A mistake must come so many times nearer to a direction than the clean one; two mistakes together, than one alone."""
FAR = 0.5
"""A distance from which on nothing known explains a direction."""
EXACT = 1e-7
"""A smaller distance is rounding, and no nearer than this one."""
CLOSE = 0.02
"""Distance to the clean direction that rounding may make where nobody has measured it."""
FAR_BETTER = 100.0
"""Among what rounding makes, a mistake must come so many times nearer."""

Verdict = Literal["clean", "fault", "unexplained"]


@dataclass(frozen=True, eq=False)
class PlantedDirection:
    """The direction ``[L, d]`` that a script with the mistakes ``names`` extracts, with so many prompts per forward."""

    names: tuple[str, ...]
    batch: int
    direction: npt.NDArray[np.float32]

    @property
    def title(self) -> str:
        """In words."""
        return " + ".join(self.names) or "clean"


@dataclass(frozen=True)
class Near:
    """How far a candidate is away: the mean over layers of 1 - cosine."""

    names: tuple[str, ...]
    batch: int
    distance: float

    @property
    def title(self) -> str:
        """In words."""
        return " + ".join(self.names) or "clean"


@dataclass(frozen=True)
class Diagnosis:
    """``nearest`` and the ``next`` other one, how far the ``clean`` direction is, and what follows. ``flipped``: with the sign
    the other way, mean(negative) - mean(positive)."""

    verdict: Verdict
    nearest: Near
    next: Near | None
    clean: Near
    flipped: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The mistakes that it names; none where it is clean or not explained."""
        return self.nearest.names if self.verdict == "fault" else ()

    @property
    def words(self) -> str:
        """In a sentence."""
        sign = ", with the sign the other way" if self.flipped else ""
        if self.verdict == "clean":
            return f"clean{sign}: distance {_shown(self.clean.distance)}"
        after = "" if self.next is None else f"; next candidate {_shown(self.next.distance)} ({self.next.title})"
        if self.verdict == "fault":
            return f"looks like {self.nearest.title}{sign}: distance {_shown(self.nearest.distance)}{after}"
        near = f"nearest {self.nearest.title} at {_shown(self.nearest.distance)}"
        return f"no known mistake explains it: distance {_shown(self.clean.distance)} to clean, {near}{after}"


def diagnose(
    direction: npt.ArrayLike, candidates: Sequence[PlantedDirection], layers: Sequence[int] | None = None, rounding: float = CLOSE
) -> Diagnosis:
    """``direction`` ``[len(layers), d]`` (None: all layers) against ``candidates``, the clean one among them. Only what a
    direction points at counts, not how long it is. ``rounding``: the distance that a right direction may have, in another dtype
    or with other kernels."""
    given = np.asarray(direction, np.float64)
    places = list(range(len(given))) if layers is None else list(layers)
    straight = _nearest(given, candidates, places)
    turned = _nearest(-given, candidates, places)
    flipped = turned[0].distance < straight[0].distance
    order = turned if flipped else straight
    clean = next(one for one in order if not one.names)
    best = _simplest(order)
    other = next((one for one in order if set(one.names) != set(best.names)), None)
    return Diagnosis(_verdict(best, clean, rounding), best, other, clean, flipped)


def _nearest(given: npt.NDArray[np.float64], candidates: Sequence[PlantedDirection], places: Sequence[int]) -> list[Near]:
    found = []
    for one in candidates:
        apart = 1 - cosines(given, one.direction[places])
        if np.isfinite(apart).any():
            found.append(Near(one.names, one.batch, max(0.0, float(np.nanmean(apart)))))
    return sorted(found, key=lambda near: near.distance)


def _simplest(order: Sequence[Near]) -> Near:
    """The nearest with the fewest mistakes: more of them must come much nearer."""
    best = order[0]
    for count in (1, 0):
        fewer = next((one for one in order if len(one.names) <= count), best)
        if len(fewer.names) < len(best.names) and fewer.distance < BETTER * max(best.distance, EXACT):
            best = fewer
    return best


def _verdict(best: Near, clean: Near, rounding: float) -> Verdict:
    within = clean.distance <= rounding
    if best.names and best.distance <= min(FAR, clean.distance / (FAR_BETTER if within else BETTER)):
        return "fault"
    return "clean" if within else "unexplained"


def _shown(distance: float) -> str:
    return f"{distance:.2g}" if distance >= 1e-6 else "0"
