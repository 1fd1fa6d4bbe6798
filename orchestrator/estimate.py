"""What a plan will cost, before anything loads: rows, tokens, model loads, seconds, memory. A model of cost, not a promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from actors.types import EngineOptions, ModelSpec, Prompt, Resources
from orchestrator.cells import Cell, DirectionSpec, variant_id
from orchestrator.devices import ACCELERATORS, DeviceClass, device_of
from orchestrator.models import ModelShape

CHARACTERS_PER_TOKEN = 4
TEMPLATE_TOKENS = 30
"""What a chat template adds to a prompt: role marks and, in many families, a default system prompt."""

DEFAULT_SLOTS = {"cpu": 32, "gpu": 128}
"""Rows in flight, where the sweep leaves the choice to the worker."""

DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
LINEAR_BYTES = {
    "int8": 1.0,
    "nf4": 0.5 + 4 / 64,
    "fp4": 0.5 + 4 / 64,
    "nf4-double": 0.5 + 1 / 64 + 4 / (64 * 256),
    "fp4-double": 0.5 + 1 / 64 + 4 / (64 * 256),
}
"""Bytes per weight of a quantized linear layer: 4 bits and a float32 scale per 64 weights, or scales quantized once more."""

SLOWDOWN = {"none": 1.0, "int8": 3.0, "nf4": 2.0, "nf4-double": 2.0, "fp4": 2.0, "fp4-double": 2.0}
"""Arithmetic of a quantized model against the same model unquantized (STACK.md section 4: 2 to 4 on a CPU)."""


@dataclass(frozen=True)
class VariantCost:
    """What the cost of one variant follows from: the model and its share of the plan."""

    name: str
    spec: ModelSpec
    shape: ModelShape
    resources: Resources
    loads: int


@dataclass(frozen=True)
class ModelEstimate:
    """One variant's share. Times in seconds on one worker; memory in bytes; tokens and seconds are estimates."""

    name: str
    variant: str
    device: str
    rows: int
    prompt_tokens: int
    new_tokens: int
    loads: int
    seconds: float
    weight_bytes: int
    cache_bytes: int

    @property
    def peak_bytes(self) -> int:
        """Weights and the cache of all slots."""
        return self.weight_bytes + self.cache_bytes


@dataclass(frozen=True)
class Estimate:
    """The whole plan's cost: sums over ``models``; ``new_tokens`` and ``seconds`` are upper bounds (no answer stops early)."""

    models: tuple[ModelEstimate, ...]

    @property
    def rows(self) -> int:
        """Responses to generate."""
        return sum(model.rows for model in self.models)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all rendered prompts, extraction included: about characters / 4 plus the template's."""
        return sum(model.prompt_tokens for model in self.models)

    @property
    def new_tokens(self) -> int:
        """Tokens to generate, at most."""
        return sum(model.new_tokens for model in self.models)

    @property
    def loads(self) -> int:
        """Model loads on one worker."""
        return sum(model.loads for model in self.models)

    @property
    def seconds(self) -> float:
        """Seconds on one worker, at most."""
        return sum(model.seconds for model in self.models)

    @property
    def peak_bytes(self) -> dict[str, int]:
        """Variant id -> bytes that a worker holds while it runs that variant."""
        return {model.variant: model.peak_bytes for model in self.models}


def prompt_tokens(prompt: Prompt, system_prompt: str | None) -> int:
    """``ceil(characters / 4) + TEMPLATE_TOKENS``, the system prompt's characters included. No tokenizer is at hand."""
    return math.ceil((len(prompt.text) + len(system_prompt or "")) / CHARACTERS_PER_TOKEN) + TEMPLATE_TOKENS


def weight_bytes(shape: ModelShape, spec: ModelSpec) -> int:
    """``parameters * bytes(dtype)``; quantized: ``embeddings * bytes(dtype) + the rest * LINEAR_BYTES``."""
    size = DTYPE_BYTES[spec.dtype]
    linear = shape.parameters - shape.embedding_parameters
    return round(shape.embedding_parameters * size + linear * LINEAR_BYTES.get(spec.quantization, size))


def cache_bytes(shape: ModelShape, spec: ModelSpec, tokens: int) -> int:
    """Keys and values: ``2 * n_layers * n_kv_heads * head_dim * bytes(dtype) * tokens``, over the tokens of all slots."""
    return 2 * shape.n_layers * shape.n_kv_heads * shape.head_dim * DTYPE_BYTES[spec.dtype] * tokens


def memory_limit(resources: Resources) -> int | None:
    """Bytes of GPU memory that a worker is given; of the largest known GPU when the type is open; None on a CPU."""
    if resources.gpus == 0:
        return None
    kinds = [ACCELERATORS[resources.accelerator]] if resources.accelerator else list(ACCELERATORS.values())
    return round(resources.gpus * max(kind.memory_bytes or 0 for kind in kinds))


def estimate_plan(
    variants: Sequence[VariantCost], cells: Sequence[Cell], directions: Sequence[DirectionSpec], engine: EngineOptions
) -> Estimate:
    """The cost of running ``cells`` and ``directions``, one entry per variant in the order given."""
    cells_of: dict[str, list[Cell]] = {}
    for cell in cells:
        cells_of.setdefault(variant_id(cell.target), []).append(cell)
    directions_of: dict[str, list[DirectionSpec]] = {}
    for direction in directions:
        directions_of.setdefault(variant_id(direction.model), []).append(direction)
    ids = [variant_id(variant.spec) for variant in variants]
    return Estimate(
        tuple(
            _estimate(variant, identity, cells_of.get(identity, []), directions_of.get(identity, []), engine)
            for variant, identity in zip(variants, ids, strict=True)
        )
    )


def _estimate(
    variant: VariantCost, identity: str, cells: Sequence[Cell], directions: Sequence[DirectionSpec], engine: EngineOptions
) -> ModelEstimate:
    device = device_of(variant.resources.gpus, variant.resources.accelerator)
    system = variant.spec.system_prompt
    lengths = [(prompt_tokens(prompt, system), cell.decoding.max_new_tokens) for cell in cells for prompt in cell.prompts]
    extraction = sum(prompt_tokens(prompt, system) for spec in directions for prompt in (*spec.harmful, *spec.harmless))
    slots = min(engine.slots or DEFAULT_SLOTS["gpu" if variant.resources.gpus else "cpu"], max(1, len(lengths)))
    prompt, new = extraction + sum(length for length, _ in lengths), sum(length for _, length in lengths)
    weights = weight_bytes(variant.shape, variant.spec)
    return ModelEstimate(
        name=variant.name,
        variant=identity,
        device=device.name,
        rows=len(lengths),
        prompt_tokens=prompt,
        new_tokens=new,
        loads=variant.loads,
        seconds=variant.loads * load_seconds(weights, device) + run_seconds(variant, device, prompt, new, slots),
        weight_bytes=weights,
        cache_bytes=cache_bytes(variant.shape, variant.spec, slots * max((sum(length) for length in lengths), default=0)),
    )


def load_seconds(weights: int, device: DeviceClass) -> float:
    """``load_seconds + bytes / load_bandwidth``."""
    return device.load_seconds + weights / device.load_bandwidth


def run_seconds(variant: VariantCost, device: DeviceClass, prompt: int, new: int, slots: int) -> float:
    """A roofline. Prefill is bound by arithmetic: ``2 * parameters * prompt tokens / flops``. A decode step yields a token per
    slot and takes the longer of two, reading the weights (``weight bytes / bandwidth``) and the arithmetic
    (``2 * parameters * slots / flops``); there are ``ceil(new tokens / slots)`` steps. Quantization multiplies the arithmetic.

    A part of a GPU gives that part of the rates; several GPUs hold one model in turn and are no faster than one.
    """
    share = min(variant.resources.gpus, 1.0) or 1.0
    work = 2 * variant.shape.parameters * SLOWDOWN[variant.spec.quantization]
    step = max(weight_bytes(variant.shape, variant.spec) / device.bandwidth, work * slots / device.flops)
    return (work * prompt / device.flops + math.ceil(new / slots) * step) / share
