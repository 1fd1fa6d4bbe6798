"""Tiny random models of every decoder that transformers can build: what ``benchmarks.architectures`` and the tests try.

``SPECIAL`` holds what a family needs beyond the common sizes. Every other ``model_type`` of transformers' list of causal language
models is shrunk by what its config knows (:func:`tiny_config`).
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, AutoModelForCausalLM

from tests.tiny import COMMON, GPT

BASE: dict[str, Any] = {**COMMON, "num_hidden_layers": 4}
V = BASE["vocab_size"]
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
ROUTED = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_shared_experts": 1}
DENSE_FIRST = {**ROUTED, "first_k_dense_replace": 1}
LOCAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
LATENT = {"num_key_value_heads": 4, "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12}
ONE_GROUP = {"n_group": 1, "topk_group": 1}
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16}
ALTERNATING = ["linear_attention", "full_attention"] * 2
SLIDING = ["sliding_attention", "full_attention"] * 2
GPT_SIZES = {**GPT, "n_embd": 64, "n_layer": 4, "n_head": 4}
FALCON = {**GPT, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4}
OPT = {**GPT, "init_std": 0.3, "hidden_size": 64, "ffn_dim": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
SEQ2SEQ = {
    **{key: value for key, value in GPT.items() if key != "initializer_range"},
    **{"init_std": 0.3, "d_model": 64, "encoder_layers": 2, "decoder_layers": 4, "encoder_attention_heads": 4},
    **{"decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "max_position_embeddings": 512},
}
GEMMA3N = {"hidden_size_per_layer_input": 16, "vocab_size_per_layer_input": V, "altup_num_inputs": 2, "laurel_rank": 8}
MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 1}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 10000.0}
LONGROPE = {"rope_type": "longrope", "short_factor": [1.0 + i / 10 for i in range(8)], "long_factor": [2.0 + i for i in range(8)]}
SHARED_KEYS = {
    "hidden_size_per_layer_input": 16,
    "vocab_size_per_layer_input": V,
    "num_kv_shared_layers": 2,
    "layer_types": SLIDING,
}

SPECIAL: dict[str, tuple[str, dict[str, Any]]] = {
    "opt": ("OPTConfig", {**OPT, "max_position_embeddings": 512, "word_embed_proj_dim": 64}),
    "opt_projected": (
        "OPTConfig",
        {**OPT, "max_position_embeddings": 512, "word_embed_proj_dim": 32, "do_layer_norm_before": False},
    ),
    "bloom": ("BloomConfig", {**GPT, "hidden_size": 64, "n_layer": 4, "n_head": 4}),
    "falcon_alibi": ("FalconConfig", {**FALCON, "alibi": True, "new_decoder_architecture": False, "bias": True}),
    "falcon": ("FalconConfig", {**FALCON, "alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon_multi_query": ("FalconConfig", {**FALCON, "alibi": False, "multi_query": True}),
    "mpt": ("MptConfig", {**GPT, "d_model": 64, "n_layers": 4, "n_heads": 4, "max_seq_len": 512}),
    "gptj": ("GPTJConfig", {**GPT_SIZES, "n_positions": 512, "rotary_dim": 8}),
    "gpt_neo": (
        "GPTNeoConfig",
        {
            **{**GPT, "hidden_size": 64, "num_layers": 4, "num_heads": 4, "window_size": 8, "max_position_embeddings": 512},
            "attention_types": [[["global", "local"], 2]],
        },
    ),
    "gpt_neox": ("GPTNeoXConfig", {"num_key_value_heads": None}),
    "gpt_neox_japanese": ("GPTNeoXJapaneseConfig", {"num_key_value_heads": None}),
    "gpt_bigcode": ("GPTBigCodeConfig", {**GPT_SIZES, "n_positions": 512, "multi_query": True}),
    "gpt2": ("GPT2Config", {**GPT_SIZES, "n_positions": 512}),
    "openai-gpt": ("OpenAIGPTConfig", {**GPT_SIZES, "n_positions": 512}),
    "ctrl": ("CTRLConfig", {**GPT_SIZES, "n_positions": 512, "dff": 128}),
    "codegen": ("CodeGenConfig", {**GPT_SIZES, "n_positions": 512, "rotary_dim": 8}),
    "cohere": ("CohereConfig", {"logit_scale": 0.25}),
    "cohere2": ("Cohere2Config", {"logit_scale": 0.25, "sliding_window": 8, "head_dim": 16}),
    "granite": (
        "GraniteConfig",
        {"residual_multiplier": 0.22, "logits_scaling": 8.0, "embedding_multiplier": 12.0, "attention_multiplier": 0.1},
    ),
    "granitemoe": ("GraniteMoeConfig", LOCAL),
    "granitemoeshared": ("GraniteMoeSharedConfig", {**LOCAL, "shared_intermediate_size": 64}),
    "granitemoehybrid": (
        "GraniteMoeHybridConfig",
        {
            **{**LOCAL, **MAMBA2, "shared_intermediate_size": 64, "position_embedding_type": "rope"},
            "layer_types": ["mamba", "attention"] * 2,
        },
    ),
    "olmo": ("OlmoConfig", {"clip_qkv": 0.5}),
    "olmo_hybrid": ("OlmoHybridConfig", {**LINEAR, "layer_types": ALTERNATING}),
    "deepseek_v2": ("DeepseekV2Config", {**LATENT, **DENSE_FIRST, **ONE_GROUP, "q_lora_rank": None, "head_dim": 8}),
    "deepseek_v3": ("DeepseekV3Config", {**LATENT, **DENSE_FIRST, **ONE_GROUP, "q_lora_rank": 16}),
    "glm4_moe": ("Glm4MoeConfig", {**DENSE_FIRST, "head_dim": 16}),
    "glm4_moe_lite": ("Glm4MoeLiteConfig", {**LATENT, **ROUTED, "q_lora_rank": 16}),
    "dots1": (
        "Dots1Config",
        {**DENSE_FIRST, "head_dim": 16, "sliding_window": 8, "layer_types": SLIDING, "max_window_layers": 2},
    ),
    "solar_open": ("SolarOpenConfig", {**ROUTED, "n_shared_experts": None, "head_dim": 16}),
    "qwen2_moe": ("Qwen2MoeConfig", {**MOE, "shared_expert_intermediate_size": 32}),
    "qwen2_sliding": ("Qwen2Config", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2}),
    "qwen2_yarn": ("Qwen2Config", {"rope_parameters": YARN}),
    "qwen3_next": (
        "Qwen3NextConfig",
        {**MOE, **LINEAR, "head_dim": 16, "shared_expert_intermediate_size": 32, "initializer_range": 0.1},
    ),
    "smollm3": ("SmolLM3Config", {"no_rope_layer_interval": 2}),
    "exaone4": ("Exaone4Config", {"sliding_window": 8, "sliding_window_pattern": 2}),
    "gpt_oss": ("GptOssConfig", {**LOCAL, "head_dim": 16, "sliding_window": 8}),
    "granite_swa": ("GraniteSWAConfig", {"sliding_window": 8, "head_dim": 16}),
    "llama4_text": (
        "Llama4TextConfig",
        {
            **{"head_dim": 16, "intermediate_size_mlp": 128, "num_local_experts": 2, "num_experts_per_tok": 1},
            **{"attention_chunk_size": 16, "moe_layers": []},
        },
    ),
    "lfm2": ("Lfm2Config", {"layer_types": ["conv", "full_attention"] * 2}),
    "lfm2_moe": ("Lfm2MoeConfig", {**MOE, "layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1}),
    "bamba": ("BambaConfig", {**MAMBA2, "attn_layer_indices": [1, 3]}),
    "mamba": ("MambaConfig", {**GPT, "hidden_size": 64, "num_hidden_layers": 4, "state_size": 8}),
    "falcon_mamba": ("FalconMambaConfig", {**GPT, "hidden_size": 64, "num_hidden_layers": 4, "state_size": 8}),
    "mamba2": ("Mamba2Config", {**FALCON, "num_heads": 8, "head_dim": 16, "state_size": 16, "n_groups": 1, "chunk_size": 8}),
    "falcon_h1": ("FalconH1Config", {**MAMBA2, "mamba_d_ssm": 64, "mamba_n_heads": 4}),
    "jamba": (
        "JambaConfig",
        {
            **{"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 4, "expert_layer_offset": 3},
            **{"num_experts": 2, "mamba_d_state": 8, "use_mamba_kernels": False},
        },
    ),
    "nemotron_h": (
        "NemotronHConfig",
        {
            **{"mamba_num_heads": 8, "mamba_head_dim": 16, "ssm_state_size": 16, "n_groups": 1, "head_dim": 16},
            "layers_block_type": ["mamba", "attention", "mlp", "attention"],
        },
    ),
    "recurrent_gemma": (
        "RecurrentGemmaConfig",
        {"head_dim": 16, "lru_width": 64, "attention_window_size": 8, "block_types": ["recurrent", "attention"]},
    ),
    "rwkv": (
        "RwkvConfig",
        {**GPT, "hidden_size": 64, "num_hidden_layers": 4, "attention_hidden_size": 64, "context_length": 512},
    ),
    "gemma3_text": (
        "Gemma3TextConfig",
        {"sliding_window": 8, "head_dim": 16, "query_pre_attn_scalar": 16, "layer_types": SLIDING},
    ),
    "gemma3n_text": (
        "Gemma3nTextConfig",
        {
            **{**GEMMA3N, "head_dim": 16, "sliding_window": 8, "num_kv_shared_layers": 2, "layer_types": SLIDING},
            **{"activation_sparsity_pattern": [0.0] * 4, "intermediate_size": [128] * 4},
        },
    ),
    "gemma4_text": ("Gemma4TextConfig", {**SHARED_KEYS, "head_dim": 16, "global_head_dim": 16, "sliding_window": 8}),
    "gemma4_two_widths": (
        "Gemma4TextConfig",
        {"head_dim": 16, "global_head_dim": 32, "sliding_window": 8, "layer_types": SLIDING, "hidden_size_per_layer_input": 0},
    ),
    "minimax": ("MiniMaxConfig", {**LOCAL, "head_dim": 16, "block_size": 8, "layer_types": ALTERNATING}),
    "hunyuan_v1_moe": ("HunYuanMoEV1Config", {"head_dim": 16, "num_experts": 4, "moe_topk": [2] * 4}),
    "ernie4_5_moe": ("Ernie4_5_MoeConfig", {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 32, "head_dim": 16}),
    "jetmoe": ("JetMoeConfig", {**LOCAL, "kv_channels": 16}),
    "persimmon": ("PersimmonConfig", {"num_key_value_heads": 4}),
    "modernbert-decoder": ("ModernBertDecoderConfig", {"local_attention": 16}),
    "xglm": ("XGLMConfig", {**SEQ2SEQ, "ffn_dim": 128, "num_layers": 4, "attention_heads": 4}),
    "bart": ("BartConfig", SEQ2SEQ),
    "biogpt": ("BioGptConfig", {}),
    "phi3_longrope": (
        "Phi3Config",
        {"sliding_window": None, "original_max_position_embeddings": 64, "rope_parameters": {**LONGROPE, "rope_theta": 10000.0}},
    ),
    "llama_dynamic": ("LlamaConfig", {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}}),
    "llama_linear": ("LlamaConfig", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}),
    "dbrx": (
        "DbrxConfig",
        {
            **{**GPT, "d_model": 64, "n_heads": 4, "n_layers": 4, "max_seq_len": 512, "initializer_range": 0.3},
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
            "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
        },
    ),
}
"""Config class and what it is given on top of ``BASE``, or in place of it where ``vocab_size`` is among it."""

SHRUNK: dict[str, Any] = {
    **{**MOE, **ROUTED, **LOCAL, **LATENT, **ONE_GROUP, **LINEAR, **MAMBA2, "num_key_value_heads": 2},
    **{"first_k_dense_replace": 1, "q_lora_rank": 16, "head_dim": 16, "sliding_window": 8, "num_shared_experts": 1},
    **{"shared_intermediate_size": 64, "shared_expert_intermediate_size": 32, "query_pre_attn_scalar": 16},
    **{"moe_num_experts": 4, "moe_topk": 2, "moe_k": 2, "index_n_heads": 2, "index_head_dim": 16, "index_topk": 8},
    **{"is_decoder": True, "ffn_dim": 128, "decoder_ffn_dim": 128, "encoder_ffn_dim": 128, "d_model": 64, "decoder_layers": 4},
    **{"decoder_attention_heads": 4, "encoder_attention_heads": 4, "encoder_layers": 2, "embedding_size": 64, "init_std": 0.3},
}
LARGEST = 20_000_000


def names() -> list[str]:
    """Every entry: the special ones, and the model types that transformers lists as causal language models."""
    return sorted({*SPECIAL, *MODEL_FOR_CAUSAL_LM_MAPPING_NAMES})


def tiny_config(name: str) -> PreTrainedConfig:
    """The config of one entry; raises whatever the config's own class raises when it cannot be so small."""
    if name in SPECIAL:
        kind, given = SPECIAL[name]
        common = {} if "vocab_size" in given else BASE
        wanted = {**common, **given}
        config: PreTrainedConfig = getattr(transformers, kind)(
            **{k: v for k, v in wanted.items() if not (v is None and k in BASE)}
        )
        return config
    made = CONFIG_MAPPING[name]
    known = made()
    shrunk = {key: value for key, value in SHRUNK.items() if getattr(known, key, None) is not None}
    if getattr(known, "layer_types", None) is not None:
        shrunk["layer_types"] = list(known.layer_types[:2]) + list(known.layer_types[-2:])
    if "qk_rope_head_dim" in shrunk:
        shrunk |= {"head_dim": LATENT["qk_rope_head_dim"], "num_key_value_heads": 4}
    fitting: PreTrainedConfig = made(**{**BASE, **shrunk})
    return fitting


def tiny_architecture(name: str, seed: int = 0) -> Any:
    """A random float32 model of one entry; ``ValueError`` where its sizes could not be told to shrink."""
    config = tiny_config(name)
    with torch.device("meta"):
        size = sum(one.numel() for one in AutoModelForCausalLM.from_config(config).parameters())
    if size > LARGEST:
        raise ValueError(f"{size:,} parameters: its config shrinks in other words")
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config).eval().float()
