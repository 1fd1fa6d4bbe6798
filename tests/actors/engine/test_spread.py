"""A model that accelerate spreads over several places answers as it does in one place, whatever the steering.

Without two GPUs the places are the CPU and the disk: the same dispatch, with the weights of a block brought only for its forward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from actors import loading
from actors.engine.spread import following, gather
from actors.errors import ModelLoadError, NotHereError
from actors.interventions import INTERVENTIONS
from actors.steering import SteeringTable, Witness
from actors.types import (
    CellResult,
    Decoding,
    EngineOptions,
    ExtractionJob,
    GenerationJob,
    ModelInfo,
    ModelSpec,
    Prompt,
    Steering,
)
from actors.worker import ModelWorker
from tests.architectures import tiny_architecture
from tests.oracle import generate_alone
from tests.plain import Plain
from tests.tiny import tiny_folder, tiny_tokenizer

PROMPTS = tuple(Prompt(f"P{number}", text) for number, text in enumerate(("How do I bake a cake?", "Hi", "Tell me a joke")))
FAMILIES = {"llama": "model", "gemma2": "model", "gpt2": "transformer", "qwen3_5": "model"}
Load = Callable[[str, bool], tuple[ModelWorker, ModelInfo]]


def places(family: str, folder: Path) -> dict[str, Any]:
    """A device map: every other block on disk."""
    top = FAMILIES[family]
    if top == "transformer":
        ends = dict.fromkeys(("transformer.wte", "transformer.wpe", "transformer.ln_f", "lm_head"), "cpu")
        blocks = "transformer.h"
    else:
        ends = dict.fromkeys(("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"), "cpu")
        blocks = "model.layers"
    mapped = {**ends, **{f"{blocks}.{layer}": "disk" if layer % 2 else "cpu" for layer in range(5)}}
    return {"device_map": mapped, "offload_folder": str(folder)}


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads the tiny model of a family, spread or in one place."""

    def made(family: str, spread: bool) -> tuple[ModelWorker, ModelInfo]:
        folder = tmp_path / family
        if not folder.exists():
            tiny_folder(family, folder)
        worker = ModelWorker()
        with monkeypatch.context() as patch:
            if spread:
                patch.setattr(loading, "device_map", lambda devices: places(family, tmp_path / "offloaded"))
            info = worker.load(ModelSpec("folder", str(folder)), EngineOptions())
        return worker, info

    return made


def steerings(n_layers: int, d_model: int) -> list[Steering | None]:
    """One of each intervention over all layers, and additions at single layers of both places."""
    vectors = np.random.default_rng(0).standard_normal((n_layers, d_model)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    layers = tuple(range(n_layers))
    beside: dict[str, Any] = {
        **{name: {"references": (0.5,) * n_layers} for name in ("affine_ablation", "to_positive_mean", "to_negative_mean")},
        "subspace_replacement": {"bases": tuple(vectors[:, None])},
        "angular": {"bases": tuple(_across(one)[None] for one in vectors)},
    }
    each = [
        Steering(layers, vectors, 1.0 if one.unit == "share" else 5.0, name, **beside.get(name, {}))
        for name, one in INTERVENTIONS.items()
    ]
    return [None, *each, *(Steering((layer,), vectors[:1], 12.0) for layer in (1, 2))]


def _across(vector: np.ndarray) -> np.ndarray:
    """A unit vector at a right angle to it."""
    found = np.eye(len(vector), dtype=np.float32)[0] - vector[0] * vector
    return found / np.linalg.norm(found)


def answers(worker: ModelWorker) -> list[CellResult]:
    """One cell per steering."""
    loaded = worker._loaded
    assert loaded is not None
    mixed = steerings(loaded.decoder.n_layers, loaded.d_model)
    jobs = [GenerationJob(f"cell{number}", PROMPTS, Decoding(10), steering) for number, steering in enumerate(mixed)]
    results = list(worker.generate(jobs))
    assert all(isinstance(result, CellResult) for result in results), results
    return sorted((result for result in results if isinstance(result, CellResult)), key=lambda one: int(one.cell_id[4:]))


@pytest.mark.parametrize(
    "family", ["llama", "qwen3_5", *(pytest.param(family, marks=pytest.mark.slow) for family in ("gemma2", "gpt2"))]
)
def test_a_spread_model_answers_as_in_one_place(family: str, load: Load) -> None:
    (one, _), (spread, info) = load(family, False), load(family, True)
    assert one._loaded is not None
    assert spread._loaded is not None
    devices = {parameter.device.type for parameter in spread._loaded.model.parameters()}
    assert devices == {"cpu", "meta"}, "half of the blocks are not in memory between their forwards"
    assert spread._loaded.decoder.runs_alone
    assert info.provenance["spread"] == "over cpu, disk: exact, not fast"
    mixed = steerings(one._loaded.decoder.n_layers, one._loaded.d_model)
    found = answers(spread)
    for steering, ours in zip(mixed, found, strict=True):
        for response, prompt in zip(ours.responses, PROMPTS, strict=True):
            tokens = one._loaded.renderer.render(prompt).token_ids
            guess = response.token_ids if prompt is not PROMPTS[0] else None
            theirs = generate_alone(one._loaded.model, one._loaded.decoder.blocks, tokens, steering, 10, guess=guess)
            assert list(response.token_ids) == theirs, (steering, prompt)
        if steering is not None:
            assert ours.fired.fired, (steering.intervention, ours.fired)
            assert ours.residual_norm is not None


def test_blocks_that_are_given_the_last_tokens_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``generate`` gives those blocks of Gemma 4 that read other blocks' keys the last token of a prompt."""
    tiny_architecture("gemma4_text").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    monkeypatch.setattr(loading, "devices_of", lambda _model: ("cpu", "disk"))
    worker = ModelWorker()
    worker.load(ModelSpec("folder", str(tmp_path)), EngineOptions())
    loaded = worker._held()
    assert loaded.decoder.runs_alone
    vectors = steerings(4, loaded.d_model)[1]
    assert vectors is not None
    words = ("prompt", "last_prompt", "template+first:2", "generation", "from:1")
    asked = [
        replace(vectors, multiplier=9.0, positions=one, schedule="linear:4" if "first" in one else "constant") for one in words
    ]
    jobs = [GenerationJob(one.positions, PROMPTS[:2], Decoding(6), one) for one in asked]
    plain = Plain.of(loaded.model, loaded.decoder.blocks)
    for result, job in zip(worker.generate(jobs), jobs, strict=True):
        assert isinstance(result, CellResult), result
        for response, prompt in zip(result.responses, job.prompts, strict=True):
            rendered = loaded.renderer.render(prompt)
            theirs = plain.generates(rendered.token_ids, job.steering, rendered.suffix, 6)
            assert list(response.token_ids) == theirs, (job.cell_id, prompt)
        assert result.fired.fired, (job.cell_id, result.fired)


@pytest.mark.parametrize("extractor", ["hooks", "nnsight"])
@pytest.mark.parametrize("method", ["dim", "cosmic"])
def test_a_spread_model_gives_the_same_directions(method: str, extractor: str, load: Load) -> None:
    verbs = [("harm", "steal", "lie", "rob"), ("bake", "sing", "run", "rest")]
    sides = [tuple(Prompt(verb, f"how to {verb}") for verb in side) for side in verbs]
    job = ExtractionJob("d", sides[0], sides[1], method, extractor=extractor)  # type: ignore[arg-type]
    found, expected = (load("llama", spread)[0].extract(job) for spread in (True, False))
    assert found.selected_layer == expected.selected_layer
    for ours, theirs in zip(found.directions, expected.directions, strict=True):
        np.testing.assert_allclose(ours.vector, theirs.vector, atol=2e-5)


def test_edits_and_what_was_seen_move_between_devices() -> None:
    """The meta device stands for another one: a product of tensors on two devices would raise."""
    table = SteeringTable({0: torch.ones(1, 1, 4)}, {0: torch.ones(1, 1, 4)}, {0: torch.zeros(1, 1, 1, dtype=torch.bool)})
    elsewhere = torch.zeros(1, 3, 4, device="meta")
    with pytest.raises(RuntimeError):
        table.apply(0, elsewhere)
    assert following(table).apply(0, elsewhere).device.type == "meta"
    assert following(table).apply(1, elsewhere) is elsewhere
    seen = gather(Witness({0: torch.zeros(1, 4)}, {0: torch.zeros(1, 4)}), torch.device("meta"))
    assert {seen.raw[0].device.type, seen.seen[0].device.type} == {"meta"}


def test_as_many_gpus_as_asked_for_or_a_clear_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (100 + number, 200))
    assert loading.device_map(1) == {"device_map": {"": torch.device("cuda")}}
    assert loading.device_map(2) == {"device_map": "balanced", "max_memory": {0: 100, 1: 101}}
    with pytest.raises(NotHereError, match="asks for 3 GPUs, this worker sees 2"):
        loading.load_model(ModelSpec("folder", "no such folder"), devices=3)


def test_a_part_that_found_no_gpu_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Elsewhere:
        hf_device_map = {"model.layers.0": 0, "model.layers.1": "disk"}  # noqa: RUF012 - as transformers has it

    monkeypatch.setattr(loading, "device_map", lambda devices: {"device_map": "balanced", "max_memory": {}})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found: dict[str, list[str]] = {kind: [] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *args, **kwargs: (Elsewhere(), found))
    folder = tiny_folder("llama", tmp_path / "model")
    with pytest.raises(ModelLoadError, match="does not fit into 2 GPUs"):
        loading.load_model(ModelSpec("folder", str(folder)), devices=2)
