"""Activations against the plain model's hidden states, one prompt at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from actors.boundary import Answered
from actors.types import ActivationsJob, Prompt
from actors.worker import ModelWorker

PROMPTS = tuple(Prompt(f"P{number}", text) for number, text in enumerate(("Hi", "Tell me a joke", "Why is the sky so blue?")))


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3_5"])
def test_they_are_the_plain_models_hidden_states(family: str, tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker(family)
    jobs = [ActivationsJob("a", PROMPTS[:1], PROMPTS[1:]), ActivationsJob("b", PROMPTS, (), "hooks")]
    held = worker._held()
    blocks = held.decoder.n_layers
    for job, result in zip(jobs, worker.activations(jobs), strict=True):
        assert isinstance(result, Answered)
        assert result.item_id == job.item_id
        found = load(result.content)["activations"]
        assert found.shape == (3, blocks, held.d_model)
        assert found.dtype == np.float32
        for prompt, ours in zip(PROMPTS, found, strict=True):
            ids = torch.tensor([held.renderer.render(prompt).token_ids])
            with torch.inference_mode():
                states = held.model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
            plain = torch.stack([state[0, -1] for state in states[1:blocks]])  # the last one has the final norm applied
            off = np.linalg.norm(ours[: blocks - 1] - plain.float().numpy(), axis=-1)
            assert (off < 1e-5 * np.linalg.norm(plain.float().numpy(), axis=-1)).all()
