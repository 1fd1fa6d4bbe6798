"""From what is planned to what a worker runs: extraction and generation jobs.

A worker need not have the driver's classes: a job holds nothing but what ``actors`` and NumPy define. The cells of a behavior
share one tuple of prompts, so a task carries each prompt once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from actors.errors import JobError
from actors.types import Condition, DirectionSet, ExtractionJob, GenerationJob, Steering
from orchestrator.cells import Cell, ConditionSpec, DirectionSpec, SteeringSpec
from orchestrator.results.placing import Placed, all_placed


def extraction_job(spec: DirectionSpec) -> ExtractionJob:
    """The job that extracts the directions of ``spec``."""
    return ExtractionJob(spec.id, spec.positive, spec.negative, spec.method, dict(spec.options), spec.extractor)


def generation_job(cell: Cell, steering: Steering | None) -> GenerationJob:
    """The job of one cell; ``steering``: ``steering_of`` its own (None for a baseline)."""
    return GenerationJob(cell.id, cell.prompts, cell.decoding, steering)


def steering_of(cell: Cell, found: Mapping[str, DirectionSet], shared: dict[object, Any]) -> Steering | None:
    """What a cell does to the residual stream, by the direction sets ``found``, by id; None for a baseline. Equal vectors of
    steerings with the same ``shared`` are one array, so they cross the wire once. Raises ``JobError`` as ``placed`` does."""
    spec = cell.steering
    if spec is None:
        return None
    if spec.where not in shared:
        shared[spec.where] = all_placed(spec, found)
    parts = [_part(part, at, found) for part, at in zip(spec.parts, shared[spec.where], strict=True)]
    return replace(parts[0], then=tuple(parts[1:])) if parts[1:] else parts[0]


def _part(spec: SteeringSpec, at: Placed, found: Mapping[str, DirectionSet]) -> Steering:
    settings = dict(vars(spec.action))
    scales = at.norms if settings.pop("strength") == "relative" else ()
    if np.isnan(scales).any():
        raise JobError(f"strength relative: direction {spec.direction.id} has no norm of the residual stream at a steered layer")
    return Steering(at.at.layers, at.vectors, scales=scales, condition=_condition(spec.condition, found), **settings)


def _condition(spec: ConditionSpec | None, found: Mapping[str, DirectionSet]) -> Condition | None:
    if spec is None:
        return None
    direction = spec.direction
    try:
        vector = found[direction.id].at(spec.layer).vector
    except KeyError as error:
        raise JobError(f"direction {direction.id}: {error.args[0]}") from error
    classes = (direction.positive, direction.negative) if spec.threshold is None else ((), ())
    return Condition(spec.layer, vector, spec.threshold, spec.above, *classes, direction.extractor)
