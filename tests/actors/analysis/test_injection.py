"""What is added at one layer against plain hooks on the plain model, one prompt at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch import Tensor

from actors.analysis.injection import isotropic
from actors.boundary import Answered
from actors.types import DivergencesJob, Failure, Prompt, ShiftsJob
from actors.worker import ModelWorker

PROMPTS = tuple(Prompt(f"P{number}", text) for number, text in enumerate(("Hi", "Tell me a joke", "Why is the sky so blue?")))
MULTIPLIERS = (3.0, -6.0)


def plain(worker: ModelWorker, prompt: Prompt, layer: int, vector: np.ndarray) -> tuple[np.ndarray, Tensor]:
    """All blocks' outputs at the last token, ``[L, d]``, with ``vector`` added to one of them; log-probabilities of the next."""
    held, outputs = worker._held(), []
    ids = torch.tensor([held.renderer.render(prompt).token_ids])

    def hook(number: int) -> Callable[..., object]:
        def added(_module: object, _args: object, output: object) -> object:
            stream = output[0] if isinstance(output, tuple) else output
            assert isinstance(stream, Tensor)
            stream = stream + torch.from_numpy(vector) if number == layer else stream
            outputs.append(stream[0, -1].double().numpy())
            return (stream, *output[1:]) if isinstance(output, tuple) else stream

        return added

    handles = [block.register_forward_hook(hook(number)) for number, block in enumerate(held.decoder.blocks)]
    try:
        with torch.inference_mode():
            logits = held.model(input_ids=ids, use_cache=False).logits[0, -1]
    finally:
        for handle in handles:
            handle.remove()
    return np.stack(outputs), torch.log_softmax(logits.double(), dim=-1)


def directions(worker: ModelWorker) -> np.ndarray:
    held = worker._held()
    return isotropic(held.decoder.n_layers, held.d_model, np.random.default_rng(1))


def arrays(result: Answered | Failure) -> dict[str, np.ndarray]:
    assert isinstance(result, Answered), result
    return load(result.content)


@pytest.mark.parametrize("family", ["llama", "qwen3_5"])
def test_shifts_are_the_plain_models(family: str, tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker(family)
    vectors, last = directions(worker), worker._held().decoder.n_layers - 1
    job = ShiftsJob("s", PROMPTS, vectors, (1, last), MULTIPLIERS, random=1, seed=7, kept=(2, last))
    found = arrays(next(iter(worker.shifts([job]))))
    assert found["own"].shape == (2, 2, 2, 3, last + 1)
    bases = [plain(worker, prompt, 0, 0 * vectors[0])[0] for prompt in PROMPTS]
    for source, layer in enumerate(job.layers):
        random = isotropic(1, vectors.shape[1], np.random.default_rng([7, layer]))[0]
        for strength, multiplier in enumerate(MULTIPLIERS):
            for which, vector in enumerate((vectors[layer], random)):
                for number, prompt in enumerate(PROMPTS):
                    base = bases[number]
                    moved, _ = plain(worker, prompt, layer, np.float32(multiplier) * vector)
                    shift, at = moved - base, (source, strength, which, number)
                    size = np.linalg.norm(base, axis=1) * 1e-5
                    assert (abs(found["length"][at] - np.linalg.norm(shift, axis=1)) < size).all()
                    assert (abs(found["own"][at] - (shift * vectors).sum(axis=1)) < size).all()
                    assert (abs(found["self"][at] - shift @ vector) < size).all()
                    if which == 0:
                        off = np.linalg.norm(found["states"][source, strength, number] - moved[[2, last]], axis=1)
                        assert (off < size[[2, last]]).all()
        assert found["length"][source, :, :, :, :layer].max() == 0, "nothing moves below"


def test_divergences_are_the_plain_models(tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker("llama_calm")
    vectors = directions(worker)
    contrast = tuple(Prompt(f"C{number}", "x" * (3 + number)) for number in range(6))
    job = DivergencesJob("d", PROMPTS, vectors, (2,), MULTIPLIERS, 4, 3, contrast[:3], contrast[3:])
    found = arrays(next(iter(worker.divergences([job]))))["kl"]
    assert found.shape == (1, 2, 10, 3)
    free = isotropic(4, vectors.shape[1], np.random.default_rng([3, 2]))
    for place, vector in enumerate((vectors[2], -vectors[2], *free)):
        for strength, multiplier in enumerate(MULTIPLIERS):
            for number, prompt in enumerate(PROMPTS):
                _, base = plain(worker, prompt, 2, 0 * vector)
                _, moved = plain(worker, prompt, 2, np.float32(multiplier) * vector)
                kl = float((base.exp() * (base - moved)).sum())
                assert found[0, strength, place, number] == pytest.approx(kl, rel=1e-3, abs=2e-6)


def test_directions_of_the_covariance_lie_where_activations_do(tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker("llama")
    contrast = tuple(Prompt(f"C{number}", "xyz"[number % 3] * (3 + number)) for number in range(8))
    job = DivergencesJob("d", PROMPTS[:1], directions(worker), (1, 3), (4.0,), 3, 3, contrast[:4], contrast[4:])
    assert arrays(next(iter(worker.divergences([job]))))["kl"].min() > 0


def test_what_is_not_finite_fails_by_itself(tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker("llama")
    sizes = {"whole": 2.0, "broken": float("inf")}
    jobs = [ShiftsJob(name, PROMPTS, directions(worker), (1,), (size,)) for name, size in sizes.items()]
    whole, broken = worker.shifts(jobs)
    assert isinstance(whole, Answered)
    assert isinstance(broken, Failure)
    assert (broken.item_id, broken.kind) == ("broken", "non_finite")
