"""The blocks of a decoder that is not listed are found by its structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn
from transformers import StableLmConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.errors import UnsupportedModelError
from actors.families import decoder_of
from actors.types import CellResult, Decoding, EngineOptions, GenerationJob, ModelSpec, Prompt, Steering
from actors.worker import ModelWorker
from tests.architectures import tiny_architecture
from tests.tiny import COMMON, tiny_tokenizer


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


def test_a_listed_model_without_a_final_norm(tmp_path: Path) -> None:
    """OPT-350m has none: what the last block puts out is projected to the width of the embedding."""
    tiny_architecture("opt_projected").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    worker = ModelWorker()
    worker.load(ModelSpec("folder", str(tmp_path)), EngineOptions())
    prompts, steering = (Prompt("P0", "Hi"),), Steering((3,), np.eye(1, 64, dtype=np.float32), 9.0)
    (result,) = worker.generate([GenerationJob("cell", prompts, Decoding(4), steering)])
    assert isinstance(result, CellResult), result
    assert result.fired.fired
