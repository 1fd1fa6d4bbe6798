"""Directions of prompts that shared their batches otherwise than they are given: in another order, or by other numbers.

Right padding, a dropped mask, ``output[0]`` and an aliased buffer make of a direction what the batches were. All that they can
make is mean(parts of positive prompts) - mean(parts of negative prompts): one part, or none, of each prompt
(``actors.parity.grouping``). The parts that come nearest to a direction are found by least squares with weights of at least 0, of
which each is then all or nothing, and improved part by part; what they make is compared like any other candidate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.parity.comparing import Array, cosines
from orchestrator.parity.diagnosis import PlantedDirection

FIRST, LAST = "batch item 0", "aliased buffer"
"""What leaves prompts out, by the names of ``actors.parity.planted``: all but the first of a batch, all but those of the last."""
KNOWN = 4
"""So many numbers of a direction must there be for every weight that is looked for."""
_SUM = 1e3
"""How much more the sum of the weights counts than what is fitted."""
_ROUNDS = 4

Where = tuple[int, int]
"""A class (0: positive, 1: negative) and the number of a prompt in it."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Of one way to run a padded batch: ``where`` and ``lengths`` of each part, and its activations ``[P, L, d]``."""

    names: tuple[str, ...]
    where: tuple[Where, ...]
    lengths: tuple[int, ...]
    activations: npt.NDArray[np.float32]

    @cached_property
    def of(self) -> Mapping[Where, list[int]]:
        """The parts of each prompt, the one without padding first."""
        found: dict[Where, list[int]] = {}
        for number in sorted(range(len(self.where)), key=lambda number: self.lengths[number]):
            found.setdefault(self.where[number], []).append(number)
        return found

    def counts(self) -> tuple[int, int]:
        """Prompts of each class."""
        return sum(side == 0 for side, _ in self.of), sum(side == 1 for side, _ in self.of)


def read_parts(found: Mapping[str, npt.NDArray[Any]]) -> list[Parts]:
    """Those of a file of planted mistakes, but for those that are no numbers: where a window sees padding alone."""
    labels = [json.loads(str(label)) for label in found.get("part_labels", ())]
    grouped: dict[tuple[str, ...], list[int]] = {}
    for number, (*names, _, _, _) in enumerate(labels):
        if np.isfinite(found["parts"][number]).all():
            grouped.setdefault(tuple(names), []).append(number)
    return [
        Parts(
            names,
            tuple((labels[one][-3], labels[one][-2]) for one in numbers),
            tuple(labels[one][-1] for one in numbers),
            np.asarray(found["parts"][numbers], np.float32),
        )
        for names, numbers in grouped.items()
    ]


def regrouped(given: Array, places: Sequence[int], parts: Sequence[Parts]) -> Iterator[PlantedDirection]:
    """For each way to run a padded batch what of it comes nearest to ``given`` ``[len(places), d]``, where that is a known
    mistake."""
    for one in parts:
        if given.size >= KNOWN * len(one.where):
            try:
                fitted = _fitted(given, places, one)
            except RuntimeError:  # no weights are found in as many steps as are allowed
                continue
            if {side for side, _ in fitted} != {0, 1}:
                continue
            chosen = _improved(given, places, one, fitted)
            names = _names(one, chosen)
            if names is not None and 0 < len(names) <= 2:
                yield PlantedDirection(names, 0, _direction(one.activations, one, chosen).astype(np.float32))


def _fitted(given: Array, places: Sequence[int], parts: Parts) -> dict[Where, int]:
    """The part of each prompt that has most of the weight; prompts with little of it have none."""
    from scipy.optimize import nnls

    signs = np.array([1.0 if side == 0 else -1.0 for side, _ in parts.where])
    whole = _direction(parts.activations, parts, {where: numbers[0] for where, numbers in parts.of.items()})
    gram = np.zeros((len(signs), len(signs)))
    for row, layer in enumerate(places):
        columns = np.asarray(parts.activations[:, layer], np.float64) * signs[:, None] / max(np.linalg.norm(whole[layer]), 1e-30)
        unit = given[row] / max(np.linalg.norm(given[row]), 1e-30)
        beside = columns - (columns @ unit)[:, None] * unit
        gram += beside @ beside.T
    values, vectors = np.linalg.eigh(gram)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    heavy = np.sqrt(_SUM * max(float(np.diag(gram).max()), 1e-30))
    sums = heavy * np.stack([signs > 0, signs < 0]).astype(np.float64)
    weights, _ = nnls(np.concatenate([root, sums]), np.concatenate([np.zeros(len(root)), [heavy, heavy]]))
    totals = {where: float(weights[numbers].sum()) for where, numbers in parts.of.items()}
    most = [max(total for (side, _), total in totals.items() if side == wanted) for wanted in (0, 1)]
    return {
        where: numbers[int(np.argmax(weights[numbers]))]
        for where, numbers in parts.of.items()
        if totals[where] > most[where[0]] / 2
    }


def _improved(given: Array, places: Sequence[int], parts: Parts, chosen: dict[Where, int]) -> dict[Where, int]:
    """``chosen`` with one part after the other taken, left out or exchanged as long as that comes nearer."""
    at = np.asarray(parts.activations[:, list(places)], np.float64)

    def apart(those: Mapping[Where, int]) -> float:
        return float(np.nanmean(1 - cosines(given, _direction(at, parts, those))))

    best = apart(chosen)
    for _ in range(_ROUNDS):
        before = best
        for where, numbers in parts.of.items():
            for number in (None, *numbers):
                other = {key: value for key, value in chosen.items() if key != where} | (
                    {} if number is None else {where: number}
                )
                if {side for side, _ in other} == {0, 1} and (found := apart(other)) < best:
                    chosen, best = other, found
        if best == before:
            break
    return chosen


def _direction(activations: npt.NDArray[np.floating], parts: Parts, chosen: Mapping[Where, int]) -> Array:
    means = [
        np.asarray(activations[[number for (side, _), number in chosen.items() if side == wanted]], np.float64).mean(axis=0)
        for wanted in (0, 1)
    ]
    return np.asarray(means[0] - means[1])


def _names(parts: Parts, chosen: Mapping[Where, int]) -> tuple[str, ...] | None:
    """The mistakes that leave just these parts; None where no known one does."""
    padded = any(number != parts.of[where][0] for where, number in chosen.items())
    if parts.names and not padded:
        return None  # what is not padded is among the parts that are run alone
    of_all = parts.counts()
    kept = sum(side == 0 for side, _ in chosen), sum(side == 1 for side, _ in chosen)
    if kept == of_all:
        return parts.names
    left = [
        name
        for name, counted in ((FIRST, _firsts), (LAST, _lasts))
        if any(kept == tuple(counted(n, batch) for n in of_all) for batch in range(1, max(of_all) + 1))
    ]
    return (*parts.names, " or ".join(left)) if left else None


def _firsts(n: int, batch: int) -> int:
    return -(-n // batch)


def _lasts(n: int, batch: int) -> int:
    return n - (n - 1) // batch * batch
