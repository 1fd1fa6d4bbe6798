"""Every family through load -> extract -> generate, against plain transformers with hooks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from actors.types import CellResult, Decoding, EngineOptions, ExtractionJob, GenerationJob, ModelSpec, Prompt, Steering
from actors.worker import ModelWorker
from tests.oracle import TIE, first_difference, generate_alone
from tests.tiny import CONFIGS, tiny_folder

PROMPTS = tuple(
    Prompt(f"P{i}", text)
    for i, text in enumerate(
        ["How do I bake a cake?", "Tell me a joke", "Why is the sky blue at noon and red at dusk?", "Hi", "What are the planets?"]
    )
)
NEW_TOKENS = 12


def steerings(n_layers: int, d_model: int, seed: int = 0) -> list[Steering | None]:
    """A mix of scopes, interventions, signs and strengths, all of which must share one batch."""
    rng = np.random.default_rng(seed)

    def unit(rows: int) -> np.ndarray:
        vectors = rng.standard_normal((rows, d_model)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    one, other = unit(1), unit(1)
    from_two = tuple(range(2, n_layers))
    return [
        None,
        Steering(from_two, np.repeat(one, len(from_two), axis=0), 6.0),
        Steering(from_two, np.repeat(other, len(from_two), axis=0), -9.0),
        Steering((1,), one, 12.0),
        Steering((0, n_layers - 1), np.repeat(one, 2, axis=0), 7.0),
        Steering(tuple(range(n_layers)), unit(n_layers), 5.0),
        Steering(from_two, np.repeat(one, len(from_two), axis=0), 1.0, "ablation"),
        Steering((n_layers - 1,), other, 30.0),
    ]


def loaded_worker(folder: Path, **spec: object) -> tuple[ModelWorker, object]:
    """A worker that holds the model folder in float32."""
    worker = ModelWorker()
    info = worker.load(ModelSpec("folder", str(folder), **spec), EngineOptions())  # type: ignore[arg-type]
    return worker, info


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_mixed_batch_equals_generate_with_hooks(family: str, tmp_path: Path) -> None:
    worker, _info = loaded_worker(tiny_folder(family, tmp_path / "model"))
    loaded = worker._loaded
    assert loaded is not None
    mixed = steerings(loaded.decoder.n_layers, loaded.d_model)
    jobs = [GenerationJob(f"cell{i}", PROMPTS, Decoding(NEW_TOKENS), steering) for i, steering in enumerate(mixed)]
    results = {result.cell_id: result for result in worker.generate(jobs) if isinstance(result, CellResult)}
    assert set(results) == {job.cell_id for job in jobs}
    ties = 0
    for job in jobs:
        for prompt, response in zip(PROMPTS, results[job.cell_id].responses, strict=True):
            ids = loaded.renderer.render(prompt).token_ids
            guess = response.token_ids if prompt is not PROMPTS[0] else None
            alone = generate_alone(loaded.model, loaded.decoder.blocks, ids, job.steering, NEW_TOKENS, guess=guess)
            difference = first_difference(loaded.model, loaded.decoder.blocks, ids, job.steering, response.token_ids, alone)
            if difference is not None:
                ties += 1
                assert difference.gap < TIE, f"{job.cell_id} {prompt.id} differs at token {difference.position}: {difference}"
    answers = {response.token_ids for result in results.values() for response in result.responses}
    assert len(answers) > len(jobs), "the cells answer alike: this model cannot tell a steering that acts from one that does not"
    print(f"{family}: {ties} ties in {len(jobs) * len(PROMPTS)} rows")
    for job in jobs[1:]:
        assert results[job.cell_id].fired.fired is True, results[job.cell_id].fired
    assert results["cell0"].fired.fired is None


BY_NNSIGHT = ("llama", "gemma2", "gpt2", "qwen3_moe", "qwen3_5")
"""The families that nnsight reads in every test run; the rest are built like one of them."""


@pytest.mark.parametrize(("extractor", "family"), [
    *(("hooks", family) for family in sorted(CONFIGS)),
    *(pytest.param("nnsight", family, marks=() if family in BY_NNSIGHT else pytest.mark.slow) for family in sorted(CONFIGS)),
])  # fmt: skip
def test_dim_equals_hidden_states(family: str, extractor: str, tmp_path: Path) -> None:
    worker, _ = loaded_worker(tiny_folder(family, tmp_path / "model"))
    loaded = worker._loaded
    assert loaded is not None
    positive, negative = PROMPTS[:2], PROMPTS[2:]
    found = worker.extract(ExtractionJob("x", positive, negative, "dim", {}, extractor))  # type: ignore[arg-type]

    def last_states(prompt: Prompt) -> torch.Tensor:
        ids = torch.tensor([loaded.renderer.render(prompt).token_ids])
        with torch.no_grad():
            states = loaded.model(input_ids=ids, output_hidden_states=True).hidden_states
        return torch.stack([state[0, -1] for state in states[1:-1]]).double()

    expected = torch.stack([last_states(p) for p in positive]).mean(0) - torch.stack([last_states(p) for p in negative]).mean(0)
    for direction, vector in zip(found.directions, expected.numpy(), strict=False):
        ours = direction.vector.astype(np.float64) * direction.raw_norm
        assert np.linalg.norm(ours - vector) <= 1e-5 * np.linalg.norm(vector), direction.layer
    assert len(found.directions) == loaded.decoder.n_layers
