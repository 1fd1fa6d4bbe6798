"""The threshold of a condition, learned from two classes of prompts: chosen on one half of them, and told how well it tells the
other half apart (CAST, arXiv 2409.05907, searches it so on its training set)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from actors.cosines import Cosines, cosines
from actors.errors import JobError
from actors.extraction.capture import CaptureKey, Captures
from actors.types import Condition, ConditionThreshold, FloatArray, Steering

ROUNDING = 1e-5
"""Cosines of one prompt from two forwards differ by less, in float32: a threshold stands farther from all that chose it."""


def learned_threshold(positive: FloatArray, negative: FloatArray, vector: FloatArray) -> ConditionThreshold:
    """From the residual stream of both classes' prompts ``[n, d]`` and a unit vector ``[d]``: every other prompt of each class
    chooses, from the first one on; the rest report. Raises ``JobError`` for a class of fewer than two prompts, and where all
    cosines are the same."""
    if min(len(positive), len(negative)) < 2:
        sizes = f"{len(positive)} and {len(negative)}"
        raise JobError(f"a threshold is learned from two prompts of each class at least, there are {sizes}; allowed: a number")
    above, below = cosines(positive, vector), cosines(negative, vector)
    threshold = _best(above[::2], below[::2])
    return ConditionThreshold(
        threshold,
        balanced_accuracy(above[::2], below[::2], threshold),
        balanced_accuracy(above[1::2], below[1::2], threshold),
        len(above[1::2]) + len(below[1::2]),
    )


def balanced_accuracy(positive: Cosines, negative: Cosines, threshold: float) -> float:
    """The mean of the shares of the positive ones above the threshold and of the negative ones that are not."""
    return float((np.mean(positive > threshold) + np.mean(negative <= threshold)) / 2)


def _best(positive: Cosines, negative: Cosines) -> float:
    """The middle of the widest gap between neighbouring cosines of those at which the balanced accuracy is best."""
    every = np.sort(np.concatenate([positive, negative]))
    gaps = np.diff(every)
    wide = gaps > 2 * ROUNDING
    if not wide.any():
        raise JobError(
            f"a threshold is learned from prompts that differ: the cosines of the {len(every)} that choose it lie within "
            f"{every[-1] - every[0]:.1e}; allowed: a number, another layer, or other prompts"
        )
    middles = (every[1:] + every[:-1])[wide] / 2
    found = [(balanced_accuracy(positive, negative, one), gap, -one) for one, gap in zip(middles, gaps[wide], strict=True)]
    return float(-max(found)[2])


class Thresholds:
    """Learns the thresholds of conditions; what was learned is kept while a model is held. ``captures``: reads the prompts."""

    def __init__(self, captures: Captures) -> None:
        self._captures = captures
        self._known: dict[tuple[CaptureKey, int, bytes], ConditionThreshold] = {}

    def of(self, condition: Condition) -> ConditionThreshold:
        """That of a condition: as it says, or learned from its contrast prompts. Raises ``JobError``."""
        if condition.threshold is not None:
            return ConditionThreshold(condition.threshold)
        read = CaptureKey(condition.positive, condition.negative, condition.extractor)
        key = read, condition.layer, condition.vector.tobytes()
        if key not in self._known:
            positive, negative = self._captures.of(read, every_position=False)
            classes = positive[:, -1, condition.layer], negative[:, -1, condition.layer]
            self._known[key] = learned_threshold(*classes, condition.vector)
        return self._known[key]

    def settled(self, steering: Steering) -> Steering:
        """The same steering with every threshold known."""
        first, *then = (
            part
            if part.condition is None
            else replace(part, condition=replace(part.condition, threshold=self.of(part.condition).value))
            for part in steering.parts
        )
        return replace(first, then=tuple(replace(part, then=()) for part in then))
