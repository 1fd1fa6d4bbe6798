"""Where the residual stream is read, found in families of every build: against names written down, and COSMIC's plain form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BloomConfig,
    CohereConfig,
    DogeConfig,
    FalconConfig,
    Glm4Config,
    GPTJConfig,
    GPTNeoXJapaneseConfig,
    GraniteConfig,
    GraniteMoeSharedConfig,
    MiniMaxConfig,
    OPTConfig,
    PhiConfig,
    StableLmConfig,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.engine.residual import places_of
from actors.errors import UnsupportedModelError
from actors.families import decoder_of
from actors.types import EngineOptions, ModelSpec
from actors.worker import ModelWorker
from tests.actors.engine.test_probe import check_cosmic
from tests.tiny import COMMON, CONFIGS, GPT, tiny_tokenizer

SIZES: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 5, "num_attention_heads": 4}
MULTI_HEAD = {key: value for key, value in COMMON.items() if key != "num_key_value_heads"}
BUILDS: dict[str, tuple[Any, set[str]]] = {
    "one after the other": (CONFIGS["llama"], {"self_attn", "mlp"}),
    "norms behind": (CONFIGS["gemma2"], {"post_attention_layernorm", "post_feedforward_layernorm"}),
    "norms of glm4": (Glm4Config(**COMMON, head_dim=16), {"post_self_attn_layernorm", "post_mlp_layernorm"}),
    "side by side": (CohereConfig(**COMMON, logit_scale=0.25), {"self_attn", "mlp"}),
    "side by side, one dropout": (PhiConfig(**COMMON), {"resid_dropout"}),
    "side by side, dropout of the mlp": (StableLmConfig(**COMMON), {"self_attn", "dropout"}),
    "scaled": (GraniteConfig(**COMMON, residual_multiplier=0.22, logits_scaling=8.0), {"self_attn", "mlp"}),
    "tokens of all rows in a line": (
        OPTConfig(**{**GPT, "init_std": 0.3}, **SIZES, ffn_dim=128, max_position_embeddings=512, word_embed_proj_dim=64),
        {"self_attn", "fc2"},
    ),
    "two experts": (
        GraniteMoeSharedConfig(**COMMON, num_local_experts=4, num_experts_per_tok=2, shared_intermediate_size=64),
        {"self_attn", "block_sparse_moe", "shared_mlp"},
    ),
    "linear attention": (CONFIGS["qwen3_5"], {"self_attn", "linear_attn", "mlp"}),
    "the stream handed into the parts": (BloomConfig(**GPT, hidden_size=64, n_layer=5, n_head=4), {"dense", "dense_4h_to_h"}),
    "added in place": (FalconConfig(**GPT, **SIZES, alibi=False), {"self_attention", "mlp"}),
    "outputs in a tuple": (GPTJConfig(**GPT, n_embd=64, n_layer=5, n_head=4, n_positions=512, rotary_dim=8), {"attn", "mlp"}),
}
RUN = ["norms of glm4", "side by side", "side by side, one dropout", "scaled", "tokens of all rows in a line", "two experts"]
LAYER_TYPES = ["linear_attention", "full_attention"] * 2 + ["linear_attention"]
MINIMAX = {"head_dim": 16, "num_local_experts": 2, "num_experts_per_tok": 1, "block_size": 8, "layer_types": LAYER_TYPES}
READ: dict[str, tuple[Any, set[str], set[bool]]] = {
    "weighed number by number": (DogeConfig(**COMMON), {"post_attention_layernorm"}, {True}),
    "goes on with a norm": (MiniMaxConfig(**COMMON, **MINIMAX), {"post_attention_layernorm"}, {True}),
    "a bias in all blocks but the last": (
        GPTNeoXJapaneseConfig(**MULTI_HEAD),
        {"post_attention_layernorm", "attention", "mlp"},
        {True, False},
    ),
}


def model_of(config: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def names(model: Any) -> tuple[set[str], set[bool]]:
    """Last part of the name of every place, and whether it is one that reads."""
    decoder = decoder_of(model)
    found = places_of(model, decoder, [3, 10, 20, 30])
    assert len(found) == decoder.n_layers
    assert all(found)
    places = {place for block in found for place in block}
    of = {module: name.rpartition(".")[2] for name, module in model.named_modules()}
    return {of[place.module] for place in places}, {place.reads for place in places}


@pytest.mark.parametrize("build", BUILDS)
def test_what_is_added_is_found_in_every_build(build: str) -> None:
    config, expected = BUILDS[build]
    assert names(model_of(config)) == (expected, {False})


@pytest.mark.parametrize("build", READ)
def test_where_more_is_done_than_adding_the_readers_are_found(build: str) -> None:
    config, *expected = READ[build]
    assert names(model_of(config)) == tuple(expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_hides_nothing(dtype: torch.dtype) -> None:
    """Followed by operations, not by numbers: in 16 bits a sum of numbers would show nothing."""
    assert names(model_of(CONFIGS["llama"]).to(dtype)) == ({"self_attn", "mlp"}, {False})


@pytest.mark.parametrize("build", RUN)
def test_linear_ablation_runs_and_equals_the_plain_one(build: str, tmp_path: Path) -> None:
    model_of(BUILDS[build][0]).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    worker = ModelWorker()
    worker.load(ModelSpec("folder", str(tmp_path)), EngineOptions())
    check_cosmic(worker, "linear")


def test_a_block_that_ends_in_a_norm_is_refused_and_nothing_stays_on_the_model() -> None:
    model = model_of(CONFIGS["llama"])
    for block in model.model.layers:
        block.register_forward_hook(lambda _block, _args, output: nn.functional.layer_norm(output, output.shape[-1:]))
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    with pytest.raises(UnsupportedModelError, match="block 0: its output is not its input with"):
        places_of(model, decoder_of(model), [3, 10, 20])
    assert [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()] == hooks
