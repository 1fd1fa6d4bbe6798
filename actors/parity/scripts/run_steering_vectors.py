"""steering-vectors: ``record_activations`` around a forward."""

from __future__ import annotations

import torch
from job_files import Batch, answer, job, model_of  # type: ignore[import-not-found]
from steering_vectors import record_activations

told = job()
model = model_of(told)


def read(batch: Batch) -> list[torch.Tensor]:
    """The residual stream behind every block."""
    with record_activations(model) as recorded:
        model(**batch.inputs, use_cache=False)
    return [recorded[layer][0][:, -1] for layer in range(told["n_layers"])]


answer(told, read)
