"""Whether tools steer alike: what each makes the model answer with one direction, and which known mistake that looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from actors.types import DType

ROUNDING: Mapping[DType, float] = {"float32": 1e-3, "float16": 0.03, "bfloat16": 0.15}
"""Distances that other kernels, or a loop without a cache, may make."""
BETTER = 4.0
"""A mistake must come so many times nearer than steering right does."""
FAR_BETTER = 100.0
"""Among what rounding makes, so many times."""
EXACT = 1e-9
"""No distance counts as nearer than this one."""

Verdict = Literal["equal", "rounding", "mistake", "unexplained"]


@dataclass(frozen=True, eq=False)
class GreedyAnswers:
    """Greedy ``tokens`` ``[n, T]``, and the ``logits`` ``[n, T, P]`` of some tokens that each was chosen by (None: not told)."""

    tokens: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class SteeringNear:
    """A way to steer (``name``, empty: right), how far it is away, and the share of tokens that are its own."""

    name: str
    distance: float
    tokens: float


@dataclass(frozen=True)
class SteeringDiagnosis:
    """``right``: how far a tool's answers are from those of steering right; ``nearest``, and the ``next`` other way (None:
    no mistake was planted)."""

    verdict: Verdict
    right: SteeringNear
    nearest: SteeringNear
    next: SteeringNear | None

    @property
    def mistake(self) -> str:
        """The mistake that it names; none where it is right or not explained."""
        return self.nearest.name if self.verdict == "mistake" else ""

    @property
    def words(self) -> str:
        """In a sentence."""
        if self.verdict == "equal":
            return "equal, bit for bit"
        if self.verdict == "rounding":
            return "equal but for rounding"
        if self.next is None:
            return f"differs: distance {self.right.distance:.2g} to steering right; no mistake was planted that could explain it"
        after = f"; next candidate {self.next.distance:.2g} ({self.next.name or 'steered right'})"
        if self.verdict == "mistake":
            return f"looks like {self.nearest.name}: distance {self.nearest.distance:.2g}{after}"
        near = f"nearest {self.nearest.name or 'steered right'} at {self.nearest.distance:.2g}"
        return f"no known mistake explains it: distance {self.right.distance:.2g} to steering right, {near}{after}"


def read_steered(found: Mapping[str, npt.NDArray[Any]]) -> dict[str, GreedyAnswers]:
    """Of a file of planted mistakes: what each makes the model answer, by its name (empty: right)."""
    parts = zip(found["labels"], found["tokens"], found["logits"], strict=True)
    return {str(name): GreedyAnswers(tokens, logits) for name, tokens, logits in parts}


def diagnose_steering(found: GreedyAnswers, known: Mapping[str, GreedyAnswers], rounding: float) -> SteeringDiagnosis:
    """``found`` against ``known``, the right one (empty name) among them."""
    order = sorted((_near(name, found, one) for name, one in known.items()), key=lambda near: (near.distance, near.name != ""))
    right = next(one for one in order if not one.name)
    best = order[0] if order[0].distance < right.distance else right
    other = next((one for one in order if one.name != best.name), None)
    return SteeringDiagnosis(_verdict(found, known[""], right, best, rounding), right, best, other)


def _verdict(found: GreedyAnswers, expected: GreedyAnswers, right: SteeringNear, best: SteeringNear, rounding: float) -> Verdict:
    if right.distance == 0 and np.array_equal(found.tokens, expected.tokens):
        return "equal"
    within = right.distance <= rounding
    if (
        best.name
        and best.distance <= rounding
        and max(best.distance, EXACT) * (FAR_BETTER if within else BETTER) <= right.distance
    ):
        return "mistake"
    return "rounding" if within else "unexplained"


def _near(name: str, found: GreedyAnswers, candidate: GreedyAnswers) -> SteeringNear:
    same = found.tokens == candidate.tokens
    share = float(same.mean())
    if found.logits is None or candidate.logits is None:
        return SteeringNear(name, 1 - share, share)
    comparable = _comparable(same)
    apart = np.asarray(found.logits, np.float64)[comparable] - np.asarray(candidate.logits, np.float64)[comparable]
    own = np.asarray(candidate.logits, np.float64)[comparable]
    spread = own - own.mean(axis=-1, keepdims=True)
    return SteeringNear(name, float(np.sqrt((apart**2).sum() / max(float((spread**2).sum()), 1e-30))), share)


def _comparable(same: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The steps ``[n, T]`` whose text before them is the same: up to the first token that differs, that one included."""
    before = np.cumprod(same, axis=1).astype(bool)
    return np.concatenate([np.ones_like(before[:, :1]), before[:, :-1]], axis=1)
