"""Names the mistake that a direction was extracted with, from the direction alone.

No constant is learned: every known mistake's own direction is computed on the same model and prompts (``actors.parity``), and
the nearest says which it is. A direction is convicted only where a mistake explains it far better than no mistake does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from orchestrator.parity.comparing import Array, cosines

BETTER = 4.0
"""A mistake must come so many times nearer to a direction than the clean one; two mistakes together, than one alone."""
EXACT = 1e-7
"""A smaller distance is rounding, and no nearer than this one."""
CLOSE = 0.02
"""Distance to the clean direction that rounding may make where nobody has measured it."""
FAR_BETTER = 100.0
"""Among what rounding makes, a mistake must come so many times nearer."""

OTHERWISE = ", prompts in other batches than given"

Verdict = Literal["clean", "fault", "unexplained"]


@dataclass(frozen=True, eq=False)
class PlantedDirection:
    """The direction ``[L, d]`` that a script with the mistakes ``names`` extracts, with so many prompts per forward (0: prompts
    that shared their batches otherwise than they are given)."""

    names: tuple[str, ...]
    batch: int
    direction: npt.NDArray[np.float32]

    @property
    def title(self) -> str:
        """In words."""
        return " + ".join(self.names) or "clean"


def read_planted(found: Mapping[str, npt.NDArray[Any]]) -> list[PlantedDirection]:
    """The directions of a file of planted mistakes, the clean one first."""
    labels = [json.loads(str(label)) for label in found["labels"]]
    return [
        PlantedDirection(tuple(names), batch, direction)
        for (*names, batch), direction in zip(labels, found["directions"], strict=True)
    ]


Further = Callable[[Array, Sequence[int]], Iterable[PlantedDirection]]
"""Gives candidates that come of a direction itself, and of the layers that it has (``orchestrator.parity.regrouped``)."""


@dataclass(frozen=True)
class Near:
    """How far a candidate is away: the mean over layers of 1 - cosine. ``batch``: as of a ``PlantedDirection``."""

    names: tuple[str, ...]
    batch: int
    distance: float

    @property
    def title(self) -> str:
        """In words."""
        return (" + ".join(self.names) or "clean") + ("" if self.batch else OTHERWISE)

    @property
    def assumes(self) -> tuple[int, int]:
        """How much it takes for granted: the fewer mistakes the better, then those that come of the order that is given."""
        return len(self.names), 0 if self.batch else 1


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
    direction: npt.ArrayLike,
    candidates: Sequence[PlantedDirection],
    layers: Sequence[int] | None = None,
    rounding: float = CLOSE,
    further: Further | None = None,
) -> Diagnosis:
    """``direction`` ``[len(layers), d]`` (None: all layers) against ``candidates``, the clean one among them. Only what a
    direction points at counts, not how long it is. ``rounding``: the distance that a right direction may have, in another dtype
    or with other kernels, and one with a mistake from what that mistake gives here. ``further``: what gives more candidates for a
    direction and its layers, asked where no candidate is equal to it."""
    given = np.asarray(direction, np.float64)
    places = list(range(len(given))) if layers is None else list(layers)
    found = [_of(turned, candidates, places, rounding, further) for turned in (given, -given)]
    return replace(found[1], flipped=True) if found[1].nearest.distance < found[0].nearest.distance else found[0]


def _of(
    given: Array, candidates: Sequence[PlantedDirection], places: Sequence[int], rounding: float, further: Further | None
) -> Diagnosis:
    order = _nearest(given, candidates, places)
    if further is not None and order[0].distance > EXACT:
        order = sorted([*order, *_nearest(given, list(further(given, places)), places)], key=lambda near: near.distance)
    clean = next(one for one in order if not one.names)
    best = _simplest(order)
    other = next((one for one in order if set(one.names) != set(best.names)), None)
    return Diagnosis(_verdict(best, clean, rounding), best, other, clean)


def _nearest(given: Array, candidates: Sequence[PlantedDirection], places: Sequence[int]) -> list[Near]:
    found = []
    for one in candidates:
        apart = 1 - cosines(given, one.direction[places])
        if np.isfinite(apart).any():
            found.append(Near(one.names, one.batch, max(0.0, float(np.nanmean(apart)))))
    return sorted(found, key=lambda near: near.distance)


def _simplest(order: Sequence[Near]) -> Near:
    """The nearest of those that take least for granted: more must come much nearer."""
    best = order[0]
    for most in sorted({one.assumes for one in order if one.assumes < best.assumes}, reverse=True):
        simpler = next(one for one in order if one.assumes == most)
        if simpler.distance < BETTER * max(best.distance, EXACT):
            best = simpler
    return best


def _verdict(best: Near, clean: Near, rounding: float) -> Verdict:
    within = clean.distance <= rounding
    near = rounding if best.batch else rounding / BETTER  # the fewer batches are given, the more fits
    if best.names and best.distance <= min(near, clean.distance / (FAR_BETTER if within else BETTER)):
        return "fault"
    return "clean" if within else "unexplained"


def _shown(distance: float) -> str:
    return f"{distance:.2g}" if distance >= 1e-6 else "0"
