"""From what is planned to what a worker runs: extraction and generation jobs.

A worker need not have the driver's classes: a job holds nothing but what ``actors`` and NumPy define. The cells of a behavior
share one tuple of prompts, so a task carries each prompt once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from actors.curves import CURVE, point_of, strength_of
from actors.errors import JobError
from actors.interventions.needed import needed
from actors.tensor_files import read_file
from actors.types import Curve, DirectionSet, ExtractionJob, FloatArray, GenerationJob, GivenVectors, Steering
from orchestrator.cells import Cell, DirectionSpec, SteeringSpec
from orchestrator.results.rows import SteeredAt, steered_at

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


class Placed(NamedTuple):
    """Where a steering acts, the unit vectors that act there, ``[len(layers), d]`` float32, the mean norms of the residual stream
    there over the contrast prompts (NaN where the direction set has none), the curves there (None: no curve), the vectors' raw
    norms, and what its intervention needs beside the direction (``Steering.references``, ``Steering.bases``)."""

    at: SteeredAt
    vectors: FloatArray
    norms: tuple[float, ...]
    curves: tuple[Curve | None, ...] = ()
    raw_norms: tuple[float, ...] = ()
    references: tuple[float, ...] = ()
    bases: tuple[FloatArray, ...] = ()


def generation_job(cell: Cell, at: Placed | None) -> GenerationJob:
    """The job of one cell; ``at`` is ``placed`` of its steering (None for a baseline)."""
    steering = None
    if cell.steering is not None and at is not None:
        if cell.steering.action.intervention == CURVE:
            return GenerationJob(cell.id, cell.prompts, cell.decoding, _along_curves(cell.steering, at))
        settings = dict(vars(cell.steering.action))
        scales = at.norms if settings.pop("strength") == "relative" else ()
        if np.isnan(scales).any():
            direction = cell.steering.direction.id
            raise JobError(f"strength relative: direction {direction} has no norm of the residual stream at a steered layer")
        settings["scales"] = _scaled(scales, settings["scales"], at)
        steering = Steering(at.at.layers, at.vectors, references=at.references, bases=at.bases, **settings)
    return GenerationJob(cell.id, cell.prompts, cell.decoding, steering)


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


def placed(spec: SteeringSpec, found: DirectionSet) -> Placed:
    """Where a steering acts, and what ``found`` has for that.

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
    norm_at = {one.layer: norm for one, norm in zip(found.directions, found.residual_norms, strict=True)}
    vectors = np.stack([vector_at[layer] for layer in sources]).astype(np.float32, copy=False)
    norms, raw_norms = (
        tuple(norm_at.get(layer, np.nan) for layer in at.layers),
        tuple(found.at(layer).raw_norm for layer in sources),
    )
    references, bases = needed(spec.action.intervention, found, (at.layers, sources), vectors)
    return Placed(at, vectors, norms, tuple(found.curves.get(layer) for layer in sources), raw_norms, references, bases)
