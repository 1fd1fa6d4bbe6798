"""PyTorch files of plain tensors, for tools that read nothing else; to be read with ``weights_only``, which runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from actors.types import FloatArray


def write_pt(path: Path, vectors: Mapping[int, FloatArray], **beside: object) -> None:
    """Layer -> vector ``[d]``; with ``beside`` (plain texts) these are ``layer_activations`` of a dictionary that has both."""
    import torch

    tensors = {layer: torch.tensor(vector) for layer, vector in vectors.items()}
    torch.save({"layer_activations": tensors, **beside} if beside else tensors, path)
