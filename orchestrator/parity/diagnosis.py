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
SURE, CLOSE = 1e-4, 0.02
"""Distances that rounding may make where nobody has measured it: in the dtype of the study, and in any dtype."""
FAR_BETTER = 100.0
"""Among what rounding makes, a mistake must come so many times nearer."""

OTHERWISE = ", prompts in other batches than given"

Verdict = Literal["clean", "fault", "unexplained"]


@dataclass(frozen=True)
class Rounding:
    """The distance that a right direction may have, and one with a mistake from what that mistake gives here: with other kernels
    and batches in the ``own`` dtype of the study, and in ``any`` dtype."""

    own: float = SURE
    any: float = CLOSE


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
    the other way, mean(negative) - mean(positive). ``sure``: it holds for a direction that was read in the study's own dtype too;
    where not, another dtype, or a cause that is not known, brought it so far. ``hidden``: mistakes that a direction so far from
    all may have as well."""

    verdict: Verdict
    nearest: Near
    next: Near | None
    clean: Near
    flipped: bool = False
    sure: bool = True
    hidden: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The mistakes that it names; none where it is clean or not explained."""
        return self.nearest.names if self.verdict == "fault" else ()

    @property
    def words(self) -> str:
        """In a sentence."""
        sign = ", with the sign the other way" if self.flipped else ""
        if self.verdict == "clean":
            doubt = "" if self.sure else ", as of another dtype than the study's"
            hidden = f"; as small, and not to be told from it: {', '.join(self.hidden)}" if self.hidden else ""
            return f"clean{sign}{doubt}: distance {_shown(self.clean.distance)}{hidden}"
        after = "" if self.next is None else f"; next candidate {_shown(self.next.distance)} ({self.next.title})"
        if self.verdict == "fault":
            doubt = "" if self.sure else ", read in another dtype than the study's, or a cause that is not known"
            return f"looks like {self.nearest.title}{sign}{doubt}: distance {_shown(self.nearest.distance)}{after}"
        near = f"nearest {self.nearest.title} at {_shown(self.nearest.distance)}"
        return f"no known mistake explains it: distance {_shown(self.clean.distance)} to clean, {near}{after}"


def diagnose(
    direction: npt.ArrayLike,
    candidates: Sequence[PlantedDirection],
    layers: Sequence[int] | None = None,
    rounding: Rounding = Rounding(),
    further: Further | None = None,
) -> Diagnosis | None:
    """``direction`` ``[len(layers), d]`` (None: all layers) against ``candidates``, the clean one among them; None where no layer
    has both. Only what a direction points at counts, not how long it is. ``further``: what gives more candidates for a direction
    and its layers, asked where no candidate is equal to it."""
    given = np.asarray(direction, np.float64)
    places = list(range(len(given))) if layers is None else list(layers)
    found = [_of(turned, candidates, places, rounding, further) for turned in (given, -given)]
    straight, turned = found
    if straight is None or turned is None:
        return None
    return replace(turned, flipped=True) if turned.nearest.distance < straight.nearest.distance else straight


def _of(
    given: Array,
    candidates: Sequence[PlantedDirection],
    places: Sequence[int],
    rounding: Rounding,
    further: Further | None,
) -> Diagnosis | None:
    order = _nearest(given, candidates, places)
    if all(one.names for one in order):
        return None
    if further is not None and order[0].distance > EXACT:
        order = sorted([*order, *_nearest(given, list(further(given, places)), places)], key=lambda near: near.distance)
    clean = next(one for one in order if not one.names)
    best = _simplest(order)
    other = next((one for one in order if set(one.names) != set(best.names)), None)
    verdict = _verdict(best, clean, rounding.any)
    sure = (best if verdict == "fault" else clean).distance <= rounding.own or verdict == "unexplained"
    hidden = _hidden(order, clean, rounding.any) if verdict == "clean" else ()
    return Diagnosis(verdict, best, other, clean, sure=sure, hidden=hidden)


def _hidden(order: Sequence[Near], clean: Near, rounding: float) -> tuple[str, ...]:
    """The mistakes, alone, that are within rounding too, and not far enough behind the clean direction to be left out."""
    most = min(rounding, FAR_BETTER * max(clean.distance, EXACT))
    return tuple(dict.fromkeys(one.names[0] for one in order if len(one.names) == 1 and one.batch and one.distance <= most))


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
