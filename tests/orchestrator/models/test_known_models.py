"""Shapes that planning knows without a hub: parameter counts against the makers' own, and against transformers' modules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from actors.types import ModelSpec
from orchestrator.errors import InputError
from orchestrator.models.files import shape_of
from orchestrator.models.known_models import KNOWN
from orchestrator.models.shapes import ModelShape, shape_from_config

# What the hub's own parameter counters and the makers' reports say, in billions; of Gemma 3 from 4b on: of its text model.
ADVERTISED = {
    "Qwen/Qwen2.5-0.5B-Instruct": 0.494,
    "Qwen/Qwen2.5-1.5B-Instruct": 1.544,
    "Qwen/Qwen2.5-3B-Instruct": 3.086,
    "Qwen/Qwen2.5-7B-Instruct": 7.616,
    "Qwen/Qwen2.5-14B-Instruct": 14.77,
    "Qwen/Qwen2.5-32B-Instruct": 32.76,
    "Qwen/Qwen2.5-72B-Instruct": 72.71,
    "Qwen/Qwen3-0.6B": 0.596,
    "Qwen/Qwen3-1.7B": 1.72,
    "Qwen/Qwen3-4B": 4.02,
    "Qwen/Qwen3-8B": 8.19,
    "Qwen/Qwen3-14B": 14.77,
    "Qwen/Qwen3-32B": 32.76,
    "Qwen/Qwen3-30B-A3B": 30.5,
    "Qwen/Qwen3.5-9B": 8.95,
    "google/gemma-2-2b-it": 2.614,
    "google/gemma-2-9b-it": 9.242,
    "google/gemma-2-27b-it": 27.23,
    "google/gemma-3-270m-it": 0.268,
    "google/gemma-3-1b-it": 1.0,
    "google/gemma-3-4b-it": 3.88,
    "google/gemma-3-12b-it": 11.77,
    "google/gemma-3-27b-it": 27.01,
    "meta-llama/Llama-2-7b-chat-hf": 6.738,
    "meta-llama/Llama-2-13b-chat-hf": 13.02,
    "meta-llama/Meta-Llama-3-8B-Instruct": 8.03,
    "meta-llama/Meta-Llama-3-70B-Instruct": 70.55,
    "meta-llama/Llama-3.1-8B-Instruct": 8.03,
    "meta-llama/Llama-3.1-70B-Instruct": 70.55,
    "meta-llama/Llama-3.2-1B-Instruct": 1.236,
    "meta-llama/Llama-3.2-3B-Instruct": 3.213,
    "meta-llama/Llama-3.3-70B-Instruct": 70.55,
    "mistralai/Mistral-7B-Instruct-v0.1": 7.242,
    "mistralai/Mistral-7B-Instruct-v0.2": 7.242,
    "mistralai/Mistral-7B-Instruct-v0.3": 7.248,
    "mistralai/Mistral-Nemo-Instruct-2407": 12.25,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 46.7,
    "microsoft/Phi-3-mini-4k-instruct": 3.821,
    "microsoft/Phi-3-mini-128k-instruct": 3.821,
    "microsoft/Phi-3.5-mini-instruct": 3.821,
    "microsoft/Phi-3-medium-4k-instruct": 13.96,
    "microsoft/Phi-3-medium-128k-instruct": 13.96,
    "microsoft/phi-4": 14.66,
    "HuggingFaceTB/SmolLM2-135M-Instruct": 0.1345,
    "HuggingFaceTB/SmolLM2-360M-Instruct": 0.3618,
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": 1.711,
}
# Table 1 of the paper
LAYERS = {
    "Qwen/Qwen2.5-3B-Instruct": 36,
    "Qwen/Qwen2.5-7B-Instruct": 28,
    "Qwen/Qwen2.5-14B-Instruct": 48,
    "Qwen/Qwen2.5-32B-Instruct": 64,
    "google/gemma-2-2b-it": 26,
    "google/gemma-2-9b-it": 42,
    "google/gemma-2-27b-it": 46,
    "mistralai/Mistral-7B-Instruct-v0.3": 32,
}
# One of each architecture, and what transformers' config class of it wants otherwise than the hub writes it
BUILT: dict[str, dict[str, object]] = {
    "Qwen/Qwen2.5-0.5B-Instruct": {"head_dim": None},
    "Qwen/Qwen3-0.6B": {},
    "Qwen/Qwen3-30B-A3B": {},
    "Qwen/Qwen3.5-9B": {},
    "google/gemma-2-2b-it": {},
    "google/gemma-3-1b-it": {},
    "meta-llama/Llama-3.2-1B-Instruct": {},
    "mistralai/Mistral-7B-Instruct-v0.3": {},
    "mistralai/Mixtral-8x7B-Instruct-v0.1": {},
    "microsoft/Phi-3-mini-4k-instruct": {"head_dim": None, "pad_token_id": 0},
}


def known(repo: str) -> ModelShape:
    return shape_from_config(KNOWN[repo])


def built(repo: str, changes: dict[str, object]) -> Any:
    """transformers' own model of a known config, without memory for its weights."""
    config = {name: value for name, value in {**KNOWN[repo], **changes}.items() if value is not None}
    kind = str(config.pop("model_type"))
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**config))


def test_every_known_model_is_held_to_a_published_size() -> None:
    assert sorted(ADVERTISED) == sorted(KNOWN)
    off = {repo: known(repo).parameters / (1e9 * size) - 1 for repo, size in ADVERTISED.items()}
    assert {repo: error for repo, error in off.items() if abs(error) > 0.005} == {}


def test_the_papers_models_have_the_papers_layers() -> None:
    assert {repo: known(repo).n_layers for repo in LAYERS} == LAYERS


def test_widths_that_decide_what_can_be_compared() -> None:
    """As their makers publish them: Qwen 14B and 32B 5120, Qwen 7B and Gemma 9B 3584."""
    width = {repo: known(repo).d_model for repo in KNOWN}
    assert width["Qwen/Qwen2.5-14B-Instruct"] == width["Qwen/Qwen2.5-32B-Instruct"] == 5120
    assert width["Qwen/Qwen2.5-7B-Instruct"] == width["google/gemma-2-9b-it"] == 3584
    assert width["Qwen/Qwen2.5-3B-Instruct"] == width["meta-llama/Llama-3.2-1B-Instruct"] == 2048


@pytest.mark.parametrize("repo", sorted(BUILT))
def test_parameters_are_those_of_transformers_own_model(repo: str) -> None:
    model = built(repo, BUILT[repo])
    shape = known(repo)
    assert shape.parameters == pytest.approx(sum(each.numel() for each in model.parameters()), rel=2e-4)
    embeddings = {id(layer.weight): layer.weight for layer in (model.get_input_embeddings(), model.get_output_embeddings())}
    assert shape.embedding_parameters == sum(weight.numel() for weight in embeddings.values())


@pytest.mark.parametrize(("repo", "billions"), [("Qwen/Qwen3-30B-A3B", 3.3), ("mistralai/Mixtral-8x7B-Instruct-v0.1", 12.9)])
def test_a_mixture_of_experts_works_with_few_of_them(repo: str, billions: float) -> None:
    """As the makers say: 3.3 B of 30.5 B, 12.9 B of 46.7 B."""
    assert known(repo).working == pytest.approx(billions * 1e9, rel=0.02)
    assert known(repo).parameters > 3 * known(repo).working


def test_dense_and_shared_parts_of_a_mixture() -> None:
    """Two dense blocks of four, and a shared expert in the others, counted by hand."""
    config = {
        "model_type": "qwen2_moe",
        "num_hidden_layers": 4,
        "hidden_size": 10,
        "num_attention_heads": 2,
        "intermediate_size": 20,
        "vocab_size": 100,
        "tie_word_embeddings": True,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 5,
        "shared_expert_intermediate_size": 7,
        "mlp_only_layers": [0],
        "decoder_sparse_step": 1,
    }
    rest = 100 * 10 + 4 * (4 * 10 * 10 + 2 * 10) + 10
    dense, one, always = 3 * 10 * 20, 3 * 10 * 5, 8 * 10 + 3 * 10 * 7 + 10
    assert shape_from_config(config).parameters == rest + dense + 3 * (8 * one + always)
    assert shape_from_config(config).working == rest + dense + 3 * (2 * one + always)
    every_other = {**config, "mlp_only_layers": [], "decoder_sparse_step": 2}
    assert shape_from_config(every_other).parameters == rest + 2 * dense + 2 * (8 * one + always)


def test_a_known_model_is_planned_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_network(repo: str, revision: str | None) -> str:
        raise AssertionError("asked the hub")

    monkeypatch.setattr("orchestrator.models.files.fetch_config", no_network)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    shape = shape_of(ModelSpec("hub", "Qwen/Qwen2.5-7B-Instruct", "main"))
    assert (shape.n_layers, shape.family) == (28, "qwen")
    assert shape_of(ModelSpec("hub", "Qwen/Qwen2.5-7B-Instruct", "main"), family="mine").family == "mine"


def test_the_models_own_config_must_agree_with_what_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cached = tmp_path / "config.json"
    monkeypatch.setattr("orchestrator.models.files.cached_config", lambda repo, revision: cached)
    spec = ModelSpec("hub", "google/gemma-3-4b-it", "main")
    cached.write_text(json.dumps({"model_type": "gemma3", "text_config": dict(KNOWN["google/gemma-3-4b-it"])}))
    assert shape_of(spec).n_layers == 34
    cached.write_text(json.dumps({**KNOWN["google/gemma-3-4b-it"], "num_hidden_layers": 33}))
    with pytest.raises(InputError, match=r"known here with 34 layers of width 2560, its config\.json has 33"):
        shape_of(spec)
