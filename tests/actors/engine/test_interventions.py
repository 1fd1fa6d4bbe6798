"""Every intervention in one batch: tokens equal to plain ``generate``, the check that it fired, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from actors.errors import JobError
from actors.grouped import Grouped
from actors.interventions import INTERVENTIONS, References, own
from actors.interventions.own import digest_of
from actors.steering import SteeringBank, SteeringTable, check_steering
from actors.types import CellResult, Decoding, Failure, GenerationJob, Prompt, Steering
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
        within(Steering((1, 2), unit(2, 8), 12.0, "subspace_replacement"), 3),
        within(Steering((2, 3), unit(2, 9), 0.0, "subspace_replacement"), 2),
        beside(Steering((1, 2, 3), unit(3, 10), 150.0, "angular")),
        beside(Steering((2,), unit(1, 11), 0.0, "angular", keep_norm=True)),
        Steering((1, 3), unit(2, 13), 60.0, "rotation"),
    ]


def beside(steering: Steering) -> Steering:
    """With a second axis per layer, at a right angle to the direction."""
    found = within(steering, 2)
    return replace(found, bases=tuple(basis[1:] for basis in found.bases))


def within(steering: Steering, n_axes: int) -> Steering:
    """With a basis per layer whose first axis is the direction."""
    found = []
    for number, vector in enumerate(steering.vectors):
        columns = np.concatenate([vector[None], unit(n_axes - 1, 100 + number)]).T.astype(np.float64)
        found.append(np.linalg.qr(columns)[0].T.astype(np.float32))
    return replace(steering, bases=tuple(found))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_all_kinds_in_one_batch_equal_generate(family: str, tiny_worker: Loader) -> None:
    worker = tiny_worker(family)
    loaded = worker._held()
    jobs = [GenerationJob(f"cell{i}", PROMPTS, Decoding(10), steering) for i, steering in enumerate(all_kinds())]
    results = {result.cell_id: result for result in worker.generate(jobs) if isinstance(result, CellResult)}
    for job in jobs:
        for prompt, response in zip(PROMPTS, results[job.cell_id].responses, strict=True):
            ids = loaded.renderer.render(prompt).token_ids
            guess = response.token_ids if prompt is not PROMPTS[0] else None
            alone = generate_alone(loaded.model, loaded.decoder.blocks, ids, job.steering, 10, guess=guess)
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


SOFT = """def soft(activation, vector, strength, references):
    component = (activation * vector).sum(-1, keepdim=True)
    return activation + strength * vector * (component < 0)
"""


@pytest.mark.parametrize("positions", ["all", "last_prompt", "generation"])
def test_a_function_that_leaves_some_rows_as_they_are_is_not_missed(
    positions: str, tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker("llama")
    name = f"mine.py:soft@{digest_of(SOFT, 'soft')}"
    soft = Steering((2,), unit(1, 1), 60.0, name, code=SOFT, positions=positions)
    idle = replace(soft, multiplier=0.0, then=(Steering((1,), unit(1, 2), 10.0, positions=positions),))
    jobs = [GenerationJob(str(number), PROMPTS, Decoding(10), one) for number, one in enumerate((soft, idle))]
    assert [one.fired.fired for one in worker.generate(jobs) if isinstance(one, CellResult)] == [True, True]
    monkeypatch.setattr(Grouped, "apply", lambda _self, hidden, _share: hidden)
    assert [one.fired.fired for one in worker.generate(jobs[:1]) if isinstance(one, CellResult)] == [False]
    monkeypatch.setattr(Grouped, "apply", lambda self, hidden, _share: hidden + 60 * self.vectors)
    assert [one.fired.fired for one in worker.generate(jobs[:1]) if isinstance(one, CellResult)] == [False]


@pytest.mark.parametrize(
    ("late", "words"),
    [
        ("raise KeyError('late')", "KeyError: 'late' (mine.py, line 4)"),
        ("raise SystemExit(3)", "SystemExit: 3 (mine.py, line 4)"),
        ("return activation[..., :10]", "must keep the shape"),
    ],
)
def test_a_function_that_fails_in_a_batch_fails_its_own_cells_alone(late: str, words: str, tiny_worker: Loader) -> None:
    known = "if activation.shape[1] in (1, 5):\n        return activation * 1"
    code = f"def odd(activation, vector, strength, references):\n    {known}\n    {late}\n"
    odd = Steering((2,), unit(1, 1), 6.0, f"mine.py:odd@{digest_of(code, 'odd')}", code=code)
    worker = tiny_worker("llama")
    plain = GenerationJob("plain", PROMPTS, Decoding(10), Steering((2,), unit(1, 2), 6.0))
    (alone,) = worker.generate([plain])
    jobs = [GenerationJob("odd", PROMPTS, Decoding(10), odd), plain]
    found = [*worker.generate(jobs)]
    (failure,) = [one for one in found if isinstance(one, Failure)]
    (beside,) = [one for one in found if isinstance(one, CellResult)]
    assert (failure.item_id, beside.cell_id) == ("odd", "plain")
    assert failure.kind == "job"
    assert words in failure.message
    assert isinstance(alone, CellResult)
    assert beside.responses == alone.responses


def test_a_function_that_cannot_be_recorded_is_no_fault_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(*_given: object) -> torch.Tensor:
        raise RuntimeError("called a synchronizing CUDA operation")

    change, hidden = own.OwnChange("mine.py:waits", "mine.py", waits), torch.ones(1, 1, 4)
    given = hidden, hidden, hidden[..., :1], References(hidden[..., :1], hidden)
    monkeypatch.setattr(own, "being_recorded", lambda _activation: True)
    with pytest.raises(RuntimeError, match="synchronizing"):
        change(*given)
    assert not change.fault
    monkeypatch.setattr(own, "being_recorded", lambda _activation: False)
    assert change(*given).isnan().all()
    assert "synchronizing" in change.fault


def test_what_rounding_leaves_of_a_small_edit_is_no_miss(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ablation where there is next to nothing to take away; one that is not made is still seen, as is a lost addition."""
    worker, layers = tiny_worker("llama", "bfloat16"), (0, 1, 2, 3, 4)
    prompts = tuple(Prompt(f"P{number}", "y" * number) for number in range(1, 13))
    removed = [Steering(layers, np.repeat(unit(1, seed), 5, 0), 1.0, "ablation") for seed in range(8)]
    jobs = [GenerationJob(str(number), prompts, Decoding(2), one) for number, one in enumerate(removed)]
    assert [one.fired.fired for one in worker.generate(jobs) if isinstance(one, CellResult)] == [True] * 8
    small = GenerationJob("small", prompts, Decoding(2), Steering((2,), unit(1, 0), 1e-3))
    assert [one.fired.fired for one in worker.generate([small]) if isinstance(one, CellResult)] == [False]
    monkeypatch.setattr(SteeringTable, "_without", lambda _self, hidden, _axes: hidden)
    assert [one.fired.fired for one in worker.generate(jobs) if isinstance(one, CellResult)] == [False] * 8


@pytest.mark.parametrize("name", sorted(INTERVENTIONS))
def test_an_edit_is_a_function_of_its_inputs_alone(name: str) -> None:
    vector = unit(1, 0)[0]
    before = vector.copy()
    basis = np.concatenate([vector[None], np.eye(1, D_MODEL) - vector[0] * vector]).astype(np.float32)
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    intervention = INTERVENTIONS[name]
    edit = intervention(vector, 0.5, 3.0, basis[1:] if intervention.needs == "plane" else basis)
    assert np.array_equal(vector, before)
    assert edit.shift is None or (edit.shift.dtype == np.float32 and edit.shift.shape == (D_MODEL,))
    assert edit.axes is None or (edit.axes.dtype == np.float32 and edit.axes.shape in ((1, D_MODEL), (2, D_MODEL)))
    assert not (edit.replaces and edit.axes is not None)
    parts = (edit.shift, edit.axes, edit.change)
    assert any(part is not None for part in parts)
    assert edit.change is None or parts == (None, None, edit.change)


@pytest.mark.parametrize("name", ["addition", "ablation", "affine_ablation"])
def test_multiplier_zero_is_the_identity(name: str) -> None:
    edit = INTERVENTIONS[name](unit(1, 0)[0], 0.0, 3.0)
    assert all(part is None or not part.any() for part in (edit.shift, edit.axes))


def test_affine_ablation_leaves_the_reference_along_the_direction() -> None:
    direction, state = unit(1, 0)[0].astype(np.float64), np.random.default_rng(1).standard_normal(D_MODEL)
    edit = INTERVENTIONS["affine_ablation"](unit(1, 0)[0], 1.0, -2.5)
    assert edit.shift is not None
    assert edit.axes is not None
    after = state + edit.shift - (state @ edit.axes.T) @ edit.axes
    assert after @ direction == pytest.approx(-2.5, abs=1e-5)
    across = after - (after @ direction) * direction
    assert np.allclose(across, state - (state @ direction) * direction, atol=1e-5)


@pytest.mark.parametrize(
    ("steering", "words"),
    [
        (Steering((1, 2), unit(2, 0), 1.0, "affine_ablation", (1.0,)), "1 references for 2 layers"),
        (Steering((1,), unit(1, 0), 1.5, "affine_ablation", (1.0,)), "between 0"),
        (Steering((1,), unit(1, 0), 1.0, "twist"), "twist"),
        (Steering((1,), unit(1, 0), 1.0, "angular"), "one axis beside"),
        (Steering((1,), unit(1, 0), 1.0, "angular", bases=(unit(1, 0),)), "right angle"),
        (Steering((1,), unit(1, 0), 1.0, "subspace_replacement"), "needs a basis"),
        (Steering((1,), unit(1, 0), 1.0, "subspace_replacement", bases=(unit(2, 0) * 2,)), "orthonormal"),
        (replace(within(Steering((1,), unit(1, 0), 1.0, "subspace_replacement"), 2), vectors=unit(1, 5)), "within the subspace"),
        (Steering((1, 2), unit(2, 0), 1.0, bases=(unit(1, 0),)), "1 bases"),
    ],
)
def test_what_cannot_run_is_refused(steering: Steering, words: str) -> None:
    with pytest.raises(JobError, match=words):
        check_steering(steering, 5, D_MODEL)


def test_a_subspace_is_left_and_entered_whole() -> None:
    """``h - B^T B h + B^T c`` of a steering with three axes, in the table of a batch whose other row has one."""
    at_point = within(Steering((0,), unit(1, 2), 9.0, "subspace_replacement"), 3)
    alone = Steering((0,), unit(1, 1), 1.0, "ablation")
    state = torch.from_numpy(np.random.default_rng(3).standard_normal((2, 4, D_MODEL)).astype(np.float32))
    bank = SteeringBank([at_point, alone], (2, D_MODEL), torch.float32, torch.device("cpu"))
    both = bank.rows(torch.tensor([1, 2])).apply(0, state)
    basis, h = at_point.bases[0].astype(np.float64), state.double().numpy()
    expected = h[0] - h[0] @ basis.T @ basis + 9.0 * at_point.vectors[0]
    np.testing.assert_allclose(both[0].numpy(), expected, atol=1e-5)
    one = SteeringBank([alone], (2, D_MODEL), torch.float32, torch.device("cpu"))
    assert torch.equal(both[1], one.rows(torch.tensor([1])).apply(0, state[1:])[0]), "a neighbour with more axes changes no bit"


@pytest.mark.parametrize("name", [name for name, one in INTERVENTIONS.items() if one.unit == "degrees"])
def test_a_turn_keeps_the_norm_and_ends_at_its_angle(name: str) -> None:
    """Of a function the rows that do not use it get back what they had, whether it runs on them or not."""
    degrees, steering = 130.0, beside(Steering((1,), unit(1, 2), 130.0, name))
    plain = Steering((1,), unit(1, 3), 2.0)
    state = torch.from_numpy(np.random.default_rng(4).standard_normal((4, 3, D_MODEL)).astype(np.float32))
    bank = SteeringBank([steering, plain], (2, D_MODEL), torch.float32, torch.device("cpu"))
    numbers = torch.tensor([2, 1, 0, 1])
    after = bank.rows(numbers).apply(1, state)
    lasting = bank.rows(numbers[[1, 0, 0, 2]], lasting=True)
    lasting.copy_(bank.rows(numbers, lasting=True))
    torch.testing.assert_close(lasting.apply(1, state), after, rtol=0, atol=0)
    assert torch.equal(after[2], state[2])
    torch.testing.assert_close(after[0], state[0] + 2.0 * torch.from_numpy(plain.vectors[0]))
    turned, before = after[[1, 3]].double(), state[[1, 3]].double()
    torch.testing.assert_close(turned.norm(dim=-1), before.norm(dim=-1), rtol=1e-5, atol=0)
    axis = torch.from_numpy(steering.vectors[0]).double()
    if name == "rotation":
        angle = torch.rad2deg((turned @ axis / turned.norm(dim=-1)).acos())
        assert angle.flatten().tolist() == pytest.approx([degrees] * 6, abs=1e-3)
        return
    second = torch.from_numpy(steering.bases[0][0]).double()
    angle = torch.rad2deg(torch.atan2(turned @ second, turned @ axis))
    assert angle.flatten().tolist() == pytest.approx([degrees] * 6, abs=1e-3)
    away = [one - (one @ axis)[..., None] * axis - (one @ second)[..., None] * second for one in (turned, before)]
    torch.testing.assert_close(*away, rtol=0, atol=1e-5)
