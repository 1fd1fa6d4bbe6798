"""``directions/<id>.safetensors``: a direction set with everything that says where it came from.

Tensors: ``directions`` float32 ``[k, d]``, ``layers`` int64 ``[k]``, ``raw_norms`` and ``residual_norms`` float64 ``[k]``.
Metadata: ``version``, ``id``, ``method``, ``extractor`` as they are; ``selected_layer``, ``record`` and ``spec`` as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from actors.types import Direction, DirectionSet
from orchestrator.cells import DirectionSpec, model_identity
from orchestrator.rows import canonical_json
from orchestrator.schema import UnreadableFileError

DIRECTION_VERSION = 1


def encode_direction(spec: DirectionSpec, found: DirectionSet) -> bytes:
    """The bytes of the file; ValueError for NaN, infinity, or sizes that do not fit together."""
    layers = [direction.layer for direction in found.directions]
    if not layers or len(layers) != len(found.residual_norms) or sorted(set(layers)) != layers:
        raise ValueError(f"{spec.id}: needs one direction and one residual norm per layer, by ascending layer; got {layers}")
    tensors: dict[str, npt.NDArray[Any]] = {
        "directions": np.stack([direction.vector for direction in found.directions]).astype(np.float32),
        "layers": np.array(layers, dtype=np.int64),
        "raw_norms": np.array([direction.raw_norm for direction in found.directions], dtype=np.float64),
        "residual_norms": np.array(found.residual_norms, dtype=np.float64),
    }
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{spec.id}: NaN or infinity in {name}")
    return save(tensors, _metadata(spec, found))


def decode_direction(path: Path) -> DirectionSet:
    """What the file holds; FileNotFoundError, or ``UnreadableFileError`` when it is damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            vectors, layers = file.get_tensor("directions"), file.get_tensor("layers")
            raw_norms, residual_norms = file.get_tensor("raw_norms"), file.get_tensor("residual_norms")
            return DirectionSet(
                directions=tuple(
                    Direction(int(layer), vector, float(norm))
                    for layer, vector, norm in zip(layers, vectors, raw_norms, strict=True)
                ),
                residual_norms=tuple(float(norm) for norm in residual_norms),
                selected_layer=json.loads(metadata["selected_layer"]),
                record=json.loads(metadata["record"]),
            )
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UnreadableFileError(path, str(error)) from error


def _metadata(spec: DirectionSpec, found: DirectionSet) -> dict[str, str]:
    return {
        "version": str(DIRECTION_VERSION),
        "id": spec.id,
        "method": spec.method,
        "extractor": spec.extractor,
        "selected_layer": json.dumps(found.selected_layer),
        "record": canonical_json(dict(found.record)),
        "spec": canonical_json(
            {
                "model": model_identity(spec.model),
                "options": dict(spec.options),
                "harmful": [[prompt.id, prompt.text] for prompt in spec.harmful],
                "harmless": [[prompt.id, prompt.text] for prompt in spec.harmless],
            }
        ),
    }
