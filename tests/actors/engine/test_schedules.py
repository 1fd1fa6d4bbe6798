"""Strength that changes along the answer, and by layer: tokens of a plain hook, and a check that sees the wrong one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from actors.engine import firing
from actors.engine.forced import ForcedRow
from actors.engine.lanes import Lanes
from actors.errors import JobError
from actors.schedules import Schedule
from actors.steering import SteeringBank, SteeringTable, check_steering
from actors.types import Decoding, GenerationJob, Steering
from actors.worker import ModelWorker
from tests.actors.engine.test_interventions import D_MODEL, unit
from tests.actors.engine.test_steered_positions import NEW, answers, cells, run
from tests.actors.engine.test_steered_positions import PROMPTS as ALL_PROMPTS
from tests.oracle import edits_of, generate_alone, plain_hooks

Loader = Callable[..., ModelWorker]
PROMPTS = ALL_PROMPTS[:2]
FADING = (
    ("constant", "all"),
    ("linear:4", "all"),
    ("exponential:2", "all"),
    ("exponential:3", "template+first:5"),
    ("linear:5", "from:2"),
)


def fading() -> list[GenerationJob]:
    """Every intervention that may fade by each schedule, the addition with strengths of its own at each layer."""
    found = []
    for number, (schedule, positions) in enumerate(FADING):
        scaled = Steering((1, 2, 3, 4), unit(4, number), 20.0, scales=(1.0, 0.5, 2.0, 1.5))
        ablated = Steering((0, 1, 2, 3, 4), unit(5, number), 1.0, "ablation")
        affine = Steering((1, 2), unit(2, number), 0.7, "affine_ablation", (5.0, -9.0))
        kinds = [replace(one, positions=positions, schedule=schedule) for one in (scaled, ablated, affine)]
        kinds += [replace(one, keep_norm=True) for one in kinds]
        kinds.append(Steering((2, 3), unit(2, number), 55.0, "rotation", positions=positions, schedule=schedule))
        jobs = ((f"{schedule} {positions} {one.intervention}{' kept' * one.keep_norm}", one) for one in kinds)
        found += [GenerationJob(name, PROMPTS, Decoding(NEW), one) for name, one in jobs]
    return found


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_tokens_equal_a_plain_hook(family: str, tiny_worker: Loader) -> None:
    worker = tiny_worker(family)
    loaded, jobs = worker._held(), fading()
    results = run(worker, [*cells(["all", "first:3"]), *jobs])
    for job in jobs:
        for prompt, response in zip(PROMPTS, results[job.cell_id].responses, strict=True):
            rendered = loaded.renderer.render(prompt)
            ids, template = rendered.token_ids, rendered.suffix
            guess = response.token_ids if prompt is not PROMPTS[0] else None
            plain = generate_alone(loaded.model, loaded.decoder.blocks, ids, job.steering, NEW, template, guess)
            assert list(response.token_ids) == plain, f"{job.cell_id} {prompt.id}"
        fired = results[job.cell_id].fired
        assert fired.fired is True, f"{job.cell_id}: {fired}"
        assert (fired.stray_max or 0.0) < 1e-6


def test_neighbours_refills_and_lanes_change_no_token(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tiny_worker("llama")
    together = answers(run(worker, fading()))
    alone = {key: one for job in fading()[::4] for key, one in answers(run(worker, [job])).items()}
    assert alone == {key: together[key] for key in alone}
    others = cells(["all", "generation"])
    found = answers(run(tiny_worker("llama", slots=16), [*others, *fading()[::-1]]))
    assert {key: found[key] for key in together} == together
    monkeypatch.setattr("actors.engine.lanes.ROWS_PER_LANE", 1)
    assert worker._engine is not None
    monkeypatch.setattr(worker._engine, "_lanes", Lanes(2))
    assert answers(run(worker, fading())) == together


@pytest.mark.parametrize("family", ["llama", "qwen3_5"])
def test_given_answers_are_read_as_they_would_be_written(family: str, tiny_worker: Loader) -> None:
    worker = tiny_worker(family)
    loaded = worker._held()
    text = tuple(range(30, 44))
    steering = Steering((1, 3), unit(2, 0), 20.0, schedule="linear:5")
    rows = [ForcedRow(text[:n], 2, text[n:], 1) for n in (6, 9)]
    assert worker._engine is not None
    for row, found in zip(rows, worker._engine.likelihoods(rows, [steering]), strict=True):
        with torch.no_grad(), plain_hooks(loaded.decoder.blocks, edits_of(steering, len(row.prompt))):
            logits = loaded.model(input_ids=torch.tensor([row.text]), use_cache=False).logits[0, len(row.prompt) - 1 :]
        plain = logits.double().log_softmax(-1).gather(1, torch.tensor(row.continuation)[:, None])[:, 0]
        torch.testing.assert_close(torch.from_numpy(found.log_probs).double(), plain, atol=1e-4, rtol=1e-4)


def test_a_schedule_that_runs_late_is_caught(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, at = tiny_worker("llama"), SteeringTable.at
    monkeypatch.setattr(SteeringTable, "at", lambda self, positions: at(self, positions - 1))
    fired = run(worker, fading())["linear:4 all addition"].fired
    assert fired.fired is False
    assert fired.shift_ratio_max == pytest.approx(1 / 0.75, abs=1e-3)
    assert fired.stray_max == pytest.approx(0.25, abs=1e-3)


def test_what_has_nearly_faded_is_not_held_against_a_row(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of so small a shift float32 keeps the whole, and not its last thirty-second."""
    steering = Steering((1, 2), unit(2, 0), 1e-4, positions="first:6", schedule="exponential:1")
    job = GenerationJob("c", PROMPTS, Decoding(NEW), steering)
    assert run(tiny_worker("llama"), [job])["c"].fired.fired is True
    monkeypatch.setattr(firing, "HELD", 0.0)
    assert run(tiny_worker("llama"), [job])["c"].fired.fired is False


def test_the_norm_is_what_it_was() -> None:
    steering = Steering((0,), unit(1, 0), 20.0, keep_norm=True)
    bank = SteeringBank([steering], (2, D_MODEL), torch.float32, torch.device("cpu"))
    hidden = torch.randn(3, 4, D_MODEL, generator=torch.Generator().manual_seed(0))
    edited = bank.rows(torch.tensor([1, 0, 1])).apply(0, hidden)
    torch.testing.assert_close(edited.norm(dim=-1), hidden.norm(dim=-1))
    along = torch.from_numpy(steering.vectors[0])
    assert bool(((edited - hidden)[[0, 2]] @ along > 1).all())
    assert torch.equal(edited[1], hidden[1])
    assert bank.rows(torch.tensor([1, 0, 1])).apply(1, hidden) is hidden


def test_what_is_left_by_hand() -> None:
    assert [Schedule.of("linear:4").share(token) for token in (-3, 0, 1, 3, 4, 9)] == [1, 1, 0.75, 0.25, 0, 0]
    assert [Schedule.of("exponential:2").share(token) for token in (-1, 0, 2, 4)] == [1, 1, 0.5, 0.25]
    assert [Schedule.of(words).text for words in ("constant", "linear:4", "exponential:250000")] == [
        *("constant", "linear:4", "exponential:250000"),
    ]


@pytest.mark.parametrize(
    ("steering", "told"),
    [
        (Steering((1,), unit(1, 0), 1.0, schedule="linear:0"), "from 1"),
        (Steering((1,), unit(1, 0), 1.0, schedule="falling"), "'falling' is unknown"),
        (Steering((1,), unit(1, 0), 1.0, "replacement", schedule="linear:3"), "nothing in its place"),
        (Steering((1,), unit(1, 0), 1.0, scales=(1.0, 2.0)), "2 scales for 1 layers"),
        (Steering((1, 2), unit(2, 0), 1.0, "ablation", scales=(1.0, 2.0)), "between 0"),
    ],
)
def test_what_cannot_run_is_refused(steering: Steering, told: str) -> None:
    with pytest.raises(JobError, match=told):
        check_steering(steering, 5, D_MODEL)
