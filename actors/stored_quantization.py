"""What quantization a checkpoint is stored in, from its config.json; and whether it can be run under the name that is asked for.

A checkpoint that is stored quantized stays so, whatever is asked: it runs as what it is, or not at all. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from actors.errors import ModelLoadError
from actors.types import Quantization

DEQUANTIZED = frozenset({"mxfp4"})
"""Stored forms that are run as ``none``: their weights are unpacked into the model's dtype when they are loaded."""


def stored_quantization(config: Mapping[str, object]) -> str | None:
    """The name of the form that a checkpoint's weights are stored in: one of ``ModelSpec.quantization`` where bitsandbytes made
    it, else the method's own name (gptq, awq, fp8, ...); None when they are not quantized."""
    found = quantization_config(config)
    if found is None:
        return None
    method = str(found.get("quant_method") or "bitsandbytes").lower()
    if method.startswith("bitsandbytes"):
        return _bitsandbytes(found)
    return method


def quantization_config(config: Mapping[str, object]) -> Mapping[str, object] | None:
    """The ``quantization_config`` of a config.json, of its text part where only that has one."""
    text = config.get("text_config")
    for part in (config, text if isinstance(text, Mapping) else {}):
        found = part.get("quantization_config") or part.get("compression_config")
        if found:
            return found if isinstance(found, Mapping) else {"quant_method": str(found)}
    return None


def check_quantization(config: Mapping[str, object], asked: str, adapter: bool) -> None:
    """``ModelLoadError`` unless a checkpoint with this config can be run as ``asked``, with an adapter where there is one."""
    stored = stored_quantization(config)
    if stored is None:
        return
    if adapter:
        raise ModelLoadError(
            f"the base model is stored in {stored}, and an adapter can only be merged into weights that are not quantized: "
            "name the unquantized base, and what it is to be run in under quantizations"
        )
    can = "none" if stored in DEQUANTIZED else stored
    if asked != can:
        ask = f"ask for {can}" if can in get_args(Quantization) else "no quantization here stands for it"
        raise ModelLoadError(
            f"the model is stored in {stored}, so it cannot be run as {asked!r}: {ask}, or take its unquantized form"
        )


def _bitsandbytes(found: Mapping[str, object]) -> str:
    if found.get("load_in_4bit") or found.get("_load_in_4bit"):
        kind = str(found.get("bnb_4bit_quant_type") or "fp4")
        return f"{kind}-double" if found.get("bnb_4bit_use_double_quant") else kind
    return "int8"
