"""What a plan will cost, before anything loads: rows, tokens, model loads, seconds, memory. A model of cost, not a promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from actors.types import EngineOptions, ModelSpec, Prompt, Resources
from orchestrator.cells import Cell, DirectionSpec, variant_id
from orchestrator.devices import ACCELERATORS, DEFAULT_GPU, DeviceClass
from orchestrator.models.files import ModelShape
from orchestrator.planning.costs import DEFAULT_COSTS, Costs
from orchestrator.planning.makespan import Makespan, VariantTime, makespan

CLUSTERS = (1, 8, 64)
"""GPUs of the clusters whose time a plan tells."""

DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
LINEAR_BYTES = {
    "int8": 1.0,
    "nf4": 0.5 + 4 / 64,
    "fp4": 0.5 + 4 / 64,
    "nf4-double": 0.5 + 1 / 64 + 4 / (64 * 256),
    "fp4-double": 0.5 + 1 / 64 + 4 / (64 * 256),
}
"""Bytes per weight of a quantized linear layer: 4 bits and a float32 scale per 64 weights, or scales quantized once more."""


@dataclass(frozen=True)
class VariantCost:
    """What the cost of one variant follows from: the model and its share of the plan. ``downloads``: its files come from the hub,
    and for no variant before it. ``reads``: tokens of other work, such as judging; ``writes``: those that it writes; ``starts``:
    processes of other tools that load the model anew; ``thinks``: whether it may use up a budget for thoughts."""

    name: str
    spec: ModelSpec
    shape: ModelShape
    resources: Resources
    loads: int
    downloads: bool = False
    reads: int = 0
    writes: int = 0
    starts: int = 0
    thinks: bool = True


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
    download_seconds: float = 0.0

    @property
    def peak_bytes(self) -> int:
        """Weights and the cache of all slots."""
        return self.weight_bytes + self.cache_bytes


@dataclass(frozen=True)
class Estimate:
    """The whole plan's cost: sums over ``models``; ``new_tokens`` and ``seconds`` are upper bounds (no answer stops early).

    ``clusters``: what the models with a GPU would take on so many GPUs of the kind ``cluster_device``; empty without any.
    """

    models: tuple[ModelEstimate, ...]
    clusters: tuple[Makespan, ...] = ()
    cluster_device: str = DEFAULT_GPU

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


@dataclass(frozen=True)
class VariantWork:
    """What one variant has to do: ``rows`` of prompts with ``prompt`` tokens, at most ``new`` ones to generate, ``slots`` rows at
    once, the ``longest`` of so many tokens; ``read`` tokens to extract from or to judge, ``trials`` tokens of candidate
    directions."""

    rows: int
    prompt: int
    new: int
    read: int
    trials: float
    slots: int
    longest: int


def prompt_tokens(prompt: Prompt, system_prompt: str | None, costs: Costs = DEFAULT_COSTS) -> int:
    """``ceil(characters / characters_per_token) + template_tokens``, the system prompt's characters included: no tokenizer is
    at hand."""
    characters = len(prompt.text) + len(prompt.answer) + len(system_prompt or "")
    return math.ceil(characters / costs.characters_per_token) + costs.template_tokens


def weight_bytes(shape: ModelShape, spec: ModelSpec) -> int:
    """``parameters * bytes(dtype)``; quantized: ``embeddings * bytes(dtype) + the rest * LINEAR_BYTES``."""
    size = DTYPE_BYTES[spec.dtype]
    linear = shape.parameters - shape.embedding_parameters
    return round(shape.embedding_parameters * size + linear * LINEAR_BYTES.get(spec.quantization, size))


def cache_bytes(shape: ModelShape, spec: ModelSpec, tokens: int) -> int:
    """Keys and values: ``2 * caching blocks * n_kv_heads * head_dim * bytes(dtype) * tokens``, over the tokens of all slots."""
    return 2 * shape.caching * shape.n_kv_heads * shape.head_dim * DTYPE_BYTES[spec.dtype] * tokens


def memory_limit(resources: Resources) -> int | None:
    """Bytes of GPU memory that a worker is given: what it asks for, else of the largest known GPU when the type is open; None on
    a CPU."""
    if resources.gpus == 0:
        return None
    if resources.gpu_memory and resources.accelerator is None:
        return round(resources.gpus * resources.gpu_memory * 1e9)
    kinds = [ACCELERATORS[resources.accelerator]] if resources.accelerator else list(ACCELERATORS.values())
    return round(resources.gpus * max(kind.memory_bytes or 0 for kind in kinds))


def estimate_plan(
    variants: Sequence[VariantCost],
    cells: Sequence[Cell],
    directions: Sequence[DirectionSpec],
    engine: EngineOptions,
    costs: Costs = DEFAULT_COSTS,
) -> Estimate:
    """The cost of running ``cells`` and ``directions``, one entry per variant in the order given."""
    cells_of: dict[str, list[Cell]] = {}
    for cell in cells:
        cells_of.setdefault(variant_id(cell.target), []).append(cell)
    directions_of: dict[str, list[DirectionSpec]] = {}
    for direction in directions:
        directions_of.setdefault(variant_id(direction.model), []).append(direction)
    ids = [variant_id(variant.spec) for variant in variants]
    works = [
        _work(variant, cells_of.get(identity, []), directions_of.get(identity, []), engine.slots, costs)
        for variant, identity in zip(variants, ids, strict=True)
    ]
    models = [_estimate(*each, costs) for each in zip(variants, ids, works, strict=True)]
    cluster = costs.named(DEFAULT_GPU)
    loads = [
        VariantTime(
            run_seconds(one, cluster, work, costs)
            + start_seconds(one, cluster, costs)
            + download_seconds(one, costs)
            + (one.loads - 1) * load,
            load,
        )
        for one, work in zip(variants, works, strict=True)
        if one.resources.gpus and (load := load_seconds(weight_bytes(one.shape, one.spec), cluster))
    ]
    return Estimate(tuple(models), tuple(makespan(loads, count) for count in CLUSTERS) if loads else ())


def _work(
    variant: VariantCost, cells: Sequence[Cell], directions: Sequence[DirectionSpec], slots: int | None, costs: Costs
) -> VariantWork:
    system = variant.spec.system_prompt
    rows, new = 0, variant.writes
    prompt = longest = 0
    measured: dict[int, tuple[int, int]] = {}  # by the tuple's identity: the cells keep it alive
    for cell in cells:
        if id(cell.prompts) not in measured:
            lengths = [prompt_tokens(one, system, costs) for one in cell.prompts]
            measured[id(cell.prompts)] = (sum(lengths), max(lengths, default=0))
        total, most = measured[id(cell.prompts)]
        rows += cell.rows
        prompt += total
        new += cell.budget if variant.thinks else cell.rows * cell.decoding.max_new_tokens
        longest = max(longest, most + cell.decoding.most_tokens)
    read, trials = variant.reads, 0.0
    for spec in directions:
        lengths = [prompt_tokens(one, system, costs) for one in (*spec.positive, *spec.negative)]
        read += sum(lengths)
        trials += _trial_rows(spec, variant.shape, costs) * sum(lengths) / max(len(lengths), 1)
    default = costs.gpu_slots if variant.resources.gpus else costs.cpu_slots
    at_once = 1 if variant.resources.gpus > 1 else slots or default  # a model that is spread runs row by row
    busy = at_once if variant.writes else min(at_once, max(1, rows))
    return VariantWork(rows, prompt, new, read, trials, busy, longest)


def _trial_rows(spec: DirectionSpec, shape: ModelShape, costs: Costs) -> float:
    """Rows with which COSMIC tries its candidates: for each (template position, layer below the depth limit) the held-out
    positive prompts with the candidate ablated, and the negative ones with it ablated and with it added."""
    if spec.method != "cosmic":
        return 0.0
    options = dict(spec.options)
    share, limit = options.get("held_out", 0.4), options.get("depth_limit", 0.8)
    positions = options.get("positions") or costs.template_positions
    if not isinstance(share, int | float) or not isinstance(limit, int | float) or not isinstance(positions, int):
        return 0.0
    candidates = positions * (1 if options.get("layer") is not None else limit * shape.n_layers)
    positive, negative = (max(1, round(share * len(side))) if share else len(side) for side in (spec.positive, spec.negative))
    return candidates * (positive + 2 * negative)


def _estimate(variant: VariantCost, identity: str, work: VariantWork, costs: Costs) -> ModelEstimate:
    device = costs.device(variant.resources)
    weights, downloading = weight_bytes(variant.shape, variant.spec), download_seconds(variant, costs)
    return ModelEstimate(
        name=variant.name,
        variant=identity,
        device=device.name,
        rows=work.rows,
        prompt_tokens=work.prompt + work.read,
        new_tokens=work.new,
        loads=variant.loads,
        seconds=downloading
        + variant.loads * load_seconds(weights, device)
        + run_seconds(variant, device, work, costs)
        + start_seconds(variant, device, costs),
        weight_bytes=weights,
        cache_bytes=cache_bytes(variant.shape, variant.spec, work.slots * work.longest),
        download_seconds=downloading,
    )


def download_seconds(variant: VariantCost, costs: Costs) -> float:
    """``2 bytes * parameters / download_bandwidth``, as if no machine had the files yet; 0 for what is not from the hub."""
    return 2 * variant.shape.parameters / costs.download_bandwidth if variant.downloads else 0.0


def load_seconds(weights: int, device: DeviceClass) -> float:
    """``load_seconds + bytes / load_bandwidth``."""
    return device.load_seconds + weights / device.load_bandwidth


def start_seconds(variant: VariantCost, device: DeviceClass, costs: Costs) -> float:
    """``starts * (tool_seconds + bytes / load_bandwidth)``: an interpreter with its imports, and the weights once more."""
    return variant.starts * (costs.tool_seconds + weight_bytes(variant.shape, variant.spec) / device.load_bandwidth)


def run_seconds(variant: VariantCost, device: DeviceClass, work: VariantWork, costs: Costs = DEFAULT_COSTS) -> float:
    """A roofline. Prefill is bound by arithmetic: ``2 * working parameters * prompt tokens / flops``; trials of candidates cost
    ``trial_share`` of it. A decode step yields a token per slot and takes the longest of three: reading the weights (``weight
    bytes / bandwidth``), the arithmetic (``2 * working parameters * slots / decode_flops``), launching its kernels
    (``block_seconds`` per block); there are ``ceil(answer_share * new tokens / slots)`` steps. Quantization multiplies the last
    two and the prefill by ``slowdown``. What cells share (a prompt's trunk up to the steered layer) is not counted off.

    A part of a GPU gives that part of the rates.
    """
    share = min(variant.resources.gpus, 1.0) or 1.0
    slowdown = costs.slowdown[variant.spec.quantization]
    each = 2 * variant.shape.working * slowdown
    launches = slowdown * variant.shape.n_layers * device.block_seconds
    arithmetic = each * work.slots / (device.decode_flops or device.flops)
    step = max(weight_bytes(variant.shape, variant.spec) / device.bandwidth, arithmetic, launches)
    prefill = each * (work.prompt + work.read + costs.trial_share * work.trials) / device.flops
    return (prefill + math.ceil(costs.answer_share * work.new / work.slots) * step) / share
