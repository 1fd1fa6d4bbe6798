"""The residual stream of prompts at their last token, after every block, prompt by prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from safetensors.numpy import save

from actors.boundary import Answered, as_failure
from actors.errors import WorkerError
from actors.extraction.capture import CaptureKey, Captures
from actors.types import ActivationsJob, Failure


def read_activations(captures: Captures, jobs: Sequence[ActivationsJob]) -> Iterator[Answered | Failure]:
    """For each job a safetensors file with ``activations``, ``[n, L, d]`` float32: the positive prompts first."""
    for job in jobs:
        try:
            both = captures.of(CaptureKey(job.positive, job.negative, job.extractor), every_position=False)
        except WorkerError as error:
            yield as_failure(job.item_id, error)
        else:
            last = np.concatenate([one[:, -1] for one in both])
            yield Answered(job.item_id, save({"activations": np.ascontiguousarray(last)}))
