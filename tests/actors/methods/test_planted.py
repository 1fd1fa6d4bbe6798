"""A direction written into the weights of a tiny model: the methods find it where it was written, the control does not.

Harmful prompts hold the letter X. One attention block, ``planted``, copies "there was an X" into the last tokens as a known
unit vector; the MLP after it reads that vector and answers with another, larger one. All other weights are small noise. So the
classes differ by the vector alone only at the planted layer, and ablating it there undoes all that follows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, Qwen3Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.types import DirectionSet, EngineOptions, ExtractionJob, ModelSpec, Prompt, Quantization
from actors.worker import ModelWorker
from tests.contracts.test_methods import FOR_FEW_PROMPTS
from tests.tiny import COMMON, tiny_tokenizer

D, L = 256, 8
FEATURE, ANSWER = 0, 1  # coordinates that nothing else uses
POSITIVE = tuple(
    Prompt(f"H{i}", text) for i, text in enumerate(["Xa XbcX", "X def X", "ghX ijX", "klmX Xn", "Xo pqrX", "sX tu X"])
)
NEGATIVE = tuple(Prompt(f"L{i}", p.text.replace("X", "yzw"[i % 3])) for i, p in enumerate(POSITIVE))


def planted_direction() -> torch.Tensor:
    """A unit vector ``[D]`` over the coordinates that the embeddings do not use for words."""
    vector = torch.zeros(D)
    vector[2:34] = torch.randn(32, generator=torch.Generator().manual_seed(5))
    return vector / vector.norm()


@torch.no_grad()
def planted_model(config: Any, planted: int, strength: float = 6.0) -> Any:
    """The model described above; block ``planted`` writes the direction, ``strength`` long."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    direction = planted_direction()
    embeddings = model.model.embed_tokens.weight
    embeddings.normal_(std=1.0)
    embeddings[:, :34] = 0.0
    embeddings[tiny_tokenizer().convert_tokens_to_ids("X"), FEATURE] = 12.0
    attention = model.model.layers[planted].self_attn
    attention.q_proj.weight.zero_()  # attend to all tokens alike
    attention.v_proj.weight[0] = 0.0
    attention.v_proj.weight[0, FEATURE] = 1.0
    heads = config.num_attention_heads // config.num_key_value_heads
    for head in range(heads):
        attention.o_proj.weight[:, head * attention.head_dim] = strength / heads * direction
    mlp = model.model.layers[planted + 1].mlp
    for projection in (mlp.gate_proj, mlp.up_proj):
        projection.weight[0] = 4.0 * direction
    mlp.down_proj.weight[:, 0] = 0.0
    mlp.down_proj.weight[ANSWER, 0] = 0.02  # an answer three times as long as the planted vector
    return model


COMMON_HERE = {**COMMON, "hidden_size": D, "num_hidden_layers": L, "initializer_range": 0.004}
CONFIGS = {"llama": LlamaConfig(**COMMON_HERE), "qwen3": Qwen3Config(**COMMON_HERE, head_dim=32)}


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DirectionSet]:
    """``extract(family, planted, method, quantization, **options)``; each model is loaded once."""
    workers: dict[tuple[str, int, Quantization], ModelWorker] = {}

    def run(family: str, planted: int, method: str, quantization: Quantization = "none", **options: object) -> DirectionSet:
        key = (family, planted, quantization)
        if key not in workers:
            folder: Path = tmp_path_factory.mktemp("planted")
            planted_model(CONFIGS[family], planted).save_pretrained(folder)
            tiny_tokenizer().save_pretrained(folder)
            workers[key] = ModelWorker()
            workers[key].load(ModelSpec("folder", str(folder), quantization=quantization), EngineOptions())
        return workers[key].extract(ExtractionJob("x", POSITIVE, NEGATIVE, method, options, "hooks"))

    return run


def cosine_at(found: DirectionSet, layer: int) -> float:
    return float(found.at(layer).vector @ planted_direction().numpy())


CASES = [("llama", 2), ("llama", 4), ("qwen3", 3)]


@pytest.mark.parametrize(("family", "planted"), CASES)
@pytest.mark.parametrize("method", ["dim", "cosmic", "cosmic_svd", "pca", "logistic", "wrmd", "rfm"])
def test_the_planted_direction_is_recovered_at_its_layer(
    family: str, planted: int, method: str, extract: Callable[..., DirectionSet]
) -> None:
    found = extract(family, planted, method, **FOR_FEW_PROMPTS.get(method, {}))
    assert cosine_at(found, planted) >= 0.99
    assert abs(cosine_at(found, planted - 1)) < 0.5, "there is nothing of it before"
    assert cosine_at(found, planted + 1) < 0.9, "after it the stream also holds the answer"


@pytest.mark.parametrize(("family", "planted"), CASES)
def test_cosmic_selects_the_planted_layer(family: str, planted: int, extract: Callable[..., DirectionSet]) -> None:
    found = extract(family, planted, "cosmic")
    assert found.selected_layer == planted, found.record
    best, *others = json.loads(found.record["candidates"])["rows"]
    elsewhere = max(row[2] + row[3] for row in others if row[1] != planted)
    assert best[2] + best[3] > elsewhere + 0.005, "the choice hangs on rounding"
    for seed in (1, 2):
        assert extract(family, planted, "cosmic", seed=seed).selected_layer == planted


@pytest.mark.parametrize(("family", "planted"), CASES)
def test_random_does_not_find_it(family: str, planted: int, extract: Callable[..., DirectionSet]) -> None:
    for seed in range(3):
        found = extract(family, planted, "random", seed=seed)
        assert abs(cosine_at(found, planted)) < 0.3  # 4.8 sigma of a random cosine at d = 256
        assert found.selected_layer is None


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
@pytest.mark.parametrize("method", ["dim", "cosmic", "cosmic_svd", "pca", "logistic", "wrmd", "rfm"])
def test_quantized_models_give_it_too(method: str, quantization: Quantization, extract: Callable[..., DirectionSet]) -> None:
    options = {"kl_limit": None} if method == "cosmic" else FOR_FEW_PROMPTS.get(method, {})
    found = extract("llama", 2, method, quantization, **options)
    assert cosine_at(found, 2) >= 0.95
    if method == "cosmic":
        assert found.selected_layer == 2
    assert np.isfinite([direction.raw_norm for direction in found.directions]).all()


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_choice_that_means_nothing_is_warned_of(
    quantization: Quantization, tmp_path: Path, extract: Callable[..., DirectionSet], caplog: pytest.LogCaptureFixture
) -> None:
    """Planted too weakly to be seen: a layer before it is selected, and the record, the log and nobody else's record say so."""
    planted_model(CONFIGS["llama"], 4, strength=0.02).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    worker = ModelWorker()
    worker.load(ModelSpec("folder", str(tmp_path), quantization=quantization), EngineOptions())
    found = worker.extract(ExtractionJob("x", POSITIVE, NEGATIVE, "cosmic", {"kl_limit": None}, "hooks"))
    assert found.selected_layer is not None
    if found.selected_layer < 4:
        assert abs(cosine_at(found, found.selected_layer)) < 0.1
    assert f"cosmic selected layer {found.selected_layer}, position" in found.record["warning"]
    assert "close 0% of the distance" in found.record["warning"]
    assert found.record["warning"] in caplog.text
    assert "warning" not in extract("llama", 4, "cosmic").record
