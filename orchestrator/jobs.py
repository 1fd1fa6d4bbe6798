"""From what is planned to what a worker runs: extraction and generation jobs."""

from __future__ import annotations

import numpy as np

from actors.errors import JobError
from actors.types import DirectionSet, ExtractionJob, FloatArray, GenerationJob, Prompt, Steering
from orchestrator.cells import Cell, DirectionSpec, SteeringSpec


def extraction_job(spec: DirectionSpec) -> ExtractionJob:
    """The job that extracts the directions of ``spec``."""
    harmful, harmless = _bare(spec.harmful), _bare(spec.harmless)
    return ExtractionJob(spec.id, harmful, harmless, spec.method, dict(spec.options), spec.extractor)


def generation_job(cell: Cell, vectors: FloatArray | None) -> GenerationJob:
    """The job of one cell; ``vectors`` ``[len(layers), d]`` from ``steering_vectors`` (None for a baseline)."""
    steering = None
    if cell.steering is not None and vectors is not None:
        steering = Steering(cell.steering.layers, vectors, cell.steering.multiplier, cell.steering.intervention)
    return GenerationJob(cell.id, _bare(cell.prompts), cell.decoding, steering)


def steering_vectors(spec: SteeringSpec, found: DirectionSet) -> FloatArray:
    """The unit direction that acts at each steered layer, float32 ``[len(layers), d]``.

    Raises ``JobError`` when the method found no direction at a layer that the steering takes its direction from.
    """
    sources = spec.layers if spec.source_layer is None else (spec.source_layer,) * len(spec.layers)
    try:
        return np.stack([found.at(layer).vector for layer in sources]).astype(np.float32, copy=False)
    except KeyError as error:
        raise JobError(f"direction {spec.direction.id}: {error.args[0]}") from error


def _bare(prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
    """Only what a worker knows: a machine beside a GPU may not have the driver's own classes of prompts."""
    return tuple(Prompt(prompt.id, prompt.text) for prompt in prompts)
