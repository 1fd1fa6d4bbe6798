"""Opens the checkpoint in a folder, and sees to it that the model is exactly what the files say: every weight of the model is in
them, every weight in them is read, and all sizes agree.

transformers draws what is missing at random, drops what it does not know, and says so in its log at most.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM

from actors.catalogue import BLOCK_LISTS
from actors.errors import ModelLoadError
from actors.model_files import read_object, safetensors_header, weight_files

NOT_READ: Mapping[str, re.Pattern[str]] = {
    "tables that are computed anew": re.compile(r"(^|\.)(rotary_emb|rotary_pos_emb|rope)\.(inv_freq|cos_cached|sin_cached)$"),
    "heads that guess tokens further ahead": re.compile(r"(^|\.)mtp(_layers|_block)?\."),
    "encoders of pictures and sound": re.compile(
        r"(^|\.)(vision_tower|vision_model|vision_encoder|visual|multi_modal_projector|audio_tower|embed_vision|embed_audio)\."
    ),
}
"""What a checkpoint may hold without any part of it acting on the next token of a text, by name. What an architecture itself
declares to be ignorable, transformers has left out already."""

_MASK = re.compile(r"(^|\.)(attn|attention)\.(bias|masked_bias)$")
_LAYER = re.compile(rf"(^|\.)(?:{'|'.join(sorted(BLOCK_LISTS))})\.(\d+)\.")
_NAMED = 3


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model, and what of its files nothing reads: a sentence, empty where all is read."""

    model: Any
    unread: str


def open_checkpoint(folder: Path, trust_remote_code: bool, **how: Any) -> Checkpoint:
    """The causal LM in ``folder``; ``how``: dtype, device map and quantization, as ``from_pretrained`` takes them.

    ``ModelLoadError`` when the files lack weights of the model, hold some that nothing reads, or some of other sizes.
    """
    files = weight_files(folder)  # before any of them is opened
    model, found = AutoModelForCausalLM.from_pretrained(
        str(folder),
        use_safetensors=True,
        trust_remote_code=trust_remote_code,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # told below, by name
        **how,
    )
    if found["mismatched_keys"]:
        sizes = [
            f"{name} ({list(stored)} in the file, {list(wanted)} in the model)"
            for name, stored, wanted in found["mismatched_keys"]
        ]
        raise ModelLoadError(f"weights of other sizes than the config says: {_some(sizes)}")
    if found["missing_keys"]:
        raise ModelLoadError(
            f"the files lack {len(found['missing_keys'])} of the model's weights: {_some(found['missing_keys'])}"
        )
    if found.get("error_msgs"):
        raise ModelLoadError(f"weights that could not be read: {_some(found['error_msgs'])}")
    return Checkpoint(model, _unread(found["unexpected_keys"], folder, files))


def _unread(names: Collection[str], folder: Path, files: Sequence[Path]) -> str:
    """What is left unread, in words; ``ModelLoadError`` when any of it would act if it were read."""
    kinds: dict[str, int] = {}
    acting = []
    further = _further_layers(folder)
    masks = _mask_tables(files) if any(_MASK.search(name) for name in names) else frozenset()
    for name in sorted(names):
        kind = _kind(name, further, masks)
        if kind is None:
            acting.append(name)
        else:
            kinds[kind] = kinds.get(kind, 0) + 1
    if acting:
        raise ModelLoadError(
            f"{len(acting)} weights in the files are read by nothing: {_some(acting)}. The config is not of this checkpoint: "
            "it describes a model without them"
        )
    told = ", ".join(f"{number} of {kind}" for kind, number in kinds.items())
    return told and f"weights in the files that the model does not read, none of which acts on the next token: {told}"


def _kind(name: str, further: range, masks: Collection[str]) -> str | None:
    for kind, pattern in NOT_READ.items():
        if pattern.search(name):
            return kind
    layer = _LAYER.search(name)
    if layer is not None and int(layer[2]) in further:
        return "heads that guess tokens further ahead"
    return "causal masks" if any(name.endswith(mask) for mask in masks) else None


def _further_layers(folder: Path) -> range:
    """The numbers of the layers after the last, where the config says that they guess tokens further ahead."""
    config = read_object(folder / "config.json")
    text = {**config, **config["text_config"]} if isinstance(config.get("text_config"), dict) else config
    layers, more = text.get("num_hidden_layers"), text.get("num_nextn_predict_layers")
    return range(layers, layers + more) if isinstance(layers, int) and isinstance(more, int) else range(0)


def _mask_tables(files: Sequence[Path]) -> frozenset[str]:
    """Names of GPT-2's causal masks: tables of [1, 1, n, n], and their lone fill value; a bias is no such thing."""
    entries = {name: entry for path in files for name, entry in safetensors_header(path).items() if _MASK.search(name)}
    return frozenset(name for name, entry in entries.items() if len(entry.shape) == 4 or entry.shape == ())


def _some(names: Collection[str]) -> str:
    few = sorted(names)[:_NAMED]
    return f"{', '.join(few)}{', ...' if len(names) > len(few) else ''}"
