"""Rotary frequencies that depend on the length: every row and every prompt as if it were alone, whoever its neighbours are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import Phi3Config, PhimoeConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.engine.rotary import Rotary
from actors.types import CellResult, Decoding, EngineOptions, ExtractionJob, GenerationJob, ModelSpec, Prompt, Steering
from actors.worker import ModelWorker
from tests.architectures import LONGROPE, tiny_architecture
from tests.oracle import generate_alone
from tests.tiny import COMMON, tiny_tokenizer

LIMIT = 64
TEXTS = (
    "Why?",
    "x" * 56,
    "What is a haiku?",
    "Tell me all about the long road from here to there and back again, and why.",
    "y" * 48,
)
"""Within the limit; across it while the answer grows; within; beyond it from the start; just within."""
PROMPTS = tuple(Prompt(f"P{number}", text) for number, text in enumerate(TEXTS))
NEW_TOKENS = 12
MSCALE = {"short_mscale": 1.1, "long_mscale": 1.3}


def config(family: str) -> Phi3Config:
    """A tiny model whose frequencies change beyond ``LIMIT`` tokens."""
    rope = {**LONGROPE, "rope_theta": 10000.0, "original_max_position_embeddings": LIMIT}
    if family == "phi3":
        return Phi3Config(**COMMON, sliding_window=None, original_max_position_embeddings=LIMIT, rope_parameters=rope)
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}
    return PhimoeConfig(**COMMON, **experts, rope_parameters={**rope, **MSCALE})


@pytest.fixture(scope="module", params=["phi3", "phimoe"])
def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelWorker:
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config(request.param)).eval().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    held = ModelWorker()
    held.load(ModelSpec("folder", str(folder)), EngineOptions())
    return held


def test_rows_within_across_and_beyond_the_limit(worker: ModelWorker) -> None:
    loaded = worker._loaded
    assert loaded is not None
    vector = np.random.default_rng(0).standard_normal((1, loaded.d_model)).astype(np.float32)
    steering = Steering((1,), vector / np.linalg.norm(vector), 20.0)
    jobs = [GenerationJob(str(number), PROMPTS, Decoding(NEW_TOKENS), one) for number, one in enumerate((None, steering))]
    results = [result for result in worker.generate(jobs) if isinstance(result, CellResult)]
    assert len(results) == len(jobs)
    lengths = []
    for result in results:
        for prompt, answer in zip(PROMPTS, result.responses, strict=True):
            ids = loaded.renderer.render(prompt).token_ids
            lengths.append(len(ids))
            Rotary.of(loaded.model).restore()
            wanted = generate_alone(loaded.model, loaded.decoder.blocks, ids, (None, steering)[int(result.cell_id)], NEW_TOKENS)
            assert list(answer.token_ids) == wanted, (result.cell_id, prompt.id, len(ids))
    assert min(lengths) + NEW_TOKENS <= LIMIT < max(lengths)
    assert any(length <= LIMIT < length + NEW_TOKENS for length in lengths)


@pytest.mark.parametrize("extractor", ["hooks", "nnsight"])
def test_a_long_contrast_prompt_leaves_the_short_ones_as_they_are(worker: ModelWorker, extractor: str) -> None:
    loaded = worker._loaded
    assert loaded is not None
    found = worker.extract(ExtractionJob("x", PROMPTS[:1], PROMPTS[1:4], "dim", {}, extractor))  # type: ignore[arg-type]

    def state(prompt: Prompt) -> torch.Tensor:
        ids = torch.tensor([loaded.renderer.render(prompt).token_ids])
        with torch.no_grad():
            return torch.stack(loaded.model(input_ids=ids, output_hidden_states=True).hidden_states[1:-1])[:, 0, -1]

    expected = state(PROMPTS[0]) - torch.stack([state(prompt) for prompt in PROMPTS[1:4]]).mean(0)
    for direction, vector in zip(found.directions, expected.numpy(), strict=False):
        assert np.linalg.norm(direction.vector * direction.raw_norm - vector) <= 1e-5 * np.linalg.norm(vector)


def test_dynamic_frequencies_forget_the_longest_row() -> None:
    model = tiny_architecture("llama_dynamic")
    ids = torch.arange(3, 200)[None] % 200
    with torch.inference_mode():
        before = model(input_ids=ids, use_cache=False).logits
        model(input_ids=torch.zeros(1, 600, dtype=torch.long), use_cache=False)
        rotary = Rotary.of(model)
        frequencies = rotary.modules[0].get_buffer("inv_freq")
        stretched = frequencies.clone()
        rotary.restore()
        assert not torch.equal(frequencies, stretched)
        assert torch.equal(model(input_ids=ids, use_cache=False).logits, before)
    assert rotary.shares(512)
    assert not rotary.shares(513)
    assert Rotary.of(tiny_architecture("llama_linear")).limit is None
