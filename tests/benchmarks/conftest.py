"""A tiny random model for the benchmarks' own tests; its vocabulary is larger than its tokenizer's, as in the CUDA benchmark."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig

from benchmarks.random_model import random_bench
from benchmarks.workload import Bench

N_LAYERS = 5


@pytest.fixture(scope="session")
def tiny() -> Bench:
    """A 5-block Llama, float32, held by a worker."""
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        tie_word_embeddings=False,
    )
    return random_bench(config, "float32", torch.device("cpu"))
