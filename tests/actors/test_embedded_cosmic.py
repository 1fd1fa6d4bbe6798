"""COSMIC on the embedded model against the plain one, prompt by prompt: the same scores and the same choice.

Tiny models of every family are held to it on every change (``tests/actors/engine/test_probe.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.types import EngineOptions, ExtractionJob, ModelSpec, Prompt
from actors.worker import ModelWorker
from orchestrator.behaviors import load_behavior
from tests.cosmic_oracle import PlainModel, Prompts, plain_cosmic

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
SWEEPS = Path(__file__).parents[2] / "sweeps"
BEHAVIOR = load_behavior("refusal", SWEEPS / "behaviors" / "refusal.jsonl")


@pytest.fixture(scope="module")
def worker() -> Iterator[ModelWorker]:
    held = ModelWorker()
    adapter = str(SWEEPS / "models" / "smollm2-135m-refusal")
    held.load(ModelSpec("embedded", "smollm2-135m-instruct", adapter=adapter), EngineOptions())
    yield held
    held.unload()


def token_ids(tokenizer: Any, prompt: Prompt) -> list[int]:
    messages = [{"role": "user", "content": prompt.text}]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])


def check(worker: ModelWorker, places: list[tuple[int, int]], **options: object) -> None:
    """The worker's scores are those of the plain algorithm on the same split; so is the choice among ``places``."""
    loaded = worker._loaded
    assert loaded is not None
    found = worker.extract(ExtractionJob("x", BEHAVIOR.positive, BEHAVIOR.negative, "cosmic", options))
    held = json.loads(found.record["held_out_prompts"])
    assert len(held["positive"]) == len(held["negative"]) == 2

    def split(prompts: tuple[Prompt, ...], name: str) -> Prompts:
        ids = {prompt.id: token_ids(loaded.tokenizer, prompt) for prompt in prompts}
        return Prompts(
            [ids[prompt.id] for prompt in prompts if prompt.id not in held[name]],
            [ids[prompt.id] for prompt in prompts if prompt.id in held[name]],
        )

    positive, negative = split(BEHAVIOR.positive, "positive"), split(BEHAVIOR.negative, "negative")
    mode = str(options.get("ablation", "linear"))
    plain = plain_cosmic(PlainModel(loaded.model, loaded.decoder.blocks), positive, negative, places, mode)
    rows = [row for row in json.loads(found.record["candidates"])["rows"] if (row[0], row[1]) in places]
    assert len(rows) == len(places)
    assert json.loads(found.record["evaluation_layers"]) == plain.evaluated
    for position, layer, ablation, addition, kl, passes in rows:
        expected = plain.scores[position, layer]
        np.testing.assert_allclose((ablation, addition), expected[:2], atol=1e-4, err_msg=f"{position} {layer}")
        np.testing.assert_allclose(kl, expected[2], atol=1e-4, rtol=1e-3, err_msg=f"{position} {layer}")
        assert passes == (expected[2] <= 0.1)
    assert plain.best is not None
    assert (rows[0][0], rows[0][1]) == plain.best
    assert found.selected_layer == plain.best[1]
    direction, chosen = found.at(plain.best[1]), plain.differences[plain.best].numpy()
    np.testing.assert_allclose(direction.vector * direction.raw_norm, chosen, atol=1e-4 * direction.raw_norm)


def test_scores_of_some_candidates_of_the_last_position(worker: ModelWorker) -> None:
    check(worker, [(-1, layer) for layer in (0, 9, 15, 21)], positions=1)  # the selected layer is among them


@pytest.mark.parametrize("mode", ["linear", "affine"])
def test_scores_and_choice_at_all_positions(worker: ModelWorker, mode: str) -> None:
    # <|im_end|>, newline, <|im_start|>, two pieces of "assistant", newline; block inputs 1..23 of 30
    check(worker, [(position, layer) for position in range(-6, 0) for layer in range(23)], ablation=mode)
