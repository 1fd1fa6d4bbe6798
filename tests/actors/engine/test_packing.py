"""Packed products: the right numbers, the same bits at any number of rows, nothing left behind, and clean refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from actors.engine import packing
from actors.engine.engine import batch_dependence
from actors.engine.grain import COARSE, FINE
from actors.engine.packing import PackedLinear, Packing, keeps_bits, pack
from actors.worker import ModelWorker
from tests.tiny import tiny_model

CPU = torch.device("cpu")
Loader = Callable[..., ModelWorker]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(48, 96), (1536, 576), (64, 262)])
def test_a_packed_product_is_the_layers_product(bias: bool, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(*shape, bias=bias)
    product = PackedLinear(layer.weight, layer.bias)
    for leading in [(1,), (1, 1), (7,), (5, 3), (40, 1)]:
        inputs = torch.randn(*leading, shape[0])
        with torch.inference_mode():
            exact = torch.nn.functional.linear(inputs.double(), layer.weight.double(), layer.bias.double() if bias else None)
            ours = product(inputs)
        assert ours.shape == exact.shape
        assert torch.allclose(ours.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(64, 32), (576, 192), (1536, 576)])
@torch.inference_mode()
def test_a_rows_bits_do_not_depend_on_how_many_there_are(shape: tuple[int, int], dtype: torch.dtype) -> None:
    """Float32 everywhere; bfloat16 where the processor's products allow it, which is measured before a layer is packed."""
    torch.manual_seed(0)
    product = PackedLinear(torch.randn(shape[1], shape[0], dtype=dtype), None)
    inputs = torch.randn(150, shape[0], dtype=dtype)
    whole = product(inputs)
    spans = [slice(start, start + rows) for rows in range(1, 66) for start in (0, 13, 84)]
    differing = [span for span in spans if not torch.equal(product(inputs[span]), whole[span])]
    if dtype == torch.float32 or keeps_bits(product):
        assert not differing
    if dtype == torch.float32:
        assert keeps_bits(product)


def test_gpt2s_transposed_layers_are_packed_too() -> None:
    torch.manual_seed(0)
    layer = Conv1D(96, 48)
    holder: Any = nn.Module()
    holder.layer = layer
    inputs = torch.randn(3, 5, 48)
    with torch.inference_mode():
        expected = layer(inputs)
        with pack(holder, CPU).applied():
            assert isinstance(layer.forward, PackedLinear)
            assert torch.allclose(layer(inputs), expected, atol=1e-5)
    assert "forward" not in layer.__dict__


def test_everything_is_restored_even_when_the_run_breaks() -> None:
    model = tiny_model("llama")
    packed = pack(model, CPU)
    assert packed.complete
    assert len(packed.products) == sum(isinstance(module, nn.Linear) for module in model.modules())

    def broken_run() -> None:
        with packed.applied():
            assert all("forward" in module.__dict__ for module in packed.products)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken_run()
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_a_run_inside_a_run_restores_once() -> None:
    packed = pack(tiny_model("llama"), CPU)
    module = next(iter(packed.products))
    with packed.applied():
        with packed.applied():
            pass
        assert "forward" in module.__dict__
    assert "forward" not in module.__dict__


def test_memory_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "free_bytes", lambda _device: 2**20)
    packed = pack(tiny_model("llama"), CPU)
    assert not packed.products
    assert not packed.complete
    assert "of the free memory" in packed.description


def test_a_shape_that_depends_on_the_batch_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "keeps_bits", lambda product: product.out != 128)
    packed = pack(tiny_model("llama"), CPU)
    assert packed.products
    assert not packed.complete
    assert "depend on the batch" in packed.description
    assert all(product.out != 128 for product in packed.products.values())


def test_without_the_private_operators_nothing_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Without:
        """An operator namespace without them."""

    monkeypatch.setattr(packing, "OPERATORS", Without())
    assert "no packed products" in pack(tiny_model("llama"), CPU).description


def test_quantized_and_other_types_are_left_alone(tiny_worker: Loader) -> None:
    quantized = tiny_worker("llama", "float32", "nf4")._held().model
    halves = pack(tiny_model("llama").to(torch.float16), CPU)
    assert "quantized" in pack(quantized, CPU).description
    assert "neither" in halves.description
    assert [len(one.functions) for one in (halves, pack(quantized, CPU))] == [16, 16], "activations and norms are not"
    assert "not on the CPU" in pack(tiny_model("llama"), torch.device("cuda")).description


def test_the_engine_pads_less_where_everything_is_packed(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny_worker("llama")._engine
    assert engine is not None
    assert engine._loaded.grain == FINE
    monkeypatch.setattr(packing, "free_bytes", lambda _device: 0)
    engine = tiny_worker("llama")._engine
    assert engine is not None
    assert engine._loaded.grain == COARSE
    assert not engine._loaded.packing.products


def test_experts_keep_their_fixed_shape() -> None:
    model = tiny_model("mixtral")
    assert "experts" in str(batch_dependence(model, pack(model, CPU)))
    assert batch_dependence(tiny_model("llama"), Packing(reason="none")) is None
