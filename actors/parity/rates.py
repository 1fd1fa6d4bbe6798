"""What the model answers when it is steered with the direction that each planted mistake gives, and what that does beside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from actors.boundary import Answered
from actors.errors import JobError
from actors.loading import LoadedModel
from actors.parity.jobs import RatesJob
from actors.parity.planted import planted
from actors.parity.reference import Reference
from actors.types import (
    CellResult,
    DamageJob,
    Decoding,
    Direction,
    Failure,
    GenerationJob,
    Steering,
    Underway,
)


class Answering(Protocol):
    """What of a worker is needed: ``actors.worker.ModelWorker``."""

    def generate(self, jobs: Sequence[GenerationJob]) -> Iterator[CellResult | Failure | Underway]:
        """Answers under steerings."""
        ...

    def damage(self, jobs: Sequence[DamageJob]) -> Iterator[Answered | Failure]:
        """What the steerings do beside."""
        ...


def rates(loaded: LoadedModel, worker: Answering, job: RatesJob) -> dict[str, npt.NDArray[Any]]:
    """What :class:`RatesJob` says is in its file; ``JobError`` where a cell of it fails."""
    steerings: dict[str, Steering | None] = {json.dumps(None): None}
    batch = max(len(job.classes.positive), len(job.classes.negative))
    for one, direction in Reference(loaded, job.classes).planted(list(planted((batch,), pairs=False))):
        vector = direction[job.layer]
        norm = float(np.linalg.norm(vector))
        if np.isfinite(norm) and norm > 0:
            found = Direction(job.layer, (vector / norm).astype(np.float32), norm)
            label = json.dumps([*one.names, one.recipe.batch])
            steerings[label] = Steering.from_layer_on(found, loaded.decoder.n_layers, job.multiplier)
    answers = _answers(worker, job, steerings)
    moved = _moved(worker, job, steerings)
    return {
        "labels": np.array(list(steerings)),
        "responses": np.array([json.dumps([asdict(one) for one in answers[label].responses]) for label in steerings]),
        "kl": np.array([moved[label] for label in steerings], np.float64),
    }


def _answers(worker: Answering, job: RatesJob, steerings: Mapping[str, Steering | None]) -> dict[str, CellResult]:
    decoding = Decoding(max_new_tokens=job.tokens)
    jobs = [GenerationJob(label, job.prompts, decoding, steering) for label, steering in steerings.items()]
    found: dict[str, CellResult] = {}
    for one in worker.generate(jobs):
        if isinstance(one, Failure):
            raise JobError(one.message)
        if isinstance(one, CellResult):
            found[one.cell_id] = one
    return found


def _moved(worker: Answering, job: RatesJob, steerings: Mapping[str, Steering | None]) -> dict[str, list[float]]:
    """Per steering KL(unsteered || steered) of every neutral prompt, in nats."""
    found: dict[str, list[float]] = {}
    for one in worker.damage(
        [DamageJob(label, steering, job.neutral, job.neutral_tokens) for label, steering in steerings.items()]
    ):
        if isinstance(one, Failure):
            raise JobError(one.message)
        found[one.item_id] = json.loads(one.content)["kl"]
    return found
