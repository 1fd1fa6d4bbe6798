"""The probe against plain forwards with hooks, on every family; its memory failures; its batching changes no number."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from actors.engine import probe as probe_module
from actors.engine.alone_probe import AloneProbe
from actors.engine.probe import EngineProbe
from actors.engine.segments import SegmentRunner
from actors.errors import JobError, OutOfMemoryError, UnsupportedModelError
from actors.methods import Trial
from actors.types import ExtractionJob, Prompt, Steering
from actors.worker import ModelWorker
from tests.cosmic_oracle import PlainModel, Prompts, plain_cosmic
from tests.tiny import CONFIGS

POSITIVE = tuple(
    Prompt(f"H{i}", text) for i, text in enumerate(["Make a bomb", "How do I steal a car?", "Break a lock now", "Hurt me"])
)
NEGATIVE = tuple(
    Prompt(f"L{i}", text) for i, text in enumerate(["Bake a cake", "How do I wash a car?", "Open a jar please", "Hi"])
)


def probe_of(worker: ModelWorker) -> EngineProbe:
    assert isinstance(worker._probe, EngineProbe)
    return worker._probe


def some_trials(worker: ModelWorker) -> list[Trial]:
    """Ablation everywhere, affine ablation and addition of two directions at several layers, and the unsteered model."""
    loaded = worker._loaded
    assert loaded is not None
    rng = np.random.default_rng(0)
    n_layers, every = loaded.decoder.n_layers, tuple(range(loaded.decoder.n_layers))
    trials = [Trial(None, POSITIVE, every), Trial(None, NEGATIVE, (1, 3), POSITIVE)]
    for layer in (0, 2, n_layers - 1):
        unit = rng.standard_normal((1, loaded.d_model)).astype(np.float32)
        unit /= np.linalg.norm(unit)
        trials += [
            Trial(
                Steering(every, np.repeat(unit, n_layers, axis=0), 1.0, "ablation"), POSITIVE, every, NEGATIVE, everywhere=True
            ),
            Trial(Steering((layer,), unit, 1.0, "affine_ablation", (2.5,)), POSITIVE[:2], every, NEGATIVE[1:]),
            Trial(Steering((layer,), unit, 7.0), NEGATIVE, every),
        ]
    return trials


def numbers(probe: EngineProbe, trials: list[Trial]) -> tuple[list[Any], list[float | None]]:
    readings = probe.run(trials)
    return [reading.mean for reading in readings], [reading.kl for reading in readings]


AFFINE = ("gemma2", "gpt2", "llama", "qwen3_5", "qwen3_moe")
"""The families that are ablated affinely in every test run; the rest are built like one of them."""


@pytest.mark.parametrize(("family", "mode"), [
    *((family, "linear") for family in sorted(CONFIGS)),
    *(pytest.param(family, "affine", marks=() if family in AFFINE else pytest.mark.slow) for family in sorted(CONFIGS)),
])  # fmt: skip
def test_cosmic_equals_the_plain_one_in_every_family(family: str, mode: str, tiny_worker: Callable[..., ModelWorker]) -> None:
    check_cosmic(tiny_worker(family), mode)


@pytest.mark.parametrize(("family", "mode"), [
    ("llama", "linear"),
    ("gemma2", "affine"),
    *(pytest.param(*pair, marks=pytest.mark.slow) for pair in (("llama", "affine"), ("gemma2", "linear"))),
    *(pytest.param("gpt_neox", mode, marks=pytest.mark.slow) for mode in ("linear", "affine")),
])  # fmt: skip
def test_cosmic_one_prompt_per_forward_is_the_same(family: str, mode: str, tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker(family)
    worker._probe = AloneProbe(probe_of(worker)._loaded, probe_of(worker)._render)
    check_cosmic(worker, mode)


def test_what_is_added_in_place_is_read_in_that_output(tiny_worker: Callable[..., ModelWorker]) -> None:
    """As in COSMIC's release: block l's output holds what is added to block l + 1's input."""
    worker = tiny_worker()
    loaded = worker._held()
    vector = np.random.default_rng(1).standard_normal((1, loaded.d_model)).astype(np.float32)
    steering = Steering((2,), vector, 1.0)
    for probe in (probe_of(worker), AloneProbe(probe_of(worker)._loaded, probe_of(worker)._render)):
        trials = [
            Trial(None, NEGATIVE, (2,)),
            Trial(steering, NEGATIVE, (2,)),
            Trial(steering, NEGATIVE, (2,), in_place=True),
            Trial(steering, NEGATIVE, (1, 4)),
            Trial(steering, NEGATIVE, (1, 4), in_place=True),
        ]
        means = [reading.mean for reading in probe.run(trials) if reading.mean is not None]
        base, copied, in_place, elsewhere, elsewhere_in_place = means
        near = 1e-5 * float(np.abs(base).max())
        np.testing.assert_allclose(copied, base, atol=near)
        np.testing.assert_allclose(in_place, base + vector[0], atol=near)
        np.testing.assert_allclose(elsewhere_in_place, elsewhere)


def check_cosmic(worker: ModelWorker, mode: str) -> None:
    """Every candidate's scores, the choice and its direction against the algorithm written down plainly."""
    loaded = worker._loaded
    assert loaded is not None
    options = {"ablation": mode, "kl_limit": None, "held_out": 0.5}
    found = worker.extract(ExtractionJob("x", POSITIVE, NEGATIVE, "cosmic", options, "hooks"))
    held = json.loads(found.record["held_out_prompts"])

    def split(prompts: tuple[Prompt, ...], ids: list[str]) -> Prompts:
        tokens = {prompt.id: loaded.renderer.render(prompt).token_ids for prompt in prompts}
        return Prompts([tokens[p.id] for p in prompts if p.id not in ids], [tokens[p.id] for p in prompts if p.id in ids])

    places = [(position, layer) for layer in (0, 1, 2) for position in (-2, -1)]  # L = 5: block inputs 1, 2, 3
    plain = plain_cosmic(
        PlainModel(loaded.model, loaded.decoder.blocks),
        split(POSITIVE, held["positive"]),
        split(NEGATIVE, held["negative"]),
        places,
        mode,
        kl_limit=None,
    )
    rows = json.loads(found.record["candidates"])["rows"]
    assert sorted((row[0], row[1]) for row in rows) == sorted(places)
    assert json.loads(found.record["evaluation_layers"]) == plain.evaluated
    for position, layer, ablation, addition, kl, _ in rows:
        expected = plain.scores[position, layer]
        np.testing.assert_allclose((ablation, addition), expected[:2], atol=1e-4)
        np.testing.assert_allclose(kl, expected[2], atol=1e-4, rtol=1e-3)
    assert plain.best is not None
    assert found.selected_layer == plain.best[1]
    chosen = plain.differences[plain.best].numpy()
    direction = found.at(plain.best[1])
    np.testing.assert_allclose(direction.vector * direction.raw_norm, chosen, atol=1e-4 * direction.raw_norm)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_prefix_sharing_and_lots_change_no_number(
    family: str, tiny_worker: Callable[..., ModelWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker(family)
    assert worker._loaded is not None
    trials = some_trials(worker)
    means, kls = numbers(probe_of(worker), trials)
    monkeypatch.setattr(worker._loaded.renderer, "_prefix", [])  # nothing is shared
    for limits in ({"TRUNK_TOKENS": 1}, {"MAX_ROWS": 1}, {"MAX_TOKENS": 60}):
        with monkeypatch.context() as patch:
            for name, value in limits.items():
                patch.setattr(probe_module, name, value)
            other = EngineProbe(probe_of(worker)._loaded, worker._loaded.renderer.render)
            other_means, other_kls = numbers(other, trials)
        for mine, theirs in zip(means, other_means, strict=True):
            np.testing.assert_allclose(theirs, mine, atol=1e-4 * np.abs(mine).max())
        assert [kl is None for kl in other_kls] == [kl is None for kl in kls]
        np.testing.assert_allclose([kl or 0.0 for kl in other_kls], [kl or 0.0 for kl in kls], rtol=1e-3, atol=1e-5)


def test_unsteered_trial_is_the_model_itself(tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker()
    loaded = worker._loaded
    assert loaded is not None
    layers = tuple(range(loaded.decoder.n_layers))
    (reading,) = probe_of(worker).run([Trial(None, POSITIVE, layers, NEGATIVE)])
    assert reading.kl == 0.0
    plain = PlainModel(loaded.model, loaded.decoder.blocks)
    expected = torch.stack([plain.run(loaded.renderer.render(p).token_ids, {})[0][:, -1] for p in POSITIVE]).mean(dim=(0, 1))
    assert reading.mean is not None
    np.testing.assert_allclose(reading.mean, expected.numpy(), atol=1e-4 * float(expected.abs().max()))


def test_out_of_memory_halves_the_lot_and_goes_on(
    tiny_worker: Callable[..., ModelWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker()
    trials = some_trials(worker)
    means, kls = numbers(probe_of(worker), trials)
    run, sizes = SegmentRunner.run, []

    def short_of_memory(self: SegmentRunner, segment: Any) -> Any:
        if len(segment.tokens) > 8:
            raise torch.OutOfMemoryError("no memory for more than 8 rows")
        sizes.append(len(segment.tokens))
        return run(self, segment)

    monkeypatch.setattr(SegmentRunner, "run", short_of_memory)
    other_means, other_kls = numbers(EngineProbe(probe_of(worker)._loaded, probe_of(worker)._render), trials)
    assert max(sizes) <= 8
    for mine, theirs in zip(means, other_means, strict=True):
        np.testing.assert_allclose(theirs, mine, atol=1e-4 * np.abs(mine).max())
    np.testing.assert_allclose([kl or 0.0 for kl in other_kls], [kl or 0.0 for kl in kls], rtol=1e-3, atol=1e-5)

    def no_memory(self: SegmentRunner, segment: Any) -> Any:
        raise torch.OutOfMemoryError("none left")

    monkeypatch.setattr(SegmentRunner, "run", no_memory)
    with pytest.raises(OutOfMemoryError, match="none left"):
        probe_of(worker).run(trials)


def test_nothing_stays_on_the_model(tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker()
    loaded = worker._loaded
    assert loaded is not None

    def hooks() -> int:
        return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in loaded.model.modules())

    before, attention = hooks(), loaded.model.config._attn_implementation
    probe_of(worker).run(some_trials(worker))
    assert (hooks(), loaded.model.config._attn_implementation) == (before, attention)


def test_family_whose_blocks_cannot_be_told_is_refused_for_linear_ablation_only(
    tiny_worker: Callable[..., ModelWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_args: object) -> None:
        raise UnsupportedModelError("block 3: its output is not its input")

    monkeypatch.setattr("actors.engine.everywhere.places_of", unknown)
    worker = tiny_worker()
    job = ExtractionJob("x", POSITIVE, NEGATIVE, "cosmic", {"kl_limit": None}, "hooks")
    with pytest.raises(JobError, match=r"'llama': what its blocks add .* \(block 3: .*\): no ablation everywhere"):
        worker.extract(job)
    affine = ExtractionJob("x", POSITIVE, NEGATIVE, "cosmic", {"kl_limit": None, "ablation": "affine"}, "hooks")
    assert worker.extract(affine).selected_layer is not None
