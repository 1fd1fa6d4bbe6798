"""Activation functions on several threads: an element's bits depend on nothing but itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from actors.engine.elementwise import PART, Elementwise
from actors.engine.packing import pack
from tests.threads import on_threads
from tests.tiny import tiny_model

FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda values: torch.nn.functional.gelu(values, approximate="tanh"),
    "sigmoid": torch.sigmoid,
}


@pytest.fixture(params=[1, 2, 3, 5])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    yield from on_threads(request.param)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", FUNCTIONS)
@torch.inference_mode()
def test_a_row_has_its_bits_among_any_number_of_others(name: str, dtype: torch.dtype, threads: int) -> None:
    function = Elementwise(FUNCTIONS[name])
    inputs = (4 * torch.randn(230, 1408, generator=torch.Generator().manual_seed(0))).to(dtype)
    torch.set_num_threads(1)
    alone = torch.stack([FUNCTIONS[name](row) for row in inputs])
    torch.set_num_threads(threads)
    for rows in (1, 23, 24, 47, 50, 93, 130, 230):
        assert torch.equal(function(inputs[:rows]), alone[:rows]), rows
        assert torch.equal(function(inputs[-rows:].unsqueeze(1))[:, 0], alone[-rows:]), rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", FUNCTIONS)
@torch.inference_mode()
def test_a_row_too_narrow_for_the_registers_has_its_bits_too(name: str, dtype: torch.dtype, threads: int) -> None:
    """On one thread already: what such a row leaves over is computed otherwise where the row is the last one."""
    function = Elementwise(FUNCTIONS[name])
    for width in (2, 16, 100):
        inputs = (4 * torch.randn(400, width, generator=torch.Generator().manual_seed(0))).to(dtype)
        alone = torch.stack([function(row) for row in inputs])
        torch.testing.assert_close(alone, FUNCTIONS[name](inputs))
        for rows in (1, 2, 3, 7, 16, 33, 130, 400):
            assert torch.equal(function(inputs[:rows]), alone[:rows]), (width, rows)


@pytest.mark.parametrize("name", FUNCTIONS)
@torch.inference_mode()
def test_what_is_laid_out_otherwise_has_the_same_bits(name: str, threads: int) -> None:
    """Half of a wider product: a single row of it has no gaps."""
    both = torch.randn(90, 2 * 1408, generator=torch.Generator().manual_seed(1))
    gate = both[:, :1408]
    assert gate.numel() > PART
    function = Elementwise(FUNCTIONS[name])
    assert torch.equal(function(gate), torch.cat([function(gate[row : row + 1]) for row in range(len(gate))]))
    assert torch.equal(function(gate), function(gate.contiguous()))


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "llama"])
def test_a_packed_model_has_its_activations_so_and_gives_them_back(family: str) -> None:
    model = tiny_model(family)
    packing = pack(model, torch.device("cpu"))
    activations = [module for module, function in packing.functions.items() if isinstance(function, Elementwise)]
    assert len(activations) == model.config.num_hidden_layers
    with packing.applied():
        assert all(isinstance(module.__dict__["forward"], Elementwise) for module in activations)
    assert not any("forward" in module.__dict__ for module in packing.functions)


class Gated(torch.nn.Module):
    """A block that calls its activation functions itself, on rows of 20 numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.out = torch.nn.Linear(20, 20), torch.nn.Linear(20, 20)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """``[rows, 20]`` to as many."""
        gate = 4 * self.gate(hidden)
        return self.out(gate.sigmoid() * torch.nn.functional.gelu(gate, approximate="tanh") + torch.nn.functional.softplus(gate))


@torch.inference_mode()
def test_functions_that_a_block_calls_itself_are_covered(threads: int) -> None:
    block = Gated()
    packing = pack(block, torch.device("cpu"))
    inputs = torch.randn(2000, 20, generator=torch.Generator().manual_seed(2))
    with packing.applied():
        together = block(inputs)
        assert torch.equal(together, torch.cat([block(inputs[row : row + 1]) for row in range(len(inputs))]))
    torch.testing.assert_close(together, block(inputs))
    assert "forward" not in block.__dict__
