"""From what is planned to what a worker runs: extraction and generation jobs.

A worker need not have the driver's classes: a job holds nothing but what ``actors`` and NumPy define. The cells of a behavior
share one tuple of prompts, so a task carries each prompt once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actors.errors import JobError
from actors.types import DirectionSet, ExtractionJob, FloatArray, GenerationJob, Steering
from orchestrator.cells import Cell, DirectionSpec, SteeringSpec
from orchestrator.models.layers import corresponding_layer, steered_layers


@dataclass(frozen=True, eq=False)
class Placed:
    """A steering with its direction at hand: the target's absolute ``layers`` (ascending), the unit vectors ``[len(layers), d]``
    float32 that act there, and the source layer that they come from (None: each layer its own)."""

    layers: tuple[int, ...]
    vectors: FloatArray
    source_layer: int | None


def extraction_job(spec: DirectionSpec) -> ExtractionJob:
    """The job that extracts the directions of ``spec``."""
    return ExtractionJob(spec.id, spec.positive, spec.negative, spec.method, dict(spec.options), spec.extractor)


def generation_job(cell: Cell, at: Placed | None) -> GenerationJob:
    """The job of one cell; ``at`` is ``placed`` of its steering (None for a baseline)."""
    steering = None
    if cell.steering is not None and at is not None:
        steering = Steering(at.layers, at.vectors, **vars(cell.steering.action))
    return GenerationJob(cell.id, cell.prompts, cell.decoding, steering)


def placed(spec: SteeringSpec, found: DirectionSet) -> Placed:
    """Which unit directions of ``found`` act where. A layer that the method selected is resolved here.

    Raises ``JobError`` when the method selected no layer, or found no direction at one that the steering takes it from.
    """
    layers, source_layer = located(spec, found)
    sources = layers if source_layer is None else (source_layer,) * len(layers)
    try:
        vector_at = {layer: found.at(layer).vector for layer in dict.fromkeys(sources)}
    except KeyError as error:
        raise JobError(f"direction {spec.direction.id}: {error.args[0]}") from error
    vectors = np.stack([vector_at[layer] for layer in sources]).astype(np.float32, copy=False)
    return Placed(layers, vectors, source_layer)


def located(spec: SteeringSpec, found: DirectionSet) -> tuple[tuple[int, ...], int | None]:
    """(absolute layers that are steered, source layer) of ``spec``; ``JobError`` when the method selected no layer."""
    if spec.span is None or not isinstance(spec.source_layer, str):
        assert not isinstance(spec.source_layer, str)  # a selected layer always has its span
        return spec.layers, spec.source_layer
    if found.selected_layer is None:
        raise JobError(f"direction {spec.direction.id}: method {spec.direction.method} selected no layer")
    first = corresponding_layer(found.selected_layer, spec.span.n_source, spec.span.n_target)
    return steered_layers(spec.span.scope, first, spec.span.n_target), found.selected_layer
