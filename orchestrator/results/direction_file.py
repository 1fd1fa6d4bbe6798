"""``directions/<id>.safetensors``: a direction set with everything that says where it came from.

Tensors: ``directions`` float32 ``[k, d]``, ``layers`` int64 ``[k]``, ``raw_norms`` and ``residual_norms`` float64 ``[k]``, and
since they are kept ``components`` float32 ``[2, L, k]``. Of each layer l with a curve also ``curve.l.levels`` ``[K]`` and
``curve.l.points`` ``[K, D]`` float64, ``curve.l.basis`` float32 ``[D, d]``.
Metadata: ``version``, ``id``, ``method``, ``extractor``, ``sha256`` (of all the rest) as they are; ``selected_layer``,
``record`` and ``spec`` as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from actors.curves import CURVE
from actors.types import Curve, Direction, DirectionSet
from orchestrator.cells import CONTRAST_KEYS, DirectionSpec, changed_since, contrast_content, model_identity
from orchestrator.errors import Problem
from orchestrator.json_text import parse_json
from orchestrator.results.rows import canonical_json, digest_of
from orchestrator.results.schema import NewerSchemaError
from orchestrator.storage import StoredFile, UnreadableFileError

DIRECTION_VERSION = 1
DIGEST = "sha256"
"""In the metadata: a digest of everything else. Files of earlier versions of this program have none."""

_CURVE_PARTS = ("levels", "basis", "points")

LENGTH = 8
LONGEST_HEADER = 100_000_000
"""Bytes that say how long a safetensors header is, and the longest that the format allows."""
HEADER_READ = 2**18
"""Read first: most headers are shorter."""


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
    if found.components is not None:
        tensors["components"] = found.components
    for layer, curve in sorted(found.curves.items()):
        tensors |= {f"{CURVE}.{layer}.{part}": np.ascontiguousarray(getattr(curve, part)) for part in _CURVE_PARTS}
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ValueError(f"{spec.id}: NaN or infinity in {name}")
    metadata = _metadata(spec, found)
    return save(tensors, {**metadata, DIGEST: _digest(metadata, tensors)})


def decode_direction(file: StoredFile) -> DirectionSet:
    """What the file holds; FileNotFoundError, ``NewerSchemaError``, or ``UnreadableFileError`` when it is damaged."""
    content = file.read_bytes()
    metadata = _metadata_of(file, content)
    try:
        tensors = load(content)
        if DIGEST in metadata and metadata[DIGEST] != _digest(metadata, tensors):
            raise UnreadableFileError(file, "its content is not what was written")
        if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
            raise UnreadableFileError(file, "NaN or infinity in it")
        vectors, layers, norms = tensors["directions"], tensors["layers"], tensors["raw_norms"]
        if not len(layers) or len(tensors["residual_norms"]) != len(layers):
            raise UnreadableFileError(file, "its layers and its norms are not as many")
        return DirectionSet(
            directions=tuple(
                Direction(int(layer), vector, float(norm)) for layer, vector, norm in zip(layers, vectors, norms, strict=True)
            ),
            residual_norms=tuple(float(norm) for norm in tensors["residual_norms"]),
            selected_layer=cast("int | None", parse_json(metadata["selected_layer"])),
            record=cast("dict[str, str]", parse_json(metadata["record"])),
            components=tensors.get("components"),
            curves=_curves(tensors),
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UnreadableFileError(file, str(error)) from error


def _curves(tensors: Mapping[str, npt.NDArray[Any]]) -> dict[int, Curve]:
    """By layer; ValueError where their sizes do not fit together."""
    found = {}
    for layer in sorted(int(name.split(".")[1]) for name in tensors if name.startswith(f"{CURVE}.") and name.endswith(".levels")):
        levels, basis, points = (tensors[f"{CURVE}.{layer}.{part}"] for part in _CURVE_PARTS)
        if points.shape != (len(levels), len(basis)) or basis.shape[1:] != tensors["directions"].shape[1:]:
            raise ValueError(f"the parts of the curve of layer {layer} do not fit together")
        found[layer] = Curve(levels, basis, points)
    return found


def _metadata_of(file: StoredFile, content: bytes) -> dict[str, str]:
    """What stands in the header, of which ``content`` holds at least the whole."""
    try:
        header = parse_json(content[LENGTH : LENGTH + _header_length(content)])
        metadata: dict[str, str] = header["__metadata__"]  # type: ignore[index]
        version = int(metadata.get("version", DIRECTION_VERSION))
        own_name = str(metadata["id"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableFileError(file, f"its header is damaged: {error}") from error
    if version > DIRECTION_VERSION:
        message = f"{file} has version {version}; this program knows {DIRECTION_VERSION}: update it"
        raise NewerSchemaError(Problem("results", None, message))
    if f"{own_name}.safetensors" != file.name:
        raise UnreadableFileError(file, f"it is the direction set {own_name}")
    return metadata


def _header_length(content: bytes) -> int:
    length = int.from_bytes(content[:LENGTH], "little")
    if len(content) < LENGTH or length > LONGEST_HEADER:
        raise ValueError("it has no proper length")
    return length


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    told = digest_of({name: text for name, text in metadata.items() if name != DIGEST})
    sha256 = hashlib.sha256(told.encode())
    for name in sorted(tensors):
        sha256.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode() + tensors[name].tobytes())
    return sha256.hexdigest()


@dataclass(frozen=True)
class DirectionSource:
    """Where a stored direction set comes from. ``options`` is a JSON object, ``prompts_sha256`` the contrast prompts' digest.

    ``kin`` is equal for sets that differ in nothing but the model's dtype and quantization.
    """

    dtype: str
    quantization: str
    method: str
    options: str
    extractor: str
    prompts_sha256: str
    kin: str


def decode_source(file: StoredFile) -> DirectionSource:
    """Where the set in ``file`` comes from, from its header alone; errors as ``decode_direction``."""
    content = file.read_bytes(HEADER_READ)
    try:
        needed = LENGTH + _header_length(content)
    except ValueError as error:
        raise UnreadableFileError(file, str(error)) from error
    metadata = _metadata_of(file, content if needed <= len(content) else file.read_bytes(needed))
    try:
        method, extractor = metadata["method"], metadata["extractor"]
        spec: dict[str, Any] = cast("dict[str, Any]", parse_json(metadata["spec"]))
        model, prompts = dict(spec["model"]), [spec[key] for key in CONTRAST_KEYS]
        dtype, quantization = str(model.pop("dtype")), str(model.pop("quantization"))
        return DirectionSource(
            dtype=dtype,
            quantization=quantization,
            method=method,
            options=canonical_json(spec["options"]),
            extractor=extractor,
            prompts_sha256=digest_of(prompts),
            kin=digest_of([model, prompts, method, spec["options"], extractor, *_revision(spec)]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableFileError(file, str(error)) from error


def _revision(spec: dict[str, Any]) -> list[str]:
    """What sets of an earlier algorithm apart from those of today; how a quantized model is read does not."""
    changed = dict(spec.get("changed_since", {}))
    changed.pop("prompts_per_forward", None)
    return sorted(f"{name} {value}" for name, value in changed.items())


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
                **contrast_content(spec),
                **({"changed_since": changed} if (changed := changed_since(spec)) else {}),
            }
        ),
    }
