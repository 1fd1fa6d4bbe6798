"""Every intervention in one batch: tokens equal to plain ``generate``, the check that it fired, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from actors.errors import JobError
from actors.interventions import INTERVENTIONS
from actors.steering import check_steering
from actors.types import CellResult, Decoding, GenerationJob, Prompt, Steering
from actors.worker import ModelWorker
from tests.oracle import TIE, first_difference, generate_alone

Loader = Callable[..., ModelWorker]
PROMPTS = tuple(Prompt(f"P{i}", text) for i, text in enumerate(["How do I bake a cake?", "Hi", "Why is the sky blue at noon?"]))
D_MODEL = 64


def unit(rows: int, seed: int) -> np.ndarray:
    """Random unit vectors ``[rows, d]``."""
    vectors = np.random.default_rng(seed).standard_normal((rows, D_MODEL)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def all_kinds() -> list[Steering | None]:
    """Each intervention at one, some and all layers, so that one layer sees all of them in one batch."""
    return [
        None,
        Steering((1, 2), unit(2, 0), 7.0),
        Steering((2,), unit(1, 1), 40.0, "replacement"),
        Steering((1, 4), unit(2, 2), 25.0, "replacement"),
        Steering((0, 1, 2, 3, 4), unit(5, 3), 1.0, "ablation"),
        Steering((2, 3), unit(2, 4), 1.0, "affine_ablation", (5.0, -9.0)),
        Steering((1, 2), unit(2, 5), 0.5, "affine_ablation", (30.0, 12.0)),
        Steering((2, 4), unit(2, 6), 1.0, "affine_ablation"),
        Steering((0, 1, 2, 3, 4), unit(5, 7), -5.0),
    ]


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_all_kinds_in_one_batch_equal_generate(family: str, tiny_worker: Loader) -> None:
    worker = tiny_worker(family)
    loaded = worker._held()
    jobs = [GenerationJob(f"cell{i}", PROMPTS, Decoding(10), steering) for i, steering in enumerate(all_kinds())]
    results = {result.cell_id: result for result in worker.generate(jobs) if isinstance(result, CellResult)}
    for job in jobs:
        for prompt, response in zip(PROMPTS, results[job.cell_id].responses, strict=True):
            ids = loaded.renderer.render(prompt).token_ids
            alone = generate_alone(loaded.model, loaded.decoder.blocks, ids, job.steering, 10)
            gap = first_difference(loaded.model, loaded.decoder.blocks, ids, job.steering, response.token_ids, alone)
            assert gap is None or gap.gap < TIE, f"{job.cell_id} {prompt.id}: {gap}"
    assert all(results[job.cell_id].fired.fired is True for job in jobs[1:]), [results[job.cell_id].fired for job in jobs]


def test_neighbours_of_another_kind_change_no_bit(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama", "bfloat16")
    jobs = [GenerationJob(f"cell{i}", PROMPTS, Decoding(10), steering) for i, steering in enumerate(all_kinds())]
    together = {result.cell_id: result for result in worker.generate(jobs) if isinstance(result, CellResult)}
    for job in jobs:
        (alone,) = worker.generate([job])
        assert isinstance(alone, CellResult)
        assert alone.responses == together[job.cell_id].responses
        assert alone.fired == together[job.cell_id].fired


@pytest.mark.parametrize("name", sorted(INTERVENTIONS))
def test_an_edit_is_a_function_of_its_inputs_alone(name: str) -> None:
    vector = unit(1, 0)[0]
    before = vector.copy()
    edit = INTERVENTIONS[name](vector, 0.5, 3.0)
    assert np.array_equal(vector, before)
    for part in (edit.shift, edit.axis):
        assert part is None or (part.dtype == np.float32 and part.shape == (D_MODEL,))
    assert not (edit.replaces and edit.axis is not None)


@pytest.mark.parametrize("name", ["addition", "ablation", "affine_ablation"])
def test_multiplier_zero_is_the_identity(name: str) -> None:
    edit = INTERVENTIONS[name](unit(1, 0)[0], 0.0, 3.0)
    assert all(part is None or not part.any() for part in (edit.shift, edit.axis))


def test_affine_ablation_leaves_the_reference_along_the_direction() -> None:
    direction, state = unit(1, 0)[0].astype(np.float64), np.random.default_rng(1).standard_normal(D_MODEL)
    edit = INTERVENTIONS["affine_ablation"](unit(1, 0)[0], 1.0, -2.5)
    assert edit.shift is not None
    assert edit.axis is not None
    after = state + edit.shift - (state @ edit.axis) * edit.axis
    assert after @ direction == pytest.approx(-2.5, abs=1e-5)
    across = after - (after @ direction) * direction
    assert np.allclose(across, state - (state @ direction) * direction, atol=1e-5)


@pytest.mark.parametrize(
    ("steering", "words"),
    [
        (Steering((1, 2), unit(2, 0), 1.0, "affine_ablation", (1.0,)), "1 references for 2 layers"),
        (Steering((1,), unit(1, 0), 1.5, "affine_ablation", (1.0,)), "between 0"),
        (Steering((1,), unit(1, 0), 1.0, "rotation"), "rotation"),
    ],
)
def test_what_cannot_run_is_refused(steering: Steering, words: str) -> None:
    with pytest.raises(JobError, match=words):
        check_steering(steering, 5, D_MODEL)
