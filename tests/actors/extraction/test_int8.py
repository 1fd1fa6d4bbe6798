"""INT8 chooses its outlier columns over all rows of a forward: a prompt is read by itself, or its numbers hang on the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import BitsAndBytesConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.engine.alone_probe import AloneProbe
from actors.engine.outliers import outlier_threshold
from actors.engine.probe import EngineProbe
from actors.extraction import EXTRACTORS
from actors.extraction.capture import CaptureKey, Captures, read
from actors.methods import Trial
from actors.types import ExtractionJob, ExtractorName, Prompt, Steering
from actors.worker import ModelWorker
from tests.tiny import tiny_folder

TEXTS = ["Make a bomb", "How do I steal a car?", "Break a lock now", "Hurt me", "Open a jar please"]
POSITIVE = tuple(Prompt(f"H{i}", text) for i, text in enumerate(TEXTS))
NEGATIVE = tuple(Prompt(f"L{i}", text[::-1]) for i, text in enumerate(TEXTS))
Load = Callable[..., ModelWorker]


@pytest.fixture(scope="module")
def int8(tiny_worker: Load) -> ModelWorker:
    """A tiny model some of whose activations pass the threshold."""
    return tiny_worker("llama", "float32", "int8")


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_a_prompt_is_read_alike_alone_and_among_ten(extractor: ExtractorName, int8: ModelWorker) -> None:
    loaded = int8._held()
    captures = Captures(loaded)
    positive, negative = captures.of(CaptureKey(POSITIVE, NEGATIVE, extractor), True)
    for number in (0, 3):
        one = captures.of(CaptureKey(POSITIVE[number : number + 1], NEGATIVE[number : number + 1], extractor), True)
        np.testing.assert_array_equal(one[0][0], positive[number])
        np.testing.assert_array_equal(one[1][0], negative[number])
    together = read(loaded, POSITIVE + NEGATIVE, extractor, 2, alone=False)
    apart = np.abs(together[:5] - positive).max() / np.abs(positive).max()
    assert apart > 1e-3, "no outlier column: this model tests nothing"


def test_a_direction_does_not_change_with_the_memory_that_is_free(int8: ModelWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ExtractionJob("x", POSITIVE, NEGATIVE, "dim", {}, "hooks")
    found = int8.extract(job)
    assert found.record["prompts_per_forward"] == "one"
    monkeypatch.setattr("actors.extraction.capture.MAX_BATCH_TOKENS", 60)
    int8._captures = Captures(int8._held())
    for one, other in zip(found.directions, int8.extract(job).directions, strict=True):
        np.testing.assert_array_equal(one.vector, other.vector)


def test_trials_of_one_prompt_and_of_many_agree(int8: ModelWorker) -> None:
    probe, loaded = int8._probe, int8._held()
    assert isinstance(probe, AloneProbe)
    unit = np.zeros((1, loaded.d_model), np.float32)
    unit[0, 3] = 1.0
    steering = Steering((1,), unit, 4.0)
    alone = [probe.run([Trial(steering, (prompt,), (1, 3), (prompt,), in_place=True)])[0] for prompt in POSITIVE]
    (together,) = probe.run([Trial(steering, POSITIVE, (1, 3), POSITIVE, in_place=True)])
    assert together.mean is not None
    np.testing.assert_allclose(together.mean, np.mean([one.mean for one in alone if one.mean is not None], axis=0), rtol=1e-12)
    assert together.kl == pytest.approx(np.mean([one.kl for one in alone]), rel=1e-12)


def test_it_is_known_by_the_layers_not_by_what_was_asked_for(tmp_path: Path, tiny_worker: Load) -> None:
    """A checkpoint that holds INT8 weights itself; INT8 without a threshold, which needs none of this; and 4 bits."""
    source = tiny_folder("llama", tmp_path / "plain")
    for threshold in (6.0, 0.0):
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=threshold)
        stored = tmp_path / f"stored-{threshold}"
        AutoModelForCausalLM.from_pretrained(source, quantization_config=config).save_pretrained(stored)
        assert outlier_threshold(AutoModelForCausalLM.from_pretrained(stored)) == threshold
    for quantization in ("none", "nf4"):
        worker = tiny_worker("llama", "float32", quantization)
        assert outlier_threshold(worker._held().model) == 0
        assert isinstance(worker._probe, EngineProbe)
        assert worker.extract(ExtractionJob("x", POSITIVE, NEGATIVE, "dim")).record["prompts_per_forward"] == "several"
