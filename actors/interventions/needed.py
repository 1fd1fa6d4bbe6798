"""What interventions need of a direction set beside the direction: means of its classes, or the second axis of a plane."""

from __future__ import annotations

import numpy as np

from actors.errors import JobError
from actors.interventions import INTERVENTIONS
from actors.types import DirectionSet, FloatArray

CLASSES = ("positive", "negative")
SMALL = 1e-6


def needed(
    name: str, found: DirectionSet, where: tuple[tuple[int, ...], tuple[int, ...]], vectors: FloatArray
) -> tuple[tuple[float, ...], tuple[FloatArray, ...]]:
    """``Steering.references`` and ``Steering.bases`` for the intervention ``name``; ``where``: the layers that it acts at, and
    those that its ``vectors`` ``[k, d]`` are of. JobError where the set has not what is needed."""
    needs = INTERVENTIONS[name].needs if name in INTERVENTIONS else ""
    if needs in CLASSES:
        if found.components is None:
            message = f"intervention {name}: the direction set was stored without the means of its classes"
            raise JobError(f"{message}; delete its file and it is extracted again")
        columns = [one.layer for one in found.directions]
        means = found.components[CLASSES.index(needs)]
        return tuple(float(means[layer, columns.index(source)]) for layer, source in zip(*where, strict=True)), ()
    if needs == "plane":
        return (), tuple(_second_axis(name, found, vector) for vector in vectors)
    return (), ()


def _second_axis(name: str, found: DirectionSet, vector: FloatArray) -> FloatArray:
    """The second axis ``[1, d]`` of the plane that angular steering turns in: the first principal component of the set's unit
    directions over its layers, made orthogonal to ``vector``; its largest number is positive."""
    every = found.vectors.astype(np.float64)
    component = np.linalg.svd(every - every.mean(axis=0), full_matrices=False)[2][0]
    component -= (component @ vector) * vector
    length = float(np.linalg.norm(component))
    if len(every) < 2 or length < SMALL:
        raise JobError(f"intervention {name}: the directions of the set have no second axis beside the one that acts")
    component *= np.sign(component[np.abs(component).argmax()]) / length
    return component.astype(np.float32)[None]
