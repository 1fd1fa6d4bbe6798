"""pyvene: a CollectIntervention on the output of every block."""

from __future__ import annotations

import pyvene  # type: ignore[import-not-found]
import torch
from job_files import Batch, answer, job, model_of  # type: ignore[import-not-found]

told = job()
representations = [
    {"layer": layer, "component": "block_output", "intervention_type": pyvene.CollectIntervention}
    for layer in range(told["n_layers"])
]
model = pyvene.IntervenableModel(pyvene.IntervenableConfig(representations), model=model_of(told))


def read(batch: Batch) -> list[torch.Tensor]:
    """The residual stream behind every block."""
    rows, length = batch.token_ids.shape
    last = [[[length - 1]] * rows] * told["n_layers"]
    collected = model(batch.inputs, unit_locations={"base": last})[0][-1]
    return list(torch.stack(list(collected)).reshape(told["n_layers"], rows, -1))


answer(told, read)
