"""From what is planned to what a worker runs: extraction and generation jobs.

A worker need not have the driver's classes: a job holds nothing but what ``actors`` and NumPy define. The cells of a behavior
share one tuple of prompts, so a task carries each prompt once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from actors.curves import CURVE, point_of, strength_of
from actors.errors import JobError
from actors.tensor_files import read_file
from actors.types import Condition, DirectionSet, ExtractionJob, GenerationJob, GivenVectors, Steering
from orchestrator.cells import Cell, ConditionSpec, DirectionSpec, SteeringSpec
from orchestrator.results.placing import Placed, all_placed

SUBSPACE_REPLACEMENT = "subspace_replacement"
"""What a worker does with the point of a curve."""


def extraction_job(spec: DirectionSpec) -> ExtractionJob:
    """The job that extracts the directions of ``spec``; ``JobError`` for a file of vectors that is not what was planned with."""
    given = None if spec.file is None else _given(spec.file, dict(spec.options))
    return ExtractionJob(spec.id, spec.positive, spec.negative, spec.method, dict(spec.options), spec.extractor, given)


def _given(path: str, options: Mapping[str, object]) -> GivenVectors:
    """The vectors of a file, which travel with the job: the worker may be on another machine."""
    feature = options.get("feature"), options.get("layer")
    found = read_file(Path(path), options["convention"], feature)  # type: ignore[arg-type]
    if found.digest != options["vectors"]:
        raise JobError(f"{path}: its vectors changed since the sweep was planned; run the sweep again to steer with the new ones")
    return found.given(Path(path).name)


def generation_job(cell: Cell, steering: Steering | None) -> GenerationJob:
    """The job of one cell; ``steering``: ``steering_of`` its own (None for a baseline)."""
    return GenerationJob(cell.id, cell.prompts, cell.decoding, steering)


def steering_of(cell: Cell, found: Mapping[str, DirectionSet], shared: dict[object, Any]) -> Steering | None:
    """What a cell does to the residual stream, by the direction sets ``found``, by id; None for a baseline. Equal vectors of
    steerings with the same ``shared`` are one array, so they cross the wire once. Raises ``JobError`` as ``placed`` does."""
    spec = cell.steering
    if spec is None:
        return None
    where = spec.where
    if where not in shared:
        shared[where] = all_placed(spec, found)
    parts = [_part(part, at, found) for part, at in zip(spec.parts, shared[where], strict=True)]
    return replace(parts[0], then=tuple(parts[1:])) if parts[1:] else parts[0]


def _part(spec: SteeringSpec, at: Placed, found: Mapping[str, DirectionSet]) -> Steering:
    if spec.action.intervention == CURVE:
        return _along_curves(spec, at)
    settings = dict(vars(spec.action))
    scales = at.norms if settings.pop("strength") == "relative" else ()
    if scales and np.isnan(scales).any():
        raise JobError(f"strength relative: direction {spec.direction.id} has no norm of the residual stream at a steered layer")
    settings["scales"] = _scaled(scales, settings["scales"], at)
    condition = _condition(spec.condition, found)
    return Steering(at.at.layers, at.vectors, references=at.references, bases=at.bases, condition=condition, **settings)


def _scaled(norms: tuple[float, ...], scales: str, at: Placed) -> tuple[float, ...]:
    """Factors by layer: of the strength ``norms`` (empty: all 1), and of what is said of ``scales``."""
    if scales == "none":
        return norms
    own = at.raw_norms if scales == "raw_norm" else tuple(float(one) for one in scales.split(","))
    if len(own) != len(at.at.layers):
        raise JobError(f"scales: {len(own)} of them for {len(at.at.layers)} steered layers; allowed: one for each")
    return tuple(one * norm for one, norm in zip(own, norms or (1.0,) * len(own), strict=True))


def _along_curves(spec: SteeringSpec, at: Placed) -> Steering:
    """The part of the stream in each layer's subspace becomes the point of its curve. JobError where a layer has no curve."""
    action, layers = spec.action, at.at.layers
    without = [layer for layer, curve in zip(layers, at.curves, strict=True) if curve is None]
    if without:
        told = f"layer{'s' if len(without) > 1 else ''} {', '.join(map(str, without))} where fewer than two knots hold"
        raise JobError(f"direction {spec.direction.id}: there is no curve at {told} (the option soft of method curve)")
    curves = [curve for curve in at.curves if curve is not None]
    points = np.stack([point_of(curve, strength_of(action.multiplier)) for curve in curves])
    lengths = np.linalg.norm(points, axis=1)
    units = (points / np.where(lengths > 0, lengths, 1.0)[:, None]).astype(np.float32)
    apart = ("multiplier", "intervention", "strength", "scales")
    settings = {key: value for key, value in vars(action).items() if key not in apart}
    bases, scales = tuple(curve.basis for curve in curves), tuple(float(one) for one in lengths)
    return Steering(layers, units, 1.0, SUBSPACE_REPLACEMENT, scales=scales, bases=bases, **settings)


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
