"""The jobs of a parity study, on the model that a worker holds."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence

import numpy as np

from actors.boundary import Answered, as_failure
from actors.errors import WorkerError
from actors.loading import LoadedModel
from actors.parity.jobs import MistakesJob, ParityJob, RatesJob, ReadJob, SitesJob, SteeringMistakesJob, SteerJob
from actors.parity.planted import planted
from actors.parity.rates import Answering, rates
from actors.parity.reading import Arrays, read, steer
from actors.parity.reference import Reference
from actors.parity.sites import candidate_sites
from actors.parity.steered import by_recipe, vector_of
from actors.parity.steering_mistakes import STEERING_MISTAKES, SteeringRecipe
from actors.types import Failure


def measure(loaded: LoadedModel, worker: Answering, jobs: Sequence[ParityJob]) -> Iterator[Answered | Failure]:
    """The bytes of an ``.npz`` for each job, or why there are none; ``worker`` holds the model, and answers with it."""
    for job in jobs:
        try:
            found = io.BytesIO()
            np.savez(found, **_arrays(loaded, worker, job))  # type: ignore[arg-type] # its stub takes a flag among the names
            yield Answered(job.item_id, found.getvalue())
        except WorkerError as error:
            yield as_failure(job.item_id, error)


def _arrays(loaded: LoadedModel, worker: Answering, job: ParityJob) -> Arrays:
    match job:
        case ReadJob():
            return read(loaded, job)
        case SitesJob():
            sites = candidate_sites(loaded, [loaded.renderer.render(prompt) for prompt in job.prompts])
            return {"sites": np.stack(list(sites.values())), "names": np.array(list(sites))}
        case MistakesJob():
            reference = Reference(loaded, job.classes)
            found = list(reference.planted(list(planted(job.batches, job.pairs))))
            parts = list(reference.parts())
            return {
                "directions": np.stack([direction for _, direction in found]).astype(np.float32),
                "labels": np.array([json.dumps([*one.names, one.recipe.batch]) for one, _ in found]),
                "parts": np.stack([one.activations for one in parts]) if parts else np.zeros((0, *found[0][1].shape), np.float32),
                "part_labels": np.array([one.label for one in parts], dtype=np.str_),
            }
        case SteerJob():
            return steer(loaded, job)
        case SteeringMistakesJob():
            return _steering_mistakes(loaded, job)
        case RatesJob():
            return {**rates(loaded, worker, job)}


def _steering_mistakes(loaded: LoadedModel, job: SteeringMistakesJob) -> Arrays:
    place, planted_here = job.place, STEERING_MISTAKES if job.mistakes else {}
    rendered = [loaded.renderer.render(prompt) for prompt in place.prompts]
    vector = vector_of(loaded, place)
    found = {}
    for name, recipe in {"": SteeringRecipe(), **{name: one.recipe for name, one in planted_here.items()}}.items():
        if 0 <= place.layer + recipe.shift < loaded.decoder.n_layers:
            found[name] = by_recipe(loaded, place, recipe, rendered, vector)
    tokens, logits = (np.stack([one[part].numpy() for one in found.values()]) for part in (0, 1))
    return {"tokens": tokens, "logits": logits, "labels": np.array(list(found))}
