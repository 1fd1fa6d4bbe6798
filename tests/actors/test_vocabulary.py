"""Token ids and context limits: padding is never looked up, an id without a row is named, the context is used to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actors.engine.engine_model import EngineModel
from actors.errors import JobError, ModelLoadError
from actors.types import (
    ActivationsJob,
    CellResult,
    Decoding,
    EngineOptions,
    ExtractionJob,
    Failure,
    GenerationJob,
    ModelSpec,
    Prompt,
)
from actors.worker import ModelWorker
from tests.oracle import generate_alone
from tests.tiny import CHAT_TEMPLATE, VOCABULARY, tiny_folder, tiny_model, tiny_tokenizer

PROMPTS = tuple(Prompt(f"P{number}", text) for number, text in enumerate(("How do I bake a cake?", "Hi", "Tell me a joke")))


def loaded_with(folder: Path, family: str = "llama", slots: int | None = None, **tokenizer: Any) -> ModelWorker:
    """A worker that holds a tiny model whose tokenizer has one token more than the model has rows."""
    tiny_model(family).save_pretrained(folder)
    made = tiny_tokenizer()
    made.add_special_tokens(tokenizer or {"additional_special_tokens": ["<|late|>"]})
    made.save_pretrained(folder)
    worker = ModelWorker()
    worker.load(ModelSpec("folder", str(folder)), EngineOptions(slots=slots))
    return worker


def test_a_padding_token_beyond_the_table_is_never_looked_up(tmp_path: Path) -> None:
    worker = loaded_with(tmp_path, pad_token="[PAD]")
    loaded = worker._loaded
    assert loaded is not None
    assert loaded.tokenizer.pad_token_id == len(VOCABULARY)
    found = worker.extract(ExtractionJob("x", PROMPTS[:1], PROMPTS[1:], "dim", {}, "hooks"))
    with torch.no_grad():
        states = [
            torch.stack(loaded.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[1:-1])[:, 0, -1]
            for ids in (loaded.renderer.render(prompt).token_ids for prompt in PROMPTS)
        ]
    expected = (states[0] - (states[1] + states[2]) / 2).numpy()
    for direction, vector in zip(found.directions, expected, strict=False):
        assert np.linalg.norm(direction.vector * direction.raw_norm - vector) <= 1e-5 * np.linalg.norm(vector)


def test_a_token_without_a_row_is_named(tmp_path: Path) -> None:
    worker = loaded_with(tmp_path)
    late = (Prompt("late", "Say <|late|> now"),)
    named = r"prompt 'late' holds token '<\|late\|>' with id 262; the model embeds 262 tokens, ids 0 to 261"
    with pytest.raises(JobError, match=named):
        worker.extract(ExtractionJob("x", late, PROMPTS, "dim"))
    failed, well = worker.generate([GenerationJob("a", late, Decoding(4)), GenerationJob("b", PROMPTS, Decoding(4))])
    assert isinstance(failed, Failure)
    assert failed.kind == "job"
    assert isinstance(well, CellResult)


def test_a_template_whose_own_token_has_no_row_is_refused_at_load(tmp_path: Path) -> None:
    tiny_folder("llama", tmp_path)
    made = tiny_tokenizer()
    made.add_special_tokens({"additional_special_tokens": ["<|late|>"]})
    made.chat_template = CHAT_TEMPLATE.replace("<s>{%", "<s><|late|>{%", 1)
    made.save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError, match="the chat template writes token 262, the model has embeddings for 262"):
        ModelWorker().load(ModelSpec("folder", str(tmp_path)), EngineOptions())


@pytest.mark.parametrize("family", ["llama", "qwen3_5", "gpt2"])
def test_the_context_is_used_to_its_end_and_not_beyond(family: str, tmp_path: Path) -> None:
    worker = loaded_with(tmp_path, family)
    fits, over = (Prompt("fits", "x" * (512 - 4 - 4)), Prompt("over", "x" * (512 - 4 - 3)))
    ended, failed = worker.generate([GenerationJob("a", (fits,), Decoding(4)), GenerationJob("b", (over,), Decoding(4))][::-1])
    if isinstance(ended, Failure):
        ended, failed = failed, ended
    assert isinstance(ended, CellResult)
    assert ended.responses[0].prompt_tokens == 508
    assert isinstance(failed, Failure)
    assert "passes the model's limit of 512" in failed.message


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_nothing_is_read_of_a_prompt_beyond_the_context(family: str, tmp_path: Path) -> None:
    """Neither by a table of positions, which ends there, nor by rotary ones, which go on to what the model never saw."""
    worker = loaded_with(tmp_path, family)
    fits, over, other = Prompt("fits", "x" * 508), Prompt("over", "x" * 509), Prompt("other", "y")
    for extractor in ("hooks", "nnsight"):
        assert worker.extract(ExtractionJob("d", (fits,), (other,), "dim", {}, extractor)).directions
        with pytest.raises(JobError, match="prompt 'over' has 513 tokens; that passes the model's limit of 512"):
            worker.extract(ExtractionJob("d", (other,), (over,), "dim", {}, extractor))
    (read,) = worker.activations([ActivationsJob("a", (fits, over), (other,), "hooks")])
    assert isinstance(read, Failure)
    assert "model's limit of 512" in read.message


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_few_slots_of_experts_answer_as_many_do(slots: int, tmp_path: Path) -> None:
    worker = loaded_with(tmp_path, "qwen3_moe", slots)
    loaded = worker._loaded
    assert loaded is not None
    (result,) = worker.generate([GenerationJob("a", PROMPTS, Decoding(6))])
    assert isinstance(result, CellResult)
    assert isinstance(worker._engine._loaded, EngineModel)  # type: ignore[union-attr]
    for prompt, answer in zip(PROMPTS, result.responses, strict=True):
        ids = loaded.renderer.render(prompt).token_ids
        assert list(answer.token_ids) == generate_alone(loaded.model, loaded.decoder.blocks, ids, None, 6)
