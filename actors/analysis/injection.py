"""Directions that are added to the residual stream at one layer, beside random ones of the same length: how the activations of
later layers move, and how far the next token's distribution does. Many of them share a batch (``actors.engine.probe``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from safetensors.numpy import save

from actors.boundary import Answered, as_failure
from actors.errors import NonFiniteActivationError, WorkerError
from actors.extraction.capture import CaptureKey, Captures
from actors.methods import Probe, Trial
from actors.types import DivergencesJob, Failure, FloatArray, InjectionJob, ShiftsJob, Steering

TRIALS = 16
"""Steerings at a time: each brings the activations of all layers for every prompt."""


def measure_shifts(probe: Probe, jobs: Sequence[ShiftsJob]) -> Iterator[Answered | Failure]:
    """For each job a safetensors file, of S layers, M multipliers, the direction and R random ones, P prompts, L layers to read:

    ``own``, ``self`` and ``length`` ``[S, M, 1 + R, P, L]`` float32: of the shift at each layer its part along that layer's own
    direction, its part along what was added, and its length. ``base`` ``[P, K, d]`` and ``states`` ``[S, M, P, K, d]``: the
    activations at the K kept layers, unsteered and under the direction itself.
    """
    for job in jobs:
        try:
            yield _answered(job, _shifts(probe, job))
        except WorkerError as error:
            yield as_failure(job.item_id, error)


def measure_divergences(probe: Probe, captures: Captures, jobs: Sequence[DivergencesJob]) -> Iterator[Answered | Failure]:
    """For each job a safetensors file with ``kl`` ``[S, M, 2 + 2R, P]`` float64: KL(unsteered || steered) of the next token in
    nats, for the direction, for its opposite, for R isotropic directions, and for R drawn from the activations' covariance."""
    for job in jobs:
        try:
            yield _answered(job, {"kl": _divergences(probe, captures, job)})
        except WorkerError as error:
            yield as_failure(job.item_id, error)


def isotropic(count: int, width: int, random: np.random.Generator) -> FloatArray:
    """So many unit vectors of no preferred direction, ``[count, width]``."""
    return _unit(random.standard_normal((count, width)))


def _unit(vectors: np.ndarray) -> FloatArray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _shifts(probe: Probe, job: ShiftsJob) -> dict[str, np.ndarray]:
    (count, width), prompts = job.directions.shape, job.prompts
    every = tuple(range(count))
    (plain,) = probe.run([Trial(None, prompts, every, each=True)])
    assert plain.states is not None
    shape = len(job.layers), len(job.multipliers), 1 + job.random, len(prompts), count
    found = {name: np.zeros(shape, np.float32) for name in ("own", "self", "length")}
    kept = list(job.kept)
    states = np.zeros((*shape[:2], len(prompts), len(kept), width), np.float32)
    added = [np.concatenate([job.directions[[layer]], isotropic(job.random, width, _random(job, layer))]) for layer in job.layers]
    places = list(np.ndindex(shape[:3]))
    for start in range(0, len(places), TRIALS):
        some = places[start : start + TRIALS]
        trials = [
            Trial(_at(job, source, added[source][which], job.multipliers[strength]), prompts, every, in_place=True, each=True)
            for source, strength, which in some
        ]
        for place, reading in zip(some, probe.run(trials), strict=True):
            assert reading.states is not None
            source, strength, which = place
            moved = reading.states - plain.states
            found["own"][place] = np.einsum("pld,ld->pl", moved, job.directions)
            found["self"][place] = moved @ added[source][which]
            found["length"][place] = np.linalg.norm(moved, axis=-1)
            if which == 0:
                states[source, strength] = reading.states[:, kept]
    return {**found, "base": plain.states[:, kept], "states": states}


def _divergences(probe: Probe, captures: Captures, job: DivergencesJob) -> np.ndarray:
    both = captures.of(CaptureKey(job.positive, job.negative, job.extractor), every_position=False)
    spread = np.concatenate([one[:, -1] - one[:, -1].mean(axis=0, dtype=np.float64) for one in both])
    found = np.zeros((len(job.layers), len(job.multipliers), 2 + 2 * job.random, len(job.prompts)))
    for source, layer in enumerate(job.layers):
        random, own = _random(job, layer), job.directions[[layer]]
        free = isotropic(job.random, own.shape[1], random)
        likely = _unit(random.standard_normal((job.random, len(spread))) @ spread[:, layer])
        vectors = np.concatenate([own, -own, free, likely])
        for strength, multiplier in enumerate(job.multipliers):
            trials = [Trial(_at(job, source, one, multiplier), compare=job.prompts, each=True) for one in vectors]
            for place, reading in enumerate(probe.run(trials)):
                found[source, strength, place] = reading.kls
    return found


def _random(job: InjectionJob, layer: int) -> np.random.Generator:
    return np.random.default_rng([job.seed, layer])


def _at(job: InjectionJob, source: int, vector: FloatArray, multiplier: float) -> Steering:
    return Steering((job.layers[source],), vector[None], multiplier)


def _answered(job: InjectionJob, arrays: dict[str, np.ndarray]) -> Answered:
    if not all(np.isfinite(one).all() for one in arrays.values()):
        raise NonFiniteActivationError("the residual stream or the logits are not finite under what was added")
    told = {"layers": np.array(job.layers), "multipliers": np.array(job.multipliers, np.float64)}
    return Answered(job.item_id, save({name: np.ascontiguousarray(one) for name, one in {**told, **arrays}.items()}))
