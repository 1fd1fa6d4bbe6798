"""nnterp: ``StandardizedTransformer`` and its ``layers_output``."""

from __future__ import annotations

import torch
from job_files import FOLDER, Batch, answer, job  # type: ignore[import-not-found]
from nnterp import StandardizedTransformer  # type: ignore[import-not-found]

told = job()
model = StandardizedTransformer(
    FOLDER,
    torch_dtype=getattr(torch, told["dtype"]),
    check_renaming=False,
    device_map=told["device"],
)


def read(batch: Batch) -> list[torch.Tensor]:
    """The residual stream behind every block."""
    kept = []
    with model.trace(batch.inputs):
        for layer in range(told["n_layers"]):
            kept.append(model.layers_output[layer][:, -1].clone().save())  # noqa: PERF401 # nnsight runs the loop itself
    return kept


answer(told, read)
