"""What a folder of weights holds, as a digest: contents only, no paths, so a moved or copied model keeps its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from orchestrator.errors import InputError, shown
from orchestrator.json_text import parse_json

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".gguf")
SMALL_SUFFIXES = (".json", ".jinja", ".txt", ".model", ".tiktoken", ".py")
PATH_KEYS = ("_name_or_path", "name_or_path", "base_model_name_or_path", "tokenizer_file", "vocab_file", "merges_file")
"""Keys of config files that hold a path: no part of what the model computes."""

CHUNKS = 64
CHUNK_BYTES = 64 * 1024
MAX_HEADER_BYTES = 100_000_000
MAX_JSON_BYTES = 200_000_000
"""Larger ones are no config or tokenizer; they enter by their bytes."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a safetensors header."""

    dtype: str
    shape: tuple[int, ...]


def folder_fingerprint(folder: Path) -> str:
    """SHA-256 of a model folder, for planning in seconds whatever its size.

    Config, tokenizer and code files enter whole (JSON without ``PATH_KEYS``). A weights file enters by its size, its first MiB
    (a safetensors header lies there) and ``CHUNKS`` evenly spaced chunks of ``CHUNK_BYTES``: two fine-tunes of one model differ
    in nearly every tensor, hence in nearly every chunk, but a change outside all chunks
    would go unseen. A fingerprint, not a seal.
    """
    digest = hashlib.sha256()
    for path in sorted((entry for entry in folder.iterdir() if entry.is_file()), key=lambda entry: entry.name):
        if path.suffix in SMALL_SUFFIXES or path.suffix in WEIGHT_SUFFIXES:
            content = _sampled(path) if path.suffix in WEIGHT_SUFFIXES else _whole(path)
            digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()


def adapter_fingerprint(folder: Path) -> str:
    """SHA-256 over ``adapter_config.json`` (without ``PATH_KEYS``) and the bytes of ``adapter_model.safetensors``."""
    parts = (_whole(folder / "adapter_config.json"), _file_sha256(folder / "adapter_model.safetensors"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def safetensors_header(path: Path) -> Mapping[str, TensorEntry]:
    """Names, dtypes and shapes of a safetensors file's tensors, read without loading any. Raises :class:`InputError`."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > MAX_HEADER_BYTES:
                raise ValueError("its header is too large")
            header = parse_json(file.read(size))
        if not isinstance(header, dict):
            raise ValueError("its header is not a JSON object")
        return {name: _entry(entry) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError.because(f"{path.name} is not a readable safetensors file: {error}", value=str(path)) from error


def _entry(entry: Mapping[str, Any]) -> TensorEntry:
    shape = tuple(entry["shape"])
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"a tensor has the shape {shown(shape)}")
    return TensorEntry(str(entry["dtype"]), shape)


def _whole(path: Path) -> str:
    if path.suffix != ".json" or path.stat().st_size > MAX_JSON_BYTES:
        return _file_sha256(path)
    try:
        content = parse_json(path.read_bytes())
    except ValueError:
        return _file_sha256(path)
    if isinstance(content, dict):
        content = {key: value for key, value in content.items() if key not in PATH_KEYS}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sampled(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(1024 * 1024))
        for number in range(CHUNKS):
            digest.update(_chunk(file, (size - CHUNK_BYTES) * number // (CHUNKS - 1)))
    return digest.hexdigest()


def _chunk(file: BinaryIO, offset: int) -> bytes:
    file.seek(max(0, offset))
    return file.read(CHUNK_BYTES)
