"""From what is planned to what a worker runs: extraction and generation jobs.

A worker need not have the driver's classes: a job holds nothing but what ``actors`` and NumPy define. The cells of a behavior
share one tuple of prompts, so a task carries each prompt once.
"""

from __future__ import annotations

import numpy as np

from actors.errors import JobError
from actors.types import DirectionSet, ExtractionJob, FloatArray, GenerationJob, Steering
from orchestrator.cells import Cell, DirectionSpec, SteeringSpec
from orchestrator.results.rows import SteeredAt, steered_at


def extraction_job(spec: DirectionSpec) -> ExtractionJob:
    """The job that extracts the directions of ``spec``."""
    return ExtractionJob(spec.id, spec.positive, spec.negative, spec.method, dict(spec.options), spec.extractor)


def generation_job(cell: Cell, at: tuple[SteeredAt, FloatArray] | None) -> GenerationJob:
    """The job of one cell; ``at`` is ``placed`` of its steering (None for a baseline)."""
    steering = None
    if cell.steering is not None and at is not None:
        where, vectors = at
        steering = Steering(where.layers, vectors, **vars(cell.steering.action))
    return GenerationJob(cell.id, cell.prompts, cell.decoding, steering)


def placed(spec: SteeringSpec, found: DirectionSet) -> tuple[SteeredAt, FloatArray]:
    """Where a steering acts, and the unit vectors of ``found`` that act there, ``[len(layers), d]`` float32.

    Raises ``JobError`` when the method selected no layer, or found no direction at one that the steering takes it from.
    """
    at = steered_at(spec, found)
    if at is None:
        raise JobError(f"direction {spec.direction.id}: method {spec.direction.method} selected no layer")
    sources = at.layers if at.source_layer is None else (at.source_layer,) * len(at.layers)
    try:
        vector_at = {layer: found.at(layer).vector for layer in dict.fromkeys(sources)}
    except KeyError as error:
        raise JobError(f"direction {spec.direction.id}: {error.args[0]}") from error
    return at, np.stack([vector_at[layer] for layer in sources]).astype(np.float32, copy=False)
