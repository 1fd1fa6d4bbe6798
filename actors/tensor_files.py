"""Files of vectors by layer, as other tools have them. Nothing in a file is ever run: of pickles only tensors are read.

Read are GGUF control vectors, ``.npz``, ``.safetensors`` and ``.pt``: one array ``[d]`` for each layer, under a name that ends
in its number (``direction.15``, ``15``), or ``directions`` ``[k, d]`` beside ``layers`` ``[k]``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np

from actors.errors import JobError
from actors.methods.file import Convention
from actors.sae_files import DECODER, feature_of
from actors.sites import OUTPUT, SITES, of_heads
from actors.types import FloatArray, GivenVectors

_NUMBERED = re.compile(r"(?:.*[^0-9])?([0-9]+)")
_BLOCK = "decoder_block"
"""What steering-vectors calls the output of a decoder block."""
_MORE = "it holds more than tensors; nothing in it was run"
_PT = "a dictionary of layer: tensor [d], and texts beside them"
_KINDS = {
    ".gguf": "a GGUF file",
    ".npz": "a NumPy .npz file",
    ".safetensors": "a safetensors file",
    ".pt": "a file of torch.save",
}
_TOLD = 200
"""Characters of a text in a file's metadata."""

Arrays = Mapping[object, Any]
Told = dict[str, str]


@dataclass(frozen=True, eq=False)
class VectorFile:
    """``vectors``: layer -> ``[d]`` float32 by ascending layer, as they are in the file; ``told``: what else it says."""

    vectors: dict[int, FloatArray]
    told: Told

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return len(next(iter(self.vectors.values())))

    @cached_property
    def digest(self) -> str:
        """16 hex digits of a SHA-256 over layers and numbers: the same for the same vectors in another kind of file."""
        sha256 = hashlib.sha256()
        for layer, vector in self.vectors.items():
            sha256.update(f"{layer} {len(vector)} ".encode() + vector.astype("<f4").tobytes())
        return sha256.hexdigest()[:16]

    def given(self, source: str) -> GivenVectors:
        """As a job has them; ``source``: what to call the file."""
        told = {key: value for key, value in self.told.items() if key in ("model", "method", "layer_convention", "direction_id")}
        record = {"file": source, "file_vectors": self.digest, **({"file_told": json.dumps(told)} if told else {})}
        return GivenVectors(tuple(self.vectors), np.stack(list(self.vectors.values())), record)


def write_pt(path: Path, vectors: Mapping[int, FloatArray], **beside: object) -> None:
    """Layer -> vector ``[d]``; with ``beside`` (plain texts) these are ``layer_activations`` of a dictionary that has both."""
    import torch

    tensors = {layer: torch.tensor(vector) for layer, vector in vectors.items()}
    torch.save({"layer_activations": tensors, **beside} if beside else tensors, path)


def read_vectors(path: Path, n_layers: int, width: int) -> dict[int, FloatArray]:
    """Layer -> vector ``[d]`` float32, as they are in the file; ``JobError`` unless they fit the outputs of a model of
    ``n_layers`` blocks of ``width``, and for a file that is none of these."""
    found = read_file(path)
    if (site := found.told.get("site", OUTPUT)) != OUTPUT and (site in SITES or of_heads(site)):
        raise JobError(f"{path}: its vectors are of site {site}; allowed: {OUTPUT}, the outputs of decoder blocks")
    if wrong := misfit(found.given(path.name), n_layers, width):
        raise JobError(f"{path}: {wrong}")
    return found.vectors


def misfit(given: GivenVectors, n_layers: int, width: int) -> str | None:
    """Why vectors are not of a model of ``n_layers`` blocks of ``width``; None when they are."""
    if max(given.layers) >= n_layers:
        return f"has a layer {max(given.layers)}; the model has 0..{n_layers - 1}"
    if given.vectors.shape[1] != width:
        return f"layer {given.layers[0]} has [{given.vectors.shape[1]}] numbers; allowed: {width} finite ones, not all 0"
    return None


def read_file(
    path: Path, convention: Convention = "block_output", feature: tuple[int | None, int | None] = (None, None)
) -> VectorFile:
    """What ``path`` holds, its numbers counted by ``convention``; ``feature``: of a sparse autoencoder its number, and the block
    whose output it reads. ``JobError`` for a file that is none of these, and for vectors of several widths, of zeros, or with
    numbers that are not finite."""
    if path.suffix not in READERS:
        raise JobError(f"{path}: not a file of vectors; allowed: {', '.join(READERS)}")
    try:
        arrays, told = READERS[path.suffix](path)
        if feature[0] is not None or DECODER in arrays:
            found, told = feature_of(arrays, path, *feature)
        else:
            found = _by_layer(arrays)
        if convention == "hidden_states":
            found = {layer - 1: vector for layer, vector in found.items() if layer > 0}
        _check(found)
        if (kind := told.get("layer_type", _BLOCK)) != _BLOCK:
            raise JobError(f"its vectors act on layers of type {kind}; allowed: {_BLOCK}, the outputs of decoder blocks")
    except JobError as error:
        raise JobError(f"{path}: {error}") from error
    except OSError as error:
        raise JobError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # each library has its own errors for a file that is not its
        raise JobError(f"{path}: cannot be read: it is damaged, or not {_KINDS[path.suffix]}") from error
    return VectorFile(dict(sorted(found.items())), {key: value[:_TOLD] for key, value in told.items()})


def _check(found: Mapping[int, FloatArray]) -> None:
    if not found:
        raise JobError("no vector in it has a layer's number: name them 15, layer.15 or direction.15")
    width = next(iter(found.values())).size
    for layer, vector in found.items():
        if vector.shape != (width,) or not np.isfinite(vector).all() or not vector.any():
            raise JobError(f"layer {layer} has {list(vector.shape)} numbers; allowed: {width} finite ones, not all 0")


def _by_layer(arrays: Arrays) -> dict[int, FloatArray]:
    if "directions" in arrays and "layers" in arrays:
        pairs = list(zip(np.asarray(arrays["layers"]).tolist(), arrays["directions"], strict=True))
    else:
        pairs = [(named[1], array) for key, array in arrays.items() if (named := _NUMBERED.fullmatch(str(key)))]
    return {int(layer): _numbers(layer, vector) for layer, vector in pairs}


def _numbers(layer: object, vector: object) -> FloatArray:
    array = np.asarray(vector)
    if array.dtype.kind not in "fiu":
        raise JobError(f"layer {layer} is an array of {array.dtype}; allowed: numbers, [d] for each layer")
    return array.astype(np.float32)


def _gguf(path: Path) -> tuple[Arrays, Told]:
    import gguf

    reader = gguf.GGUFReader(path)
    told = {name: field.contents() for name, field in reader.fields.items() if name.startswith(("steering.", "controlvector."))}
    arrays = {
        one.name: one.data if one.data.dtype.kind == "f" else gguf.dequantize(one.data, one.tensor_type) for one in reader.tensors
    }
    return arrays, _texts({"model": told.get("controlvector.model_hint"), **told}, "steering.")


def _npz(path: Path) -> tuple[Arrays, Told]:
    if path.exists() and not is_zipfile(path):
        raise ValueError("numpy would take it for a pickle")
    with np.load(path, allow_pickle=False) as stored:
        if DECODER in stored:  # the rest of an autoencoder is as large
            return {DECODER: stored[DECODER]}, {}
        try:
            arrays = dict(stored)
        except ValueError as error:
            raise JobError(f"cannot be read: {_MORE}; allowed: arrays [d] of numbers, named by their layers") from error
    told = json.loads(str(arrays.pop("metadata", "{}")))
    return arrays, _texts({**told, **({"scale": arrays["scale"]} if "scale" in arrays else {})})


def _safetensors(path: Path) -> tuple[Arrays, Told]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as stored:
        if DECODER in stored.keys():  # noqa: SIM118 - the rest of an autoencoder is as large
            return {DECODER: stored.get_tensor(DECODER)}, _texts(stored.metadata() or {})
        return {name: stored.get_tensor(name) for name in stored.keys()}, _texts(stored.metadata() or {})  # noqa: SIM118


def _pt(path: Path) -> tuple[Arrays, Told]:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if type(error).__name__ != "UnpicklingError":  # what the file holds beside tensors; the rest is told for every form
            raise
        raise JobError(f"cannot be read: {_MORE}; allowed: {_PT}") from error
    by_layer = found.get("layer_activations", found) if isinstance(found, dict) else found
    if not isinstance(by_layer, dict):
        raise JobError(f"it holds a {type(by_layer).__name__}; allowed: {_PT}")
    texts = {key: value for key, value in found.items() if isinstance(value, str)}
    tensors = {key: value for key, value in by_layer.items() if key not in texts}
    for key, value in tensors.items():
        if not isinstance(value, torch.Tensor):
            raise JobError(f"under {str(key)!r} it holds a {type(value).__name__}; allowed: {_PT}")
    return {key: tensor.float().numpy() for key, tensor in tensors.items()}, _texts(texts)


def _texts(told: Mapping[Any, object], prefix: str = "") -> Told:
    return {str(key).removeprefix(prefix): str(value) for key, value in told.items() if value is not None}


READERS: dict[str, Callable[[Path], tuple[Arrays, Told]]] = {
    ".gguf": _gguf,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".pt": _pt,
}
"""By the ending of the file's name."""
