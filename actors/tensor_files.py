"""Files of vectors by layer, as other tools have them. Nothing in a file is ever run: of pickles only tensors are read.

Read are GGUF control vectors, ``.npz``, ``.safetensors`` and ``.pt``: one array ``[d]`` for each layer, under a name that ends
in its number (``direction.15``, ``15``), or ``directions`` ``[k, d]`` beside ``layers`` ``[k]``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from actors.errors import JobError
from actors.types import FloatArray

_NUMBERED = re.compile(r"(?:.*[^0-9])?([0-9]+)")


def write_pt(path: Path, vectors: Mapping[int, FloatArray], **beside: object) -> None:
    """Layer -> vector ``[d]``; with ``beside`` (plain texts) these are ``layer_activations`` of a dictionary that has both."""
    import torch

    tensors = {layer: torch.tensor(vector) for layer, vector in vectors.items()}
    torch.save({"layer_activations": tensors, **beside} if beside else tensors, path)


def read_vectors(path: Path, n_layers: int, width: int) -> dict[int, FloatArray]:
    """Layer -> vector ``[d]`` float32, as they are in the file; ``JobError`` unless they fit a model of ``n_layers`` blocks of
    ``width``, and for a file that is none of these."""
    if path.suffix not in READERS:
        raise JobError(f"{path}: not a file of vectors; allowed: {', '.join(READERS)}")
    try:
        found = _by_layer(READERS[path.suffix](path))
    except JobError as error:
        raise JobError(f"{path}: {error}") from error
    except Exception as error:  # each library has its own errors for a file that is not its
        raise JobError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error
    for layer, vector in found.items():
        if layer >= n_layers:
            raise JobError(f"{path}: has a layer {layer}; the model has 0..{n_layers - 1}")
        if vector.shape != (width,) or not np.isfinite(vector).all() or not vector.any():
            raise JobError(f"{path}: layer {layer} has {list(vector.shape)} numbers; allowed: {width} finite ones, not all 0")
    return dict(sorted(found.items()))


def _by_layer(arrays: Mapping[object, Any]) -> dict[int, FloatArray]:
    if "directions" in arrays and "layers" in arrays:
        pairs = list(zip(np.asarray(arrays["layers"]).tolist(), arrays["directions"], strict=True))
    else:
        pairs = [(named[1], array) for key, array in arrays.items() if (named := _NUMBERED.fullmatch(str(key)))]
    found = {int(layer): np.asarray(vector, np.float32) for layer, vector in pairs}
    if not found:
        raise JobError("no vector in it has a layer's number: name them 15, layer.15 or direction.15")
    return found


def _gguf(path: Path) -> dict[object, Any]:
    import gguf

    return {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}


def _npz(path: Path) -> dict[object, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _safetensors(path: Path) -> dict[object, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(path))


def _pt(path: Path) -> dict[object, Any]:
    import torch

    found = torch.load(path, map_location="cpu", weights_only=True)
    return {key: tensor.float().numpy() for key, tensor in found.get("layer_activations", found).items()}


READERS: dict[str, Callable[[Path], dict[object, Any]]] = {".gguf": _gguf, ".npz": _npz, ".safetensors": _safetensors, ".pt": _pt}
"""By the ending of the file's name."""
