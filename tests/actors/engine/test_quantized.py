"""bitsandbytes on the CPU: every family under every quantization against plain ``generate``, and bits against the batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import bitsandbytes
import pytest
import torch

from actors.engine.engine import batch_dependence
from actors.loading import leave_uneven_layers
from actors.types import Quantization
from actors.worker import ModelWorker
from tests.actors.engine.test_engine import PROMPTS, Bits, jobs_of, logits_of, run
from tests.oracle import TIE, first_difference, generate_alone
from tests.tiny import CONFIGS

Loader = Callable[..., ModelWorker]
QUANTIZATIONS: tuple[Quantization, ...] = ("int8", "nf4", "nf4-double", "fp4", "fp4-double")
SOME: list[tuple[str, Quantization]] = [
    ("qwen2", "int8"),
    ("gpt2", "int8"),
    ("gemma2", "nf4"),
    ("mistral", "nf4-double"),
    ("qwen3", "fp4"),
    ("phi3", "fp4-double"),
]


def without_outliers(worker: ModelWorker) -> ModelWorker:
    """INT8 with threshold 0: no outlier columns, so a row's product is its own; the engine measures that it is."""
    engine, model = worker._engine, worker._held().model
    assert engine is not None
    for module in model.modules():
        if type(module).__name__ == "Linear8bitLt":
            module.state.threshold = 0.0
    engine._loaded = dataclasses.replace(engine._loaded, batch_dependence=batch_dependence(model))
    return worker


NEAR = 0.05
"""Two best logits closer than this may fall either way. INT8 rounds activations to 1/127 of a row's largest, so noise of 1e-6 can
flip a whole step of it; 4-bit layers multiply a single row by another kernel. Largest seen: 0.03 (INT8), 0.005 (4 bits), where
these models' logits have a standard deviation of 2.4."""
FEW = 2
"""Of twenty rows per model, so many may part from ``generate`` at such a place."""


def check(worker: ModelWorker, n_new: int) -> None:
    """Tokens equal those of ``generate`` with hooks on the same quantized model, up to near ties in a few rows."""
    loaded = worker._held()
    jobs = jobs_of(worker, n_new)[:5]
    parted = 0
    results = run(worker, jobs)
    for job in jobs:
        for prompt, response in list(zip(PROMPTS, results[job.cell_id].responses, strict=True))[::2]:
            ids = loaded.renderer.render(prompt).token_ids
            alone = generate_alone(loaded.model, loaded.decoder.blocks, ids, job.steering, job.decoding.max_new_tokens)
            gap = first_difference(loaded.model, loaded.decoder.blocks, ids, job.steering, response.token_ids, alone)
            assert gap is None or gap.gap < NEAR, f"{job.cell_id} {prompt.id}: {gap}"
            parted += gap is not None and gap.gap >= TIE
    assert parted <= FEW


@pytest.mark.parametrize(("family", "quantization"), SOME)
def test_some_families_equal_generate(family: str, quantization: Quantization, tiny_worker: Loader) -> None:
    check(without_outliers(tiny_worker(family, "float32", quantization)), n_new=6)


@pytest.mark.parametrize(("outputs", "inputs"), [(4, 64), (32, 96), (32, 64)])
def test_four_bit_layers_of_every_size_run(outputs: int, inputs: int) -> None:
    """Where the CPU's own kernel takes no such layer, too; that kernel computes in bfloat16."""
    torch.manual_seed(0)
    layer: Any = bitsandbytes.nn.LinearNF4(inputs, outputs, bias=False).to("cpu").eval().requires_grad_(False)
    weight = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    leave_uneven_layers(layer)
    rows = torch.randn(3, inputs)
    torch.testing.assert_close(layer(rows), rows @ weight.float().T, atol=0.03, rtol=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_every_family_equals_generate(family: str, quantization: Quantization, tiny_worker: Loader) -> None:
    check(without_outliers(tiny_worker(family, "float32", quantization)), n_new=8)


@pytest.mark.parametrize("quantization", ["int8", "nf4", "fp4-double"])
def test_bits_do_not_depend_on_the_batch(
    quantization: Quantization, tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = without_outliers(tiny_worker("llama", "float32", quantization))
    engine = worker._engine
    assert engine is not None
    assert engine._loaded.batch_dependence is None
    jobs = jobs_of(worker, 6)
    together = logits_of(worker, jobs, monkeypatch)
    assert logits_of(worker, jobs[::-1], monkeypatch) == together
    alone: Bits = {}
    for job in jobs[::3]:
        alone |= logits_of(worker, [job], monkeypatch)
    assert alone.items() <= together.items()


def test_int8_with_outliers_says_that_it_depends_on_the_batch(tiny_worker: Loader) -> None:
    engine = tiny_worker("llama", "float32", "int8")._engine
    assert engine is not None
    assert "threshold 6" in str(engine._loaded.batch_dependence)
