"""The catalogue of model families: one line for each Hugging Face ``model_type`` of which something must be known beforehand.

No torch: the loader and the planner read the same line. A type that is not listed is loaded by its structure when that is
unambiguous, and planned as a Llama; what it computes is measured when it is loaded, listed or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

MaskForm = Literal["tensor", "by_layer_type"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """What is known of one ``model_type``.

    ``called``: the family that a sweep's multipliers may name; empty: the type's own name. ``blocks``, ``final_norm``: module
    paths inside the causal-LM module; ``blocks`` empty: both are found by structure. ``masks``: one 4-D mask for all blocks, or
    one per ``layer_types`` entry.

    For the count of parameters, where the config does not say: ``tied``: one matrix is the input and the output embedding;
    ``gated``: a feed-forward block has three matrices, not two; ``hybrid``: a gated delta net in all but every fourth block, and
    a gate on the output of full attention.

    For the check of a LoRA before anything is loaded: the names of the linear layers within a block that read from the residual
    stream and of those that write to it; others are not looked at.
    """

    called: str = ""
    blocks: str = "model.layers"
    final_norm: str | None = "model.norm"
    masks: MaskForm = "tensor"
    tied: bool = False
    gated: bool = True
    hybrid: bool = False
    reads: frozenset[str] = frozenset({"q_proj", "k_proj", "v_proj", "qkv_proj", "gate_proj", "up_proj", "gate_up_proj"})
    writes: frozenset[str] = frozenset({"o_proj", "down_proj"})


UNLISTED = Family(blocks="", final_norm=None)
"""A ``model_type`` of which nothing is known beforehand."""

_LLAMA = Family(called="llama")
_QWEN = Family(called="qwen", masks="by_layer_type")
_QWEN_HYBRID = replace(_QWEN, hybrid=True)
_GEMMA = Family(called="gemma", masks="by_layer_type", tied=True)
_MISTRAL = Family(called="mistral")
_FUSED = Family(gated=False, reads=frozenset({"query_key_value", "dense_h_to_4h"}), writes=frozenset({"dense", "dense_4h_to_h"}))
_GPT2 = Family(gated=False, tied=True, reads=frozenset({"c_attn", "c_fc"}), writes=frozenset({"c_proj"}))
_OPT = Family(gated=False, reads=frozenset({"q_proj", "k_proj", "v_proj", "fc1"}), writes=frozenset({"out_proj", "fc2"}))
_MPT = Family(gated=False, tied=True, reads=frozenset({"Wqkv", "up_proj"}), writes=frozenset({"out_proj", "down_proj"}))

FAMILIES: Mapping[str, Family] = {
    "llama": _LLAMA,
    "mistral": _MISTRAL,
    "mixtral": _MISTRAL,
    "phi": replace(_OPT, blocks="", writes=frozenset({"dense", "fc2"})),
    "phi3": Family(called="phi"),
    "granite": Family(),
    "olmo2": Family(),
    "qwen2": _QWEN,
    "qwen2_moe": replace(_QWEN, blocks=""),
    "qwen3": _QWEN,
    "qwen3_moe": replace(_QWEN, masks="tensor"),
    "qwen3_next": replace(_QWEN_HYBRID, called="", blocks=""),
    "qwen3_5": _QWEN_HYBRID,
    "qwen3_5_text": _QWEN_HYBRID,
    "qwen3_5_moe": _QWEN_HYBRID,
    "qwen3_5_moe_text": _QWEN_HYBRID,
    "gemma": replace(_GEMMA, masks="tensor"),
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "gemma3": replace(_GEMMA, blocks="model.language_model.layers", final_norm="model.language_model.norm"),
    "gpt2": replace(_GPT2, blocks="transformer.h", final_norm="transformer.ln_f"),
    "gpt_neox": replace(_FUSED, blocks="gpt_neox.layers", final_norm="gpt_neox.final_layer_norm"),
    "bloom": replace(_FUSED, blocks="transformer.h", final_norm="transformer.ln_f", tied=True),
    "mpt": replace(_MPT, blocks="transformer.blocks", final_norm=None),
    "opt": replace(_OPT, blocks="model.decoder.layers", final_norm="model.decoder.final_layer_norm", tied=True),
}

BLOCK_LISTS = frozenset(family.blocks.rpartition(".")[2] for family in FAMILIES.values() if family.blocks)
"""The names that lists of blocks have in the families of the catalogue: ``layers``, ``h``, ``blocks``."""


def family_of(model_type: str) -> Family:
    """The line of the catalogue for a ``model_type``; :data:`UNLISTED` where it has none."""
    return FAMILIES.get(model_type, UNLISTED)
