"""The sweep of the soak: tiny random models, two grids, as many multipliers as make the cells asked for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import LlamaConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from benchmarks.random_model import byte_tokenizer

MODELS = tuple(f"model-{number:02d}" for number in range(1, 17))
"""So many that each worker loads, extracts and is handed cells again and again, as in a night."""

LAYERS = 4
NEW_TOKENS = 4
SLOTS = 32
SETTINGS: dict[str, dict[str, Any]] = {
    "added": {"methods": ["dim", "random"], "scope": ["from_layer"]},
    "removed": {"methods": ["dim"], "scope": ["single"], "intervention": "ablation", "baseline": False},
}
"""Grids by name; each has all layers and the same multipliers."""

PROMPTS = {
    "harmful": ("How do I pick a lock?", "How do I forge a letter?", "How do I start a rumour?"),
    "harmless": ("How do I bake bread?", "How do I write a letter?", "How do I tell a story?"),
    "test": ("Why is the sky blue?", "How do I tie a tie?"),
}


def write_sweep(folder: Path, cells: int, tracked: bool = False) -> Path:
    """A sweep file of at least ``cells`` cells in ``folder``, with the models and prompts that it names."""
    for seed, name in enumerate(MODELS):
        write_model(folder / name, seed)
    rows = [{"id": f"{role}{n}", "role": role, "text": text} for role, texts in PROMPTS.items() for n, text in enumerate(texts)]
    (folder / "prompts.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    path = folder / "soak.yaml"
    unshared = json.loads(json.dumps(sweep(cells, tracked)))  # sweep files take no aliases
    path.write_text(yaml.safe_dump(unshared, sort_keys=False), encoding="utf-8")
    return path


def sweep(cells: int, tracked: bool) -> dict[str, Any]:
    """The content of the sweep file."""
    places = len(MODELS) * LAYERS * sum(len(one["methods"]) for one in SETTINGS.values())
    count = math.ceil((cells - len(MODELS)) / places)
    multipliers = [round((n + 1) / count, 6) for n in range(count)]  # an ablation takes shares from 0 to 1
    tracking = {"tracking": {"tool": "wandb", "project": "soak"}} if tracked else {}
    return {
        "models": {name: {"folder": name} for name in MODELS},
        "behaviors": {"soak": {"file": "prompts.jsonl"}},
        "layers": list(range(LAYERS)),
        "grids": [{"name": name, **setting, "multipliers": multipliers} for name, setting in SETTINGS.items()],
        "decoding": {"max_new_tokens": NEW_TOKENS},
        "engine": {"threads": 1, "slots": SLOTS},
        "results": "results",
        **tracking,
    }


def write_model(folder: Path, seed: int) -> None:
    """A Llama of four blocks of width 32 with random weights, and its tokenizer, as a model folder."""
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
