"""Vectors as plain arrays: NumPy's ``.npz``, and PyTorch files of tensors, which are read with ``weights_only``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from actors.tensor_files import write_pt
from orchestrator.exports.vectors import LayerVectors


def write_npz(vectors: LayerVectors, path: Path) -> None:
    """``directions`` float32 ``[k, d]``, ``layers`` ``[k]``, ``scale``, and ``metadata``, a JSON object."""
    layers = np.array(sorted(vectors.at), np.int64)
    scale = np.float64(1.0 if vectors.scale is None else vectors.scale)
    with path.open("wb") as file:
        np.savez(
            file,
            directions=np.stack([vectors.at[layer] for layer in layers.tolist()]),
            layers=layers,
            scale=scale,
            metadata=np.array(json.dumps(vectors.told)),
        )


def write_pt_file(vectors: LayerVectors, path: Path) -> None:
    """Layer -> tensor ``[d]``, for whatever takes plain tensors."""
    write_pt(path, vectors.at)


def write_steering_vector(vectors: LayerVectors, path: Path) -> None:
    """The fields of a ``SteeringVector``: ``SteeringVector(**torch.load(path, weights_only=True))``; ``multiplier`` is ours."""
    write_pt(path, vectors.at, layer_type="decoder_block")
