"""A model is tried when it is loaded: what a batch changes runs row by row, what differs there too is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel

from actors import load_check, worker
from actors.engine import packing, segments
from actors.engine.alone import AloneRunner
from actors.engine.attention import masks_for
from actors.errors import UnsupportedModelError
from actors.types import EngineOptions, ModelInfo, ModelSpec
from actors.worker import ModelWorker
from tests.architectures import tiny_architecture
from tests.tiny import VOCABULARY, tiny_folder, tiny_tokenizer


def load(folder: Path, **spec: Any) -> ModelInfo:
    """What loading the folder says."""
    return ModelWorker().load(ModelSpec("folder", str(folder), **spec), EngineOptions())


def test_what_was_measured_stands_in_the_provenance(tmp_path: Path) -> None:
    told = load(tiny_folder("llama", tmp_path / "model")).provenance
    assert told["checked"].startswith("logits of 4 rows in a batch and nnsight, hooks readings equal the plain model's")
    assert told["attention"].startswith("slot_attention")


def test_rows_that_a_batch_changes_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder("llama", tmp_path / "model")

    def sees_padding(decoder: Any, allowed: torch.Tensor, *positions: torch.Tensor) -> Any:
        return masks_for(decoder, allowed | (torch.rand(allowed.shape) < 0.05), *positions)

    monkeypatch.setattr(segments, "masks_for", sees_padding)
    info = load(folder)
    assert info.slots == 1
    assert "measured in a batch: the logits of a" in info.provenance["attention"]
    assert "row by row and" in info.provenance["checked"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_shift_of_positions_is_noticed(dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one, after the shared beginning: the smallest mistake there is."""
    folder = tiny_folder("gpt2", tmp_path / "model")
    right = segments.SegmentRunner._padded

    def shifted(self: segments.SegmentRunner, segment: segments.Segment) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, positions = right(self, segment)
        return tokens, torch.where(positions > load_check.SHARED, positions + 1, positions)

    monkeypatch.setattr(segments.SegmentRunner, "_padded", shifted)
    assert load(folder, dtype=dtype).slots == 1


def test_what_differs_alone_too_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder("qwen3_5", tmp_path / "model")
    right = AloneRunner.answer

    def wrong(self: AloneRunner, row: Any, watch: Any = None) -> None:
        right(self, row, lambda logits: watch(logits.roll(1, -1)))

    monkeypatch.setattr(AloneRunner, "answer", wrong)
    with pytest.raises(
        UnsupportedModelError, match=r"tried at load.*row by row, the logits of a plain row of 26 tokens differ by"
    ):
        load(folder)


def test_an_error_in_the_check_is_a_refusal_but_no_memory_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_folder("llama", tmp_path / "model")

    def broken(*_args: object) -> None:
        raise IndexError("index out of range in self")

    def full(*_args: object) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(load_check, "measured", broken)
    with pytest.raises(UnsupportedModelError, match="IndexError: index out of range in self"):
        load(folder)
    monkeypatch.setattr(load_check, "measured", full)
    with pytest.raises(torch.OutOfMemoryError):
        load(folder)


@pytest.mark.parametrize("error", [AssertionError, ValueError, RuntimeError])
def test_layers_that_do_not_multiply_are_a_refusal(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As bitsandbytes' 4-bit layers do not on some processors, for numbers of rows that its kernel has no blocks for."""

    def fails(*_: object) -> None:
        raise error("N must be divisible by block_n")

    monkeypatch.setattr(worker, "batch_dependence", fails)
    with pytest.raises(UnsupportedModelError, match=r"'llama' in quantization 'none': .* multiply .*: N must be divisible"):
        load(tiny_folder("llama", tmp_path / "model"))


def test_blocks_without_a_residual_stream_are_refused(tmp_path: Path) -> None:
    """Gemma 3n passes several streams from block to block."""
    tiny_architecture("gemma3n_text").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="is a tensor of 4 dimensions, not a tensor"):
        load(tmp_path)


def test_a_model_that_looks_ahead_is_refused(tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
    torch.manual_seed(0)
    BertLMHeadModel(BertConfig(vocab_size=len(VOCABULARY), initializer_range=0.3, **sizes)).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="it looks ahead"):
        load(tmp_path)


def test_bits_that_depend_on_the_batch_are_measured_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ModernBERT's GELU has other bits for a row alone where nothing is done about its layout."""
    tiny_architecture("modernbert-decoder").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert load(tmp_path).provenance["batch_invariant"] == "yes (measured)"
    monkeypatch.setattr(packing, "elementwise", lambda _model: {})
    told = load(tmp_path).provenance["batch_invariant"]
    assert told.startswith("no: a row alone was measured to have other bits than among others; in a batch of one shape")
