"""A direction that a user brings: of all layers or of one, as NumPy or safetensors; never pickle."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.errors import InputError, Problem

ENDINGS = (".npy", ".npz", ".safetensors")


@dataclass(frozen=True, eq=False)
class DirectionGiven:
    """``vectors`` ``[k, d]`` of ``layers``; ``dtype``: what the model computed in, where the file says so."""

    vectors: npt.NDArray[np.float64]
    layers: list[int]
    dtype: str = ""


def read_direction(file: Path, layer: int | None, n_layers: int) -> DirectionGiven:
    """``[d]`` with its ``layer``; ``[L, d]``; ``[L + 1, d]`` whose first is of the embeddings, as transformers' hidden states
    are counted; or a file of this program's ``directions/``. InputError for anything else."""
    if file.suffix not in ENDINGS:
        raise InputError(Problem("--direction", str(file), "not a kind of file that is read", ", ".join(ENDINGS)))
    try:
        arrays = _arrays(file)
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError.because(f"it cannot be read: {error}", "--direction", str(file)) from error
    array = arrays.get("directions", next(iter(arrays.values()), np.zeros(0)))
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        told = f"its array has shape {array.shape} and type {array.dtype}"
        raise InputError.because(told, "--direction", str(file), "[d], [L, d] or [L + 1, d] of numbers")
    vectors = np.atleast_2d(np.asarray(array, np.float64))
    if not (np.isfinite(vectors).all(axis=-1) & vectors.any(axis=-1)).any():
        raise InputError.because("all of it is zero or not finite", "--direction", str(file), "a vector for a layer at least")
    return DirectionGiven(*_placed(vectors, arrays.get("layers"), layer, n_layers), _dtype_of(file))


def _arrays(file: Path) -> dict[str, npt.NDArray[Any]]:
    if file.suffix == ".npy":
        return {"directions": np.load(file, allow_pickle=False)}
    if file.suffix == ".npz":
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(file.read_bytes()))
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _dtype_of(file: Path) -> str:
    """As a sweep's files say it, or a ``dtype`` among the metadata of others."""
    if file.suffix != ".safetensors":
        return ""
    from safetensors import safe_open

    with safe_open(file, "np") as stored:
        said = stored.metadata() or {}
    try:
        return str(json.loads(said["spec"])["model"]["dtype"]) if "spec" in said else said.get("dtype", "").removeprefix("torch.")
    except (KeyError, TypeError, ValueError):
        return ""


def _placed(
    vectors: npt.NDArray[np.float64], layers: npt.NDArray[Any] | None, layer: int | None, n_layers: int
) -> tuple[npt.NDArray[np.float64], list[int]]:
    if layers is not None and len(layers) == len(vectors):
        placed = [int(one) for one in layers]
    elif len(vectors) == 1 and layer is not None:
        placed = [layer]
    elif len(vectors) == n_layers:
        placed = list(range(n_layers))
    elif len(vectors) == n_layers + 1:
        return vectors[1:], list(range(n_layers))
    else:
        allowed = f"{n_layers} or {n_layers + 1} of them, or one with --layer"
        raise InputError.because(f"{len(vectors)} vectors for a model of {n_layers} layers", "--direction", None, allowed)
    if not all(0 <= one < n_layers for one in placed):
        raise InputError.because("a layer that the model has not", "--layer", str(placed), f"0..{n_layers - 1}")
    return vectors, placed
