"""The jobs of a parity study, on the model that a worker holds."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence

import numpy as np

from actors.boundary import Answered, as_failure
from actors.errors import WorkerError
from actors.loading import LoadedModel
from actors.parity.jobs import MistakesJob, ParityJob, ReadJob, SitesJob
from actors.parity.planted import planted
from actors.parity.reading import Arrays, read
from actors.parity.reference import Reference
from actors.parity.sites import candidate_sites
from actors.types import Failure


def measure(loaded: LoadedModel, jobs: Sequence[ParityJob]) -> Iterator[Answered | Failure]:
    """The bytes of an ``.npz`` for each job, or why there are none."""
    for job in jobs:
        try:
            found = io.BytesIO()
            np.savez(found, **_arrays(loaded, job))  # type: ignore[arg-type] # its stub takes a flag among the names
            yield Answered(job.item_id, found.getvalue())
        except WorkerError as error:
            yield as_failure(job.item_id, error)


def _arrays(loaded: LoadedModel, job: ParityJob) -> Arrays:
    match job:
        case ReadJob():
            return read(loaded, job)
        case SitesJob():
            sites = candidate_sites(loaded, [loaded.renderer.render(prompt) for prompt in job.prompts])
            return {"sites": np.stack(list(sites.values())), "names": np.array(list(sites))}
        case MistakesJob():
            found = list(Reference(loaded, job.classes).planted(list(planted(job.batches, job.pairs))))
            labels = [json.dumps([*one.names, one.recipe.batch]) for one, _ in found]
            return {"directions": np.stack([direction for _, direction in found]).astype(np.float32), "labels": np.array(labels)}
