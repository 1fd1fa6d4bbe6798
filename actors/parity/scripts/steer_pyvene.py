"""pyvene: an ``AdditionIntervention`` on a block's output at every token, forward by forward."""

from __future__ import annotations

import pyvene  # type: ignore[import-not-found]
import torch
from job_files import Batch, answer_steered, by_forward, job, model_of, vector_of  # type: ignore[import-not-found]

told = job()
representation = {
    "layer": told["layer"],
    "component": "block_output",
    "intervention_type": pyvene.AdditionIntervention,
    "source_representation": vector_of(told),
}
model = pyvene.IntervenableModel(pyvene.IntervenableConfig([representation]), model=model_of(told))


def forward(batch: Batch) -> torch.Tensor:
    """The logits behind the last token."""
    rows, length = batch.token_ids.shape
    everywhere = [[list(range(length))] * rows]
    _, edited = model(batch.inputs, unit_locations={"base": everywhere})
    return edited.logits[:, -1]


answer_steered(told, lambda batch, steps: by_forward(forward, batch, steps))
