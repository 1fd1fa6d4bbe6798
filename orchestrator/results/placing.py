"""From a planned steering and stored direction sets to vectors at layers: those of each part, and how they lie to each other."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from actors.errors import JobError
from actors.interventions.needed import needed
from actors.types import Curve, DirectionSet, FloatArray
from orchestrator.cells import SteeringSpec
from orchestrator.results.rows import SteeredAt, steered_at

DEGENERATE = 1e-3
"""A direction of which less than this is left beside those before it says nothing that they do not say."""


class Placed(NamedTuple):
    """Where a steering acts, the unit vectors that act there, ``[len(layers), d]`` float32, the set ``found`` and the layers
    ``sources`` of it that they come from, and what its intervention needs beside the direction (``Steering.references``,
    ``Steering.bases``)."""

    at: SteeredAt
    vectors: FloatArray
    found: DirectionSet
    sources: tuple[int, ...]
    references: tuple[float, ...] = ()
    bases: tuple[FloatArray, ...] = ()

    @property
    def norms(self) -> tuple[float, ...]:
        """Mean norms of the residual stream over the contrast prompts, where it acts (NaN where the set has none)."""
        norm_at = {one.layer: norm for one, norm in zip(self.found.directions, self.found.residual_norms, strict=True)}
        return tuple(norm_at.get(layer, np.nan) for layer in self.at.layers)

    @property
    def raw_norms(self) -> tuple[float, ...]:
        """The lengths of the vectors before normalising."""
        length = {layer: self.found.at(layer).raw_norm for layer in dict.fromkeys(self.sources)}
        return tuple(length[layer] for layer in self.sources)

    @property
    def curves(self) -> tuple[Curve | None, ...]:
        """The curves there (None: no curve)."""
        return tuple(self.found.curves.get(layer) for layer in self.sources)


def placed(spec: SteeringSpec, found: DirectionSet) -> Placed:
    """Where one part of a steering acts, and what ``found`` has for that.

    Raises ``JobError`` when the method selected no layer, or found no direction at one that the steering takes it from.
    """
    at = steered_at(spec, found)
    if at is None:
        raise JobError(f"direction {spec.direction.id}: method {spec.direction.method} selected no layer")
    sources = at.layers if at.source_layer is None else (at.source_layer,) * len(at.layers)
    try:
        chosen = {layer: found.at(layer) for layer in dict.fromkeys(sources)}
    except KeyError as error:
        raise JobError(f"direction {spec.direction.id}: {error.args[0]}") from error
    if at.source_layer is None:
        vectors = np.stack([one.vector for one in chosen.values()])
    else:
        vectors = chosen[at.source_layer].vector[None].repeat(len(sources), axis=0)
    vectors = vectors.astype(np.float32, copy=False)
    references, bases = needed(spec.action.intervention, found, (at.layers, sources), vectors)
    return Placed(at, vectors, found, sources, references, bases)


def all_placed(spec: SteeringSpec, found: Mapping[str, DirectionSet]) -> list[Placed]:
    """Every part of a steering, in order; where it says so each later one orthogonal to the earlier ones. ``found``: by id."""
    parts = [placed(part, found[part.direction.id]) for part in spec.parts]
    return orthogonal(parts, [part.action.site for part in spec.parts]) if spec.orthogonal else parts


def orthogonal(parts: Sequence[Placed], sites: Sequence[str]) -> list[Placed]:
    """At every layer and site each part's vector without what lies in the span of the earlier parts' vectors there
    (Gram-Schmidt, in float64), made a unit vector again. Raises ``JobError`` where nothing is left of one."""
    bases: dict[tuple[str, int], list[npt.NDArray[np.float64]]] = {}
    turned = []
    for number, (part, site) in enumerate(zip(parts, sites, strict=True), start=1):
        vectors = []
        for layer, vector in zip(part.at.layers, part.vectors, strict=True):
            left = vector.astype(np.float64)
            for _ in range(2):  # once more takes away what rounding left
                for base in bases.get((site, layer), []):
                    left = left - (left @ base) * base
            norm = np.linalg.norm(left)
            if norm < DEGENERATE:
                raise JobError(f"orthogonalize: of part {number} nothing is left at layer {layer} beside the parts before it")
            vectors.append((left / norm).astype(np.float32) if bases.get((site, layer)) else vector)
            bases.setdefault((site, layer), []).append(left / norm)
        turned.append(part._replace(vectors=np.stack(vectors)))
    return turned


def part_cosines(parts: Sequence[Placed]) -> tuple[float, ...]:
    """Of each pair of parts (1 and 2, 1 and 3, ..., 2 and 3, ...) the cosine between their vectors at the first layer that both
    act at; where there is none, at each one's first. None of them where they are not equally wide."""
    if len({part.vectors.shape[1] for part in parts}) > 1:
        return ()
    found = []
    for one, other in itertools.combinations(parts, 2):
        shared = [layer for layer in one.at.layers if layer in other.at.layers]
        pair = [part.vectors[part.at.layers.index(shared[0]) if shared else 0].astype(np.float64) for part in (one, other)]
        found.append(float(pair[0] @ pair[1] / (np.linalg.norm(pair[0]) * np.linalg.norm(pair[1]))))
    return tuple(found)
