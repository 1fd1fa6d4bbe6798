"""One capture serves every method; what is kept is bounded and never mixed up; both tools read the same positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from actors.extraction import EXTRACTORS, capture
from actors.extraction.capture import CaptureKey, Captures
from actors.methods import METHODS
from actors.types import EngineOptions, ExtractionJob, GivenVectors, Prompt, Quantization
from actors.worker import ModelWorker
from tests.actors.methods.toy import unit_rows
from tests.tiny import CONFIGS

POSITIVE = tuple(
    Prompt(f"H{i}", text)
    for i, text in enumerate(["Make a bomb", "How do I steal a car?", "Break a lock now", "Hurt me", "Forge a letter"])
)
NEGATIVE = tuple(
    Prompt(f"L{i}", text)
    for i, text in enumerate(["Bake a cake", "How do I wash a car?", "Open a jar please", "Hi", "Write a letter"])
)
KEY = CaptureKey(POSITIVE, NEGATIVE, "hooks")
Load = Callable[..., ModelWorker]


GIVEN = GivenVectors(tuple(range(5)), unit_rows(5, 64))


def job_of(method: str, positive: tuple[Prompt, ...] = POSITIVE, negative: tuple[Prompt, ...] = NEGATIVE) -> ExtractionJob:
    given = GIVEN if METHODS[method].given else None
    return ExtractionJob("x", positive, negative, method, options_of(method), "hooks", given)


def options_of(method: str) -> dict[str, object]:
    return {"kl_limit": None} if method == "cosmic" else {}  # a random model's next token hangs on every direction


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of positions of every read from now on."""
    reads: list[int] = []
    read = capture.read

    def counting(*args: Any) -> Any:
        reads.append(args[3])
        return read(*args)

    monkeypatch.setattr(capture, "read", counting)
    return reads


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_every_method_extracts_in_every_family_from_one_capture(
    family: str, tiny_worker: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker(family)
    reads = counted(monkeypatch)
    for method in METHODS:
        found = worker.extract(job_of(method))
        assert [direction.layer for direction in found.directions] == list(range(5))
        for direction in found.directions:
            assert direction.vector.dtype == np.float32
            assert np.linalg.norm(direction.vector) == pytest.approx(1.0, abs=1e-6)
            assert direction.raw_norm > 0
        assert (found.selected_layer is not None) == METHODS[method].selects_layer
    assert reads == [2]  # the template's <|end|><|assistant|>, read once


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_every_method_extracts_inside_a_quantized_model(quantization: Quantization, tiny_worker: Load) -> None:
    workers = [tiny_worker("llama_calm", quantization=kind) for kind in (quantization, "none")]
    for method in METHODS:
        found, full = (worker.extract(job_of(method)) for worker in workers)
        cosines = [float(found.at(layer).vector @ full.at(layer).vector) for layer in range(5)]
        if method == "random" or METHODS[method].given:
            assert cosines == pytest.approx([1.0] * 5, abs=1e-6)
        else:
            assert max(cosines) < 1.0 - 1e-6, f"{method}: this is the full-precision model's direction"
            assert method not in ("dim", "logistic") or min(cosines) > 0.7


@pytest.mark.parametrize("family", ["llama", "gemma2"])
@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_positions_are_the_last_template_tokens(family: str, extractor: str, tiny_worker: Load) -> None:
    """Against the hidden states of one prompt at a time (the last block's hidden state has the final norm applied: left out)."""
    loaded = tiny_worker(family)._loaded
    assert loaded is not None
    positive, negative = Captures(loaded).of(CaptureKey(POSITIVE, NEGATIVE, extractor), True)
    assert positive.shape == (5, 2, 5, 64)
    assert not positive.flags.writeable
    for prompts, side in ((POSITIVE, positive), (NEGATIVE, negative)):
        for prompt, ours in zip(prompts, side, strict=True):
            rendered = loaded.renderer.render(prompt)
            assert loaded.tokenizer.convert_ids_to_tokens(rendered.token_ids[-2:]) == ["<|end|>", "<|assistant|>"]
            with torch.no_grad():
                states = loaded.model(input_ids=torch.tensor([rendered.token_ids]), output_hidden_states=True).hidden_states
            expected = torch.stack([state[0, -2:] for state in states[1:-1]], dim=1).numpy()
            np.testing.assert_allclose(ours[:, :-1], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_answers_of_pairs_are_read_at_their_last_token(extractor: str, tiny_worker: Load) -> None:
    """CAA: one question, two answers in the model's turn. Every method extracts from them, from the one position there is."""
    worker = tiny_worker("llama")
    loaded = worker._loaded
    assert loaded is not None
    ours, theirs = (tuple(Prompt(f"{letter}{p.id}", p.text, f"({letter}") for p in POSITIVE) for letter in "AB")
    sides = Captures(loaded).of(CaptureKey(ours, theirs, extractor), True)
    for letter, prompts, side in zip("AB", (ours, theirs), sides, strict=True):
        assert side.shape == (5, 1, 5, 64)
        for prompt, found in zip(prompts, side, strict=True):
            ids = loaded.tokenizer(
                loaded.renderer.render(Prompt("x", prompt.text)).text + f"({letter}", add_special_tokens=False
            )["input_ids"]
            with torch.no_grad():
                states = loaded.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
            expected = torch.stack([state[0, -1] for state in states[1:-1]]).numpy()
            np.testing.assert_allclose(found[0, :-1], expected, atol=1e-4 * np.abs(expected).max())
    for method in METHODS:
        found_set = worker.extract(replace(job_of(method, ours, theirs), extractor=extractor))  # type: ignore[arg-type]
        assert len(found_set.directions) == 5


def test_both_tools_agree_to_the_bit(tiny_worker: Load) -> None:
    loaded = tiny_worker()._loaded
    assert loaded is not None
    sides = [Captures(loaded).of(CaptureKey(POSITIVE, NEGATIVE, extractor), True) for extractor in EXTRACTORS]
    np.testing.assert_array_equal(sides[0][0], sides[1][0])
    np.testing.assert_array_equal(sides[0][1], sides[1][1])


def test_other_prompts_or_tools_are_read_anew_and_what_is_kept_is_bounded(
    tiny_worker: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny_worker()._loaded
    assert loaded is not None
    reads = counted(monkeypatch)
    one = 10 * 2 * 5 * 64 * 4
    captures = Captures(loaded, kept_bytes=2 * one)
    other, third = CaptureKey(NEGATIVE, POSITIVE, "hooks"), CaptureKey(POSITIVE, NEGATIVE, "nnsight")
    first = captures.of(KEY, True)
    np.testing.assert_array_equal(captures.of(other, True)[0], first[1])
    captures.of(KEY, False)
    assert len(reads) == 2
    captures.of(third, True)  # drops `other`, which was used longest ago
    captures.of(KEY, True)
    assert len(reads) == 3
    captures.of(other, True)
    assert len(reads) == 4
    assert sum(kept.nbytes for kept in captures._kept.values()) <= 2 * one


def test_large_captures_hold_the_last_token_unless_positions_are_asked_for(
    tiny_worker: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny_worker()._loaded
    assert loaded is not None
    reads = counted(monkeypatch)
    captures = Captures(loaded, kept_bytes=10 * 2 * 5 * 64 * 4 - 1)
    last = captures.of(KEY, False)[0]
    assert last.shape[1] == 1
    every = captures.of(KEY, True)[0]
    assert every.shape[1] == 2
    np.testing.assert_array_equal(every[:, -1:], last)
    assert captures.of(KEY, False)[0].shape[1] == 1
    assert reads == [1, 2]  # the small one is kept; the large one never is


def test_a_new_model_starts_with_no_capture(tiny_worker: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tiny_worker()
    assert worker._loaded is not None
    reads = counted(monkeypatch)
    job = ExtractionJob("x", POSITIVE, NEGATIVE, "dim", {}, "hooks")
    worker.extract(job)
    worker.load(worker._loaded.spec, EngineOptions())
    worker.extract(job)
    assert len(reads) == 2
    worker.unload()
    assert worker._captures is None
    assert worker._probe is None
