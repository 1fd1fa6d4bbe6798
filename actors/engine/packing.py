"""Linear layers on the CPU through oneDNN, with weights laid out for it once.

Measured on one core in float32: 90 to 110 GFLOP/s at 32 to 256 rows, where PyTorch's default product reaches 60 to 95 (55 to
80 with a large vocabulary), and in bfloat16 190 to 210 against 140 to 190; and a row's bits are the same at every number of
rows but one, where the default's are not below sixteen. A product of a single row therefore runs as two.

The packed copies live as long as the model and double its linear weights' memory, so they are made only where that is free.
The operators are PyTorch's own but private: without them nothing is packed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from actors.engine.elementwise import elementwise
from actors.engine.memory import free_bytes
from actors.engine.norms import fused_norms

MEMORY_SHARE = 0.4
"""Packed weights may take this part of the free memory at most."""
OPERATORS: Any = torch.ops.mkldnn
PACKABLE = (torch.float32, torch.bfloat16)
ROWS_HINT = 64
"""The number of rows that oneDNN is told to lay the weights out for; any other works as well."""
PROBE_ROWS = (2, 3, 5, 7, 16, 33, 64, 130)
"""Numbers of rows at which a packed product must give a row the same bits as among ``PROBE_ROWS[-1] + 61``."""


class PackedLinear:
    """The product of one layer: ``x @ weight.T + bias`` for ``weight`` ``[out, in]``."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, pairs: bool = True) -> None:
        """``pairs``: a single row runs as two."""
        self.width, self.out, self.dtype, self.pairs = int(weight.shape[1]), int(weight.shape[0]), weight.dtype, pairs
        self._weight = OPERATORS._reorder_linear_weight(weight.detach().contiguous(), ROWS_HINT)
        self._bias = None if bias is None else bias.detach()

    def __call__(self, inputs: Tensor) -> Tensor:
        """``inputs`` ``[..., in]`` -> ``[..., out]``; a row's bits do not depend on the other rows, nor on their number."""
        return self.product(inputs)

    def product(
        self, inputs: Tensor, activation: str = "none", *, times: Tensor | None = None, plus: Tensor | None = None
    ) -> Tensor:
        """The product, through ``activation`` ("none", "swish"), times ``times`` or plus ``plus`` ``[..., out]``, one of these,
        without another pass."""
        other, how = (times, "mul") if plus is None else (plus, "add")
        if self.pairs and inputs.numel() == self.width:
            two = None if other is None else other.reshape(1, -1).expand(2, -1).contiguous()
            both = self._run(inputs.reshape(1, -1).expand(2, -1).contiguous(), activation, two, how)
            return both[:1].view(*inputs.shape[:-1], self.out)
        return self._run(inputs, activation, other, how)

    def _run(self, inputs: Tensor, activation: str, other: Tensor | None, how: str) -> Tensor:
        product: Tensor
        if not inputs.numel():
            return inputs.new_empty(*inputs.shape[:-1], self.out)
        if other is not None:
            product = OPERATORS._linear_pointwise.binary(inputs, other, self._weight, self._bias, how)
        else:
            product = OPERATORS._linear_pointwise(inputs, self._weight, self._bias, activation, [], "")
        return product


class PackedGate:
    """A gated feed-forward block, ``down(silu(gate(x)) * up(x))``, whose activation and multiplication ride on its products."""

    def __init__(self, gate: PackedLinear, up: PackedLinear, down: PackedLinear) -> None:
        self._gate, self._up, self._down = gate, up, down
        self.width, self.out, self.dtype = gate.width, down.out, gate.dtype

    def __call__(self, inputs: Tensor, plus: Tensor | None = None) -> Tensor:
        """``inputs`` ``[..., in]`` -> ``[..., out]``, on top of ``plus`` where that is given."""
        return self._down.product(self._up.product(inputs, times=self._gate.product(inputs, "swish")), plus=plus)


@dataclass(frozen=True)
class Packing:
    """The packed products by module, and why the others are as they were. ``gates``: whole feed-forward blocks;
    ``functions``: norms, activation functions, and what calls them; ``blocks``: whole decoder blocks."""

    products: dict[nn.Module, PackedLinear] = field(default_factory=dict)
    gates: dict[nn.Module, PackedGate] = field(default_factory=dict)
    functions: dict[nn.Module, Callable[..., Any]] = field(default_factory=dict)
    megabytes: int = 0
    reason: str = ""
    blocks: dict[nn.Module, Callable[..., Any]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether any number of rows gives the same bits."""
        return bool(self.products) and not self.reason

    @property
    def description(self) -> str:
        """For the provenance."""
        if not self.products:
            return f"PyTorch's default ({self.reason})"
        packed = f"oneDNN, packed weights ({len(self.products)} layers, {self.megabytes} MiB)"
        return f"{packed}; {self.reason}" if self.reason else packed

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The layers compute through their packed weights in the ``with`` block, and are restored after it."""
        replaced: list[nn.Module] = []
        try:
            forwards: dict[nn.Module, Callable[..., Any]] = {**self.functions, **self.products, **self.gates, **self.blocks}
            for module, forward in forwards.items():
                if "forward" not in module.__dict__:
                    module.forward = forward
                    replaced.append(module)
            yield
        finally:
            for module in replaced:
                del module.forward


@torch.inference_mode()
def pack(model: Any, device: torch.device) -> Packing:
    """Pack every dense layer that a row's bits allow; none, with the reason, where that cannot be."""
    functions = {**fused_norms(model), **elementwise(model)} if device.type == "cpu" else {}
    dense = [module for module in model.modules() if type(module) in (nn.Linear, Conv1D)]
    reason = _unsuitable(model, dense, device)
    if reason:
        return Packing(functions=functions, reason=reason)
    needed = sum(module.weight.nbytes for module in dense)
    if needed > free_bytes(device) * MEMORY_SHARE:
        too_large = f"packing takes {needed // 2**20} MiB, more than {MEMORY_SHARE:.0%} of the free memory"
        return Packing(functions=functions, reason=too_large)
    shapes = MeasuredShapes()
    packed = {module: PackedLinear(*_weight_and_bias(module)) for module in dense}
    products: dict[nn.Module, PackedLinear] = {module: one for module, one in packed.items() if shapes.settle(one)}
    left_out = [shape for shape, kept in shapes.kept.items() if not kept]
    reason = f"left as they were, as a row's bits depend on the batch: {left_out}" if left_out else ""
    return Packing(products, _gates(model, products), functions, needed // 2**20, reason)


def _gates(model: Any, products: Mapping[nn.Module, PackedLinear]) -> dict[nn.Module, PackedGate]:
    """The blocks that are by their parts gated feed-forwards in float32, and compute what such a block does."""
    found: dict[nn.Module, PackedGate] = {}
    trusted: dict[tuple[type, int, int], bool] = {}
    for module in model.modules():
        parts = [products.get(getattr(module, name, None)) for name in ("gate_proj", "up_proj", "down_proj")]  # type: ignore[arg-type]
        gate, up, down = parts
        if gate is None or up is None or down is None or gate.dtype != torch.float32:
            continue
        block = PackedGate(gate, up, down)
        kind = (type(module), gate.width, gate.out)
        if kind not in trusted:
            trusted[kind] = _computes(block, module) and keeps_bits(block)
        if trusted[kind]:
            found[module] = block
    return found


def _computes(block: PackedGate, module: nn.Module) -> bool:
    """Whether ``block`` gives what ``module`` does, up to the rounding of float32."""
    inputs = torch.randn(5, block.width, generator=torch.Generator().manual_seed(1))
    expected = module(inputs)
    return bool((block(inputs) - expected).abs().max() <= 1e-5 * expected.abs().max())


class MeasuredShapes:
    """What is found out about packed products, once for each shape ``(in, out)``; ``kept``: whether a row's bits are its own."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], bool] = {}
        self._pairs: dict[tuple[int, int], bool] = {}

    def settle(self, product: PackedLinear) -> bool:
        """Let a single row run as two where it must; whether a row's bits are its own."""
        shape = product.width, product.out
        if shape not in self.kept:
            self.kept[shape], self._pairs[shape] = keeps_bits(product), not single_row_keeps_bits(product)
        product.pairs = self._pairs[shape]
        return self.kept[shape]


def single_row_keeps_bits(product: PackedLinear) -> bool:
    """Whether a row alone has its usual bits without running as two (with all that may ride on the product)."""
    inputs = torch.randn(33, product.width, generator=torch.Generator().manual_seed(2)).to(product.dtype)
    others = torch.randn(33, product.out, generator=torch.Generator().manual_seed(3)).to(product.dtype)
    product.pairs = False
    forms: list[tuple[str, dict[str, Tensor]]] = [("none", {}), ("swish", {})]
    for activation, more in [*forms, ("none", {"times": others}), ("none", {"plus": others})]:
        whole = product.product(inputs, activation, **more)
        for row in range(0, 33, 4):
            one = slice(row, row + 1)
            alone = product.product(inputs[one], activation, **{name: other[one] for name, other in more.items()})
            if not torch.equal(alone, whole[one]):
                return False
    return True


def keeps_bits(product: PackedLinear | PackedGate) -> bool:
    """Whether a row has the same bits at every number of rows tried, wherever it stands."""
    rows = PROBE_ROWS[-1] + 61
    inputs = torch.randn(rows, product.width, generator=torch.Generator().manual_seed(0)).to(product.dtype)
    whole = product(inputs)
    spans = [slice(start, start + n) for n in (1, *PROBE_ROWS) for start in (0, 11)]
    return all(torch.equal(product(inputs[span]), whole[span]) for span in spans)


def _unsuitable(model: Any, dense: list[Any], device: torch.device) -> str:
    if device.type != "cpu":
        return "not on the CPU"
    if not hasattr(OPERATORS, "_reorder_linear_weight") or not hasattr(OPERATORS, "_linear_pointwise"):
        return "this PyTorch has no packed products"
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return "this PyTorch has no oneDNN"
    if not dense or any(module.weight.dtype not in PACKABLE for module in dense):
        return "weights are neither float32 nor bfloat16"
    if len(dense) != sum(isinstance(module, nn.Linear | Conv1D) for module in model.modules()):
        return "quantized layers"
    return ""


def _weight_and_bias(module: Any) -> tuple[Tensor, Tensor | None]:
    """``[out, in]`` and ``[out]``; GPT-2's ``Conv1D`` keeps its weight the other way round."""
    return (module.weight.t() if isinstance(module, Conv1D) else module.weight), module.bias
