"""The sizes of well-known instruction models, as their config.json gives them, so that a sweep can be planned offline.

Used where the hub's own config.json is not in the cache; where it is, the two must agree on layers and width
(``orchestrator.models.files.shape_of``). The tests hold every entry to the parameter count that its makers publish.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeAlias

Config: TypeAlias = Mapping[str, object]

_KEYS = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "vocab_size",
)


def _config(model_type: str, sizes: tuple[int, ...], tied: bool, **more: object) -> Config:
    """``sizes`` in the order of ``_KEYS``."""
    return {"model_type": model_type, **dict(zip(_KEYS, sizes, strict=True)), "tie_word_embeddings": tied, **more}


_QWEN2_5: dict[str, Config] = {
    "0.5B": _config("qwen2", (24, 896, 14, 2, 64, 4864, 151936), True),
    "1.5B": _config("qwen2", (28, 1536, 12, 2, 128, 8960, 151936), True),
    "3B": _config("qwen2", (36, 2048, 16, 2, 128, 11008, 151936), True),
    "7B": _config("qwen2", (28, 3584, 28, 4, 128, 18944, 152064), False),
    "14B": _config("qwen2", (48, 5120, 40, 8, 128, 13824, 152064), False),
    "32B": _config("qwen2", (64, 5120, 40, 8, 128, 27648, 152064), False),
    "72B": _config("qwen2", (80, 8192, 64, 8, 128, 29568, 152064), False),
}
_QWEN3: dict[str, Config] = {
    "0.6B": _config("qwen3", (28, 1024, 16, 8, 128, 3072, 151936), True),
    "1.7B": _config("qwen3", (28, 2048, 16, 8, 128, 6144, 151936), True),
    "4B": _config("qwen3", (36, 2560, 32, 8, 128, 9728, 151936), True),
    "8B": _config("qwen3", (36, 4096, 32, 8, 128, 12288, 151936), False),
    "14B": _config("qwen3", (40, 5120, 40, 8, 128, 17408, 151936), False),
    "32B": _config("qwen3", (64, 5120, 64, 8, 128, 25600, 151936), False),
}
_QWEN3_30B_A3B = _config(
    "qwen3_moe",
    (48, 2048, 32, 4, 128, 6144, 151936),
    False,
    num_experts=128,
    num_experts_per_tok=8,
    moe_intermediate_size=768,
    decoder_sparse_step=1,
    mlp_only_layers=[],
)
_QWEN3_5_9B = _config(
    "qwen3_5_text",
    (32, 4096, 16, 4, 256, 12288, 248320),
    False,
    full_attention_interval=4,
    linear_num_key_heads=16,
    linear_num_value_heads=32,
    linear_key_head_dim=128,
    linear_value_head_dim=128,
    linear_conv_kernel_dim=4,
)
_GEMMA2: dict[str, Config] = {
    "2b": _config("gemma2", (26, 2304, 8, 4, 256, 9216, 256000), True),
    "9b": _config("gemma2", (42, 3584, 16, 8, 256, 14336, 256000), True),
    "27b": _config("gemma2", (46, 4608, 32, 16, 128, 36864, 256000), True),
}
_GEMMA3: dict[str, Config] = {
    "270m": _config("gemma3_text", (18, 640, 4, 1, 256, 2048, 262144), True),
    "1b": _config("gemma3_text", (26, 1152, 4, 1, 256, 6912, 262144), True),
    "4b": _config("gemma3_text", (34, 2560, 8, 4, 256, 10240, 262208), True),
    "12b": _config("gemma3_text", (48, 3840, 16, 8, 256, 15360, 262208), True),
    "27b": _config("gemma3_text", (62, 5376, 32, 16, 128, 21504, 262208), True),
}
_LLAMA_8B = _config("llama", (32, 4096, 32, 8, 128, 14336, 128256), False)
_LLAMA_70B = _config("llama", (80, 8192, 64, 8, 128, 28672, 128256), False)
_MISTRAL_7B = _config("mistral", (32, 4096, 32, 8, 128, 14336, 32000), False)
_PHI3_MINI = _config("phi3", (32, 3072, 32, 32, 96, 8192, 32064), False)
_PHI3_MEDIUM = _config("phi3", (40, 5120, 40, 10, 128, 17920, 32064), False)

KNOWN: dict[str, Config] = {
    **{f"Qwen/Qwen2.5-{size}-Instruct": config for size, config in _QWEN2_5.items()},
    **{f"Qwen/Qwen3-{size}": config for size, config in _QWEN3.items()},
    "Qwen/Qwen3-30B-A3B": _QWEN3_30B_A3B,
    "Qwen/Qwen3.5-9B": _QWEN3_5_9B,
    **{f"google/gemma-2-{size}-it": config for size, config in _GEMMA2.items()},
    **{f"google/gemma-3-{size}-it": config for size, config in _GEMMA3.items()},
    "meta-llama/Llama-2-7b-chat-hf": _config("llama", (32, 4096, 32, 32, 128, 11008, 32000), False),
    "meta-llama/Llama-2-13b-chat-hf": _config("llama", (40, 5120, 40, 40, 128, 13824, 32000), False),
    "meta-llama/Meta-Llama-3-8B-Instruct": _LLAMA_8B,
    "meta-llama/Meta-Llama-3-70B-Instruct": _LLAMA_70B,
    "meta-llama/Llama-3.1-8B-Instruct": _LLAMA_8B,
    "meta-llama/Llama-3.1-70B-Instruct": _LLAMA_70B,
    "meta-llama/Llama-3.2-1B-Instruct": _config("llama", (16, 2048, 32, 8, 64, 8192, 128256), True),
    "meta-llama/Llama-3.2-3B-Instruct": _config("llama", (28, 3072, 24, 8, 128, 8192, 128256), True),
    "meta-llama/Llama-3.3-70B-Instruct": _LLAMA_70B,
    "mistralai/Mistral-7B-Instruct-v0.1": _MISTRAL_7B,
    "mistralai/Mistral-7B-Instruct-v0.2": _MISTRAL_7B,
    "mistralai/Mistral-7B-Instruct-v0.3": {**_MISTRAL_7B, "vocab_size": 32768},
    "mistralai/Mistral-Nemo-Instruct-2407": _config("mistral", (40, 5120, 32, 8, 128, 14336, 131072), False),
    "mistralai/Mixtral-8x7B-Instruct-v0.1": {
        **_MISTRAL_7B,
        "model_type": "mixtral",
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    },
    "microsoft/Phi-3-mini-4k-instruct": _PHI3_MINI,
    "microsoft/Phi-3-mini-128k-instruct": _PHI3_MINI,
    "microsoft/Phi-3.5-mini-instruct": _PHI3_MINI,
    "microsoft/Phi-3-medium-4k-instruct": _PHI3_MEDIUM,
    "microsoft/Phi-3-medium-128k-instruct": _PHI3_MEDIUM,
    "microsoft/phi-4": {**_PHI3_MEDIUM, "vocab_size": 100352},
    "HuggingFaceTB/SmolLM2-135M-Instruct": _config("llama", (30, 576, 9, 3, 64, 1536, 49152), True),
    "HuggingFaceTB/SmolLM2-360M-Instruct": _config("llama", (32, 960, 15, 5, 64, 2560, 49152), True),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": _config("llama", (24, 2048, 32, 32, 64, 8192, 49152), True),
}
"""Hub repository -> the fields of its config.json that planning reads (of a multimodal model: its text part)."""

SIMILAR = 0.85
"""Of how many letters in a hundred two names of repositories are alike where one is taken for a slip of the other."""


def nearest_repository(repo: str) -> str | None:
    """The known repository that ``repo`` is probably a slip of; None where it is known, or like none."""
    if repo in KNOWN:
        return None
    folded = {name.casefold(): name for name in KNOWN}
    close = difflib.get_close_matches(repo.casefold(), folded, n=1, cutoff=SIMILAR)
    return folded[close[0]] if close else None
