"""The blocks of a decoder that is not listed are found by its structure."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn
from transformers import StableLmConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.errors import UnsupportedModelError
from actors.families import decoder_of
from tests.tiny import COMMON


def stablelm(**changes: Any) -> Any:
    return AutoModelForCausalLM.from_config(StableLmConfig(**{**COMMON, "num_hidden_layers": 4, **changes}))


@pytest.mark.parametrize("heads", [4, 2])
def test_a_list_of_norms_within_a_block_is_no_list_of_blocks(heads: int) -> None:
    """StableLM with a norm per head, as many as it has blocks."""
    model = stablelm(qk_layernorm=True, num_attention_heads=heads)
    decoder = decoder_of(model)
    assert decoder.blocks_path == "model.layers"
    assert decoder.blocks == tuple(model.model.layers)
    assert decoder.final_norm is model.model.norm


def test_two_lists_side_by_side_stay_ambiguous() -> None:
    model = stablelm()
    model.model.others = nn.ModuleList(nn.Identity() for _ in range(4))
    with pytest.raises(UnsupportedModelError, match=r"2 lists of 4 blocks \(model.layers, model.others\)"):
        decoder_of(model)
