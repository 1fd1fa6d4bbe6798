"""Tiny random models of every family, built from configs: no network, no hub, a few milliseconds each."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Phi3Config,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3MoeConfig,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

SPECIAL = ["<pad>", "<s>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
VOCABULARY = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
CHAT_TEMPLATE = (
    "<s>{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
COMMON: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,  # tied random embeddings answer with the last token again, whatever is steered
}
GPT: dict[str, Any] = {
    key: COMMON[key]
    for key in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id", "initializer_range", "tie_word_embeddings")
}

CONFIGS: dict[str, Any] = {
    "llama": LlamaConfig(**COMMON),
    "llama_rope": LlamaConfig(
        **COMMON,
        rope_theta=500000.0,
        rope_scaling={
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256,
        },
    ),
    "llama_calm": LlamaConfig(**{**COMMON, "initializer_range": 0.05}),
    "qwen2": Qwen2Config(**COMMON),
    "qwen3": Qwen3Config(**COMMON, head_dim=16),
    "mistral": MistralConfig(**COMMON, sliding_window=8, head_dim=16),
    "gemma2": Gemma2Config(**COMMON, sliding_window=8, head_dim=16, query_pre_attn_scalar=16),
    "gemma3": Gemma3TextConfig(**COMMON, sliding_window=8, head_dim=16, query_pre_attn_scalar=16, layer_types=None),
    "phi3": Phi3Config(**COMMON, sliding_window=None),
    "gpt2": GPT2Config(**GPT, n_embd=64, n_layer=5, n_head=4, n_positions=512),
    "gpt_neox": GPTNeoXConfig(**{k: v for k, v in COMMON.items() if k != "num_key_value_heads"}),
    "mixtral": MixtralConfig(**COMMON, num_local_experts=4, num_experts_per_tok=2, sliding_window=None, head_dim=16),
    "qwen3_moe": Qwen3MoeConfig(**COMMON, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64, head_dim=16),
    "qwen3_5": Qwen3_5TextConfig(
        **{**COMMON, "initializer_range": 0.1},
        head_dim=16,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=16,
        linear_value_head_dim=16,
    ),
}
"""By the family's short name (``llama_calm``: no activation passes INT8's outlier threshold). Sliding
windows are shorter than the prompts, so that they matter. ``qwen3_5`` has linear attention in four of five blocks."""


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with a chat template; one token per byte."""
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(VOCABULARY)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="<|end|>",
        pad_token="<pad>",
        chat_template=CHAT_TEMPLATE,
    )


def tiny_model(family: str, seed: int = 0) -> Any:
    """A random float32 model in evaluation mode, with a config of its own, which tests may change."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(deepcopy(CONFIGS[family])).eval()


def tiny_folder(family: str, folder: Path, seed: int = 0) -> Path:
    """The same, saved with its tokenizer as a model folder."""
    tiny_model(family, seed).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
