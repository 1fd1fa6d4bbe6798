"""Base + adapter -> one plain model in a folder of its own, made once for its content and proved equal to PEFT's own forward.

What is quantized, steered and measured is then a model like any other. The folder's name is a digest of every byte that went in
and of the libraries that did the work.
"""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from actors.checkpoints import open_checkpoint
from actors.digests import content_digest
from actors.embedded import build_once, cache_root
from actors.errors import ModelLoadError, NotHereError
from actors.model_files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    check_adapter_folder,
    read_object,
    safetensors_header,
    weight_files,
)

MERGE_VERSION = 2
"""Raise it when the merge changes what is written."""
LIBRARIES = ("torch", "transformers", "peft", "safetensors")
RECORD = "merge.json"

TOLERANCE = 1e-3
"""Largest difference of a logit between the merged and the unmerged model, in standard deviations of the logits: far above what
float32 rounding gives, far below what an adapter does."""
PROBE_TOKENS = 24
PROBE_ROWS = 2

_SHOWN = 300
_REFUSALS = (ValueError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError, RuntimeError)
"""What PEFT raises for adapters that it cannot load or merge."""


@dataclass(frozen=True)
class Base:
    """The model that an adapter goes on: its folder, a name for the content of that folder, and whether its code may run."""

    folder: Path
    content: str
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Merged:
    """The folder of a merged model; ``difference``: largest one to the unmerged model's logits when it was made; ``effect``: what
    the adapter changes; both in standard deviations of the logits."""

    folder: Path
    difference: float
    effect: float


def base_in(folder: Path, trust_remote_code: bool) -> Base:
    """The model in ``folder`` as a base, named by all its bytes: weights, every JSON file, and code where it may run."""
    files = [*weight_files(folder), *folder.glob("*.json"), *(folder.glob("*.py") if trust_remote_code else ())]
    return Base(folder, content_digest(dict.fromkeys(files), cache_root() / "digests"), trust_remote_code)


def merged(base: Base, adapter: Path) -> Merged:
    """The merged model, built if there is none of this content yet; safe when two processes ask at once.

    ``ModelLoadError`` where the adapter does not fit, cannot be merged, or the merged model computes something else.
    """
    check_adapter_folder(adapter)
    key = hashlib.sha256(
        "\n".join([str(MERGE_VERSION), *(f"{name}=={version(name)}" for name in LIBRARIES), base.content]).encode()
    )
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        key.update(hashlib.sha256((adapter / name).read_bytes()).digest())
    place = cache_root() / f"merged-{key.hexdigest()[:32]}"
    if not place.is_dir():
        _require_room(base.folder, place.parent)
    folder = build_once(place, lambda target: _merge(base, adapter, target), (base.folder, adapter))
    record = json.loads((folder / RECORD).read_text())
    return Merged(folder, float(record["difference"]), float(record["effect"]))


def _require_room(folder: Path, cache: Path) -> None:
    """``NotHereError`` where the disk of ``cache`` has no room for the model in ``folder``, merged: 4 bytes a weight."""
    weights = sum(prod(entry.shape) for path in weight_files(folder) for entry in safetensors_header(path).values())
    there = next(one for one in (cache, *cache.parents) if one.exists())
    free = shutil.disk_usage(there).free
    if free < 4 * weights:
        needed = f"needs {4 * weights / 1e9:.1f} GB in {cache} (float32), where {free / 1e9:.1f} GB are free"
        raise NotHereError(f"merging the adapter {needed}; set XDG_CACHE_HOME to a folder with more room")


def _merge(base: Base, adapter: Path, target: Path) -> None:
    """Write base + adapter, merged in float32, into the empty folder ``target``."""
    model = _open(base.folder, base.trust_remote_code)
    ids = _probe(model, adapter)
    known = (ids < model.get_input_embeddings().weight.shape[0]).all(dim=-1)
    plain = _logits(model, ids[known])
    try:
        wrapped = _with_adapter(model, adapter)
        right = _logits(wrapped, ids)
        _save(_merged_model(wrapped), base, target)
    except _REFUSALS as error:
        raise ModelLoadError(f"the adapter cannot be merged: {_said(error)}") from error
    del model, wrapped
    gc.collect()
    difference = _distance(_logits(_open(target, base.trust_remote_code), ids), right)
    if not difference <= TOLERANCE:  # NaN is no pass
        raise ModelLoadError(
            f"the merged model does not compute what base and adapter compute side by side (logits differ by {difference:.2g} of "
            "their standard deviation): this kind of adapter cannot be used here"
        )
    common = min(plain.shape[-1], right.shape[-1])
    record = {"difference": difference, "effect": _distance(right[known][..., :common], plain[..., :common])}
    (target / RECORD).write_text(json.dumps(record))


def _open(folder: Path, trust_remote_code: bool) -> Any:
    return open_checkpoint(folder, trust_remote_code, dtype=torch.float32).model.eval()


def _with_adapter(model: Any, adapter: Path) -> Any:
    """The PEFT model, not merged; ``ModelLoadError`` when not every tensor of the adapter found its place."""
    from peft import PeftModel

    _resize(model, adapter)
    wrapped = PeftModel.from_pretrained(model, str(adapter))
    found = wrapped.load_adapter(str(adapter), "default")  # once more: only this way does PEFT tell what fitted
    missing = [name for name in found.missing_keys if "vblora_vector_bank" not in name]  # one bank, listed in every layer
    unplaced = [name for name in found.unexpected_keys if not _said_twice(name, adapter)]
    for kind, names in (("fit no part of the model", unplaced), ("are missing", missing)):
        if names:
            few = ", ".join(sorted(names)[:3])
            raise ModelLoadError(f"{len(names)} of the adapter's weights {kind}: {few}{', ...' if len(names) > 3 else ''}")
    return wrapped.eval()


def _said_twice(name: str, adapter: Path) -> bool:
    """Whether a tensor is the copy that PEFT saves, under its inner name, of an embedding that was resized and trained whole."""
    plain = name.replace(".modules_to_save.", ".")
    with safe_open(adapter / ADAPTER_WEIGHTS, "pt") as file:
        there = set(file.keys())
        return name != plain and {name, plain} <= there and torch.equal(file.get_tensor(name), file.get_tensor(plain))


def _merged_model(wrapped: Any) -> Any:
    """The plain model with the adapter in its weights. Ends that share one matrix are taken apart first: an adapter on one of
    them must not change the other."""
    base = wrapped.get_base_model()
    tied = _untie(base)
    whole = wrapped.merge_and_unload()
    first, last = whole.get_input_embeddings(), whole.get_output_embeddings()
    if any(bool(end.weight.isnan().any()) for end in _ends(whole)):
        raise ModelLoadError("the adapter was trained with added tokens and does not hold their rows of the embeddings")
    if tied:
        alike = torch.equal(first.weight, last.weight)
        if alike:
            last.weight = first.weight
        for config in (whole.config, whole.config.get_text_config()):
            config.tie_word_embeddings = alike
    return whole


def _untie(model: Any) -> bool:
    """Give the output embedding a matrix of its own where it shares the input's and either is adapted; whether it did."""
    ends = _ends(model)
    weights = [_plain_weight(end) for end in ends]
    adapted = any(_inner(end) is not None for end in ends)
    if not adapted or len(weights) < 2 or weights[0] is not weights[1]:
        return False
    shared: torch.Tensor = weights[0]
    owners = [
        (module, name)
        for module in model.modules()
        for name, weight in module.named_parameters(recurse=False)
        if weight is shared
    ]
    for module, name in owners[1:]:
        setattr(module, name, nn.Parameter(shared.detach().clone(), requires_grad=False))
    return True


def _plain_weight(end: Any) -> Any:
    """The matrix that an embedding has below what PEFT put around it."""
    while (inner := _inner(end)) is not None:
        end = inner
    return getattr(end, "weight", None)


def _inner(module: Any) -> Any:
    """The module that PEFT wrapped into this one; None for one of the model's own."""
    return next((getattr(module, name) for name in ("base_layer", "original_module") if hasattr(module, name)), None)


def _ends(model: Any) -> list[Any]:
    return [end for end in (model.get_input_embeddings(), model.get_output_embeddings()) if end is not None]


def _resize(model: Any, adapter: Path) -> None:
    """Bring the embeddings to the rows that the adapter's tensors have; rows that the base lacks are NaN until it fills them."""
    held = model.get_input_embeddings().weight.shape[0]
    rows = _rows(model, adapter)
    if not rows or rows == {held}:
        return
    if len(rows) > 1:
        raise ModelLoadError(f"the adapter's embeddings disagree on the number of tokens: {', '.join(map(str, sorted(rows)))}")
    (wanted,) = rows
    model.resize_token_embeddings(wanted, mean_resizing=False)
    with torch.no_grad():
        for end in _ends(model):
            end.weight[held:] = float("nan")


def _rows(model: Any, adapter: Path) -> set[int]:
    """How many tokens the adapter's tensors of the embeddings are made for."""
    names = {id(module): name for name, module in model.named_modules()}
    found = set()
    for name, entry in safetensors_header(adapter / ADAPTER_WEIGHTS).items():
        for end in _ends(model):
            place, _, part = name.partition(f".{names[id(end)]}.")
            if not part or place.count(".") > 2:
                continue
            if part in (
                "weight",
                "base_layer.weight",
                "modules_to_save.weight",
                "token_adapter.base_layer.weight",
                "lora_B.weight",
            ):
                found.add(entry.shape[0])
            elif part == "lora_embedding_A":
                found.add(entry.shape[1])
    return found


def _save(whole: Any, base: Base, target: Path) -> None:
    """Weights and config of the merged model; the generation config and the code are the base's own files."""
    from transformers import GenerationConfig

    whole.generation_config = GenerationConfig()  # an odd one of the base would not let itself be saved
    whole.save_pretrained(target)
    (target / "generation_config.json").unlink(missing_ok=True)
    copied = [base.folder / "generation_config.json", *(base.folder.glob("*.py") if base.trust_remote_code else ())]
    for path in copied:
        if path.is_file():
            shutil.copyfile(path, target / path.name)


def _probe(model: Any, adapter: Path) -> torch.Tensor:
    """Token ids [rows, PROBE_TOKENS] to compare logits on: ``PROBE_ROWS`` of ids drawn from those that the base knows too, and
    one of the tokens that the adapter trains alone or adds, where it does."""
    held = model.get_input_embeddings().weight.shape[0]
    wanted = max(_rows(model, adapter), default=held)
    drawn = torch.randint(min(held, wanted), (PROBE_ROWS, PROBE_TOKENS), generator=torch.Generator().manual_seed(0))
    config = read_object(adapter / ADAPTER_CONFIG)
    trained = config.get("trainable_token_indices") or config.get("token_indices")
    listed = [one for part in trained.values() for one in part] if isinstance(trained, dict) else list(trained or ())
    named = torch.tensor([*listed, *range(held, wanted)][:PROBE_TOKENS], dtype=torch.long)
    if not len(named):
        return drawn
    return torch.cat([drawn, named.repeat(PROBE_TOKENS)[None, :PROBE_TOKENS]])


@torch.inference_mode()
def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """float32 [rows, tokens, vocabulary]."""
    logits: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return logits.float()


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference at any position, in standard deviations of the logits there; NaN where one of them is."""
    if one.shape != other.shape:
        return float("nan")
    spread = other.std(dim=-1).clamp_min(torch.finfo(torch.float32).tiny)
    return float(((one - other).abs().amax(dim=-1) / spread).max())


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:_SHOWN]
