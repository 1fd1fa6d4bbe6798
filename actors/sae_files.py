"""Features of sparse autoencoders as directions, from weights as SAELens and Gemma Scope store them: rows of ``W_dec``.

Beside the weights SAELens has a ``cfg.json`` that names the activation (``hook_name``): ``blocks.12.hook_resid_post`` is the
output of block 12, ``blocks.12.hook_resid_pre`` its input, which is the output of block 11.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from actors.errors import JobError
from actors.types import FloatArray

DECODER = "W_dec"
CONFIG = "cfg.json"
LARGEST = 2**20
"""Bytes of a ``cfg.json``."""
_HOOK = re.compile(r"blocks\.(\d{1,4})\.hook_(\w+)")
_NEAR = {"resid_post": 0, "resid_pre": -1}


def feature_of(
    arrays: Mapping[object, Any], path: Path, feature: int | None, layer: int | None
) -> tuple[dict[int, FloatArray], dict[str, str]]:
    """The row ``feature`` of ``W_dec`` ``[features, d]``, at the block whose output the autoencoder reads (``layer``, or as its
    ``cfg.json`` says), and what is told of it. ``JobError`` for what is missing or out of range."""
    if DECODER not in arrays:
        raise JobError(f"has no {DECODER}, of whose rows 'feature' takes one; allowed: weights as SAELens stores them")
    decoder = arrays[DECODER]
    shape = list(decoder.shape)
    if feature is None or len(shape) != 2 or feature >= shape[0]:
        said = "no feature is named" if feature is None else f"there is no feature {feature}"
        raise JobError(f"{said}: {DECODER} is {shape}; allowed: feature: 0 to {shape[0] - 1}")
    hook = _hook(path.parent / CONFIG)
    place = _layer_of(hook) if layer is None else layer
    row = np.asarray(decoder[feature], np.float32)
    return {place: row}, {"feature": str(feature), **({"hook_name": hook} if hook else {})}


def _hook(config: Path) -> str:
    """The activation that an autoencoder is of, by TransformerLens's name; empty where that is not said."""
    if not config.is_file() or config.stat().st_size > LARGEST:
        return ""
    with config.open(encoding="utf-8") as file:
        told = json.load(file)
    told = told if isinstance(told, dict) else {}
    beside = told.get("metadata")
    found = told.get("hook_name") or (beside.get("hook_name") if isinstance(beside, dict) else None) or told.get("hook_point")
    return str(found or "")[:200]


def _layer_of(hook: str) -> int:
    named = _HOOK.fullmatch(hook)
    if named is None or named[2] not in _NEAR:
        said = f"is of {hook}" if hook else f"has no {CONFIG} beside it that says which activation it is of"
        raise JobError(f"{said}; allowed: layer: 12, the block whose output it reads, or blocks.12.hook_resid_post in {CONFIG}")
    layer = int(named[1]) + _NEAR[named[2]]
    if layer < 0:
        raise JobError(f"is of {hook}, the embeddings, which are no block's output")
    return layer
