"""What a folder of weights holds, as a digest: contents only, no paths, so a moved or copied model keeps its identity.

The driver makes fingerprints to plan by, the worker makes them again to see that it reads what was planned. No torch.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import BinaryIO

from actors.model_files import own_tokenizer_files
from actors.types import ModelSpec

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".gguf")
SMALL_SUFFIXES = (".json", ".jinja", ".txt", ".model", ".tiktoken", ".py")
PATH_KEYS = ("_name_or_path", "name_or_path", "base_model_name_or_path", "tokenizer_file", "vocab_file", "merges_file")
"""Keys of config files that hold a path: no part of what the model computes."""

CHUNKS = 64
CHUNK_BYTES = 64 * 1024
MAX_JSON_BYTES = 200_000_000
"""Larger ones are no config or tokenizer; they enter by their bytes."""


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


def spec_fingerprint(spec: ModelSpec, package: str) -> str:
    """The content id of what ``spec`` loads; ``package`` names the embedded model's package and file. A hub model is named by
    its repository and revision instead. OSError for what cannot be read."""
    parts = []
    if spec.source == "embedded":
        parts.append(package)
    elif spec.source == "folder":
        parts.append(f"folder:{folder_fingerprint(Path(spec.location))}")
    if spec.adapter is not None:
        parts.append(f"adapter:{adapter_fingerprint(Path(spec.adapter))}")
    return "+".join(parts)


def adapter_fingerprint(folder: Path) -> str:
    """SHA-256 over ``adapter_config.json`` (without ``PATH_KEYS``), the bytes of ``adapter_model.safetensors``, and the files of
    its own tokenizer and chat template where it brings them."""
    parts = [_whole(folder / "adapter_config.json"), _file_sha256(folder / "adapter_model.safetensors")]
    parts += [f"{path.name} {_whole(path)}" for path in own_tokenizer_files(folder)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _whole(path: Path) -> str:
    if path.suffix != ".json" or path.stat().st_size > MAX_JSON_BYTES:
        return _file_sha256(path)
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
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
