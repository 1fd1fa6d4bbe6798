"""A made-up sweep of any size with what everything in it truly takes, drawn from named distributions.

Orders of magnitude are those of 1.5B to 32B models on data-centre GPUs; no figure here was measured.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from actors.types import (
    Action,
    Decoding,
    Direction,
    DirectionSet,
    EngineOptions,
    ModelInfo,
    ModelSpec,
    Prompt,
    Quantization,
    Resources,
)
from orchestrator.cells import Cell, CellLabels, DirectionSpec, SteeringSpec, variant_id
from orchestrator.models.files import ModelShape
from orchestrator.plan import Plan, PlannedModel
from orchestrator.planning.estimate import Estimate, ModelEstimate

TOKENS_PER_SECOND = {"A100-80G": 25_000.0, "L40S": 15_000.0}
"""New tokens per second of a 1B model with a full engine; a model of B billion parameters makes B times fewer."""

LOAD_BASE_SECONDS, LOAD_BYTES_PER_SECOND = 15.0, 1e9
SLOTS = 128
BEHAVIORS = tuple(
    tuple(Prompt(f"p{number}", f"Question {number}?") for number in range(prompts)) for prompts in (40, 60, 100, 120, 180)
)
"""The test prompts of five behaviors."""

NEW_TOKENS = 200
METHODS = ("dim", "cosmic")
DEPTHS = 9
CONTRAST_PROMPTS = 100


@dataclass(frozen=True)
class Size:
    """A base model: billions of parameters, layers, width, and the accelerator that it is pinned to."""

    billions: float
    layers: int
    width: int
    accelerator: str


SIZES = (
    Size(32, 64, 5120, "A100-80G"),
    Size(27, 46, 4608, "A100-80G"),
    Size(14, 48, 5120, "A100-80G"),
    Size(9, 42, 3584, "A100-80G"),
    Size(8, 32, 4096, "L40S"),
    Size(7, 28, 3584, "L40S"),
    Size(3, 36, 2048, "L40S"),
    Size(1.5, 28, 1536, "L40S"),
)
SLOWER: dict[Quantization, float] = {"none": 1.0, "nf4": 2.0, "int8": 3.0}
QUANTIZATIONS = tuple(SLOWER)


@dataclass(frozen=True)
class Noise:
    """Spread of the log-normal distributions (sigma of the logarithm): of cells about what their model takes, of extractions
    about ``extraction`` seconds, and of the planner's estimate of a variant about the truth."""

    cell: float = 0.25
    extraction: float = 15.0
    extraction_spread: float = 0.5
    planner: float = 0.3


@dataclass(frozen=True)
class Workload:
    """A plan and the truth about it. ``seconds``: item id -> seconds on a GPU of full speed; ``loads``: variant -> seconds;
    ``directions``: direction id -> what an extraction finds; ``infos``: variant -> what a load tells; ``fills``: variant ->
    seconds in which a full engine finishes as many rows as it has slots."""

    plan: Plan
    seconds: Mapping[str, float]
    loads: Mapping[str, float]
    directions: Mapping[str, DirectionSet]
    infos: Mapping[str, ModelInfo]
    fills: Mapping[str, float]


def make_workload(
    cells: int, seed: int, transfer: bool = False, noise: Noise | None = None, sizes: Sequence[Size] = SIZES
) -> Workload:
    """A sweep of exactly ``cells`` cells over every size and quantization. ``transfer``: a tenth of the steered cells take their
    direction from another quantization of the same model."""
    noise, draw = noise or Noise(), random.Random(seed)
    specs = [_spec(size, quantization) for size in sizes for quantization in QUANTIZATIONS]
    share, rest = divmod(cells, len(specs))
    chosen = [
        cell
        for number, spec in enumerate(specs)
        for cell in _cells(spec, sizes[number // len(QUANTIZATIONS)], share + (number < rest), transfer)
    ]
    directions = {one.steering.direction.id: one.steering.direction for one in chosen if one.steering is not None}
    rates = {variant_id(spec): _tokens_per_second(sizes[number // len(QUANTIZATIONS)], spec) for number, spec in enumerate(specs)}
    seconds = {
        one.id: len(one.prompts) * NEW_TOKENS / rates[variant_id(one.target)] * draw.lognormvariate(0, noise.cell)
        for one in chosen
    }
    seconds |= {name: noise.extraction * draw.lognormvariate(0, noise.extraction_spread) for name in directions}
    models = [_planned(spec, sizes[number // len(QUANTIZATIONS)]) for number, spec in enumerate(specs)]
    loads = {model.variant: LOAD_BASE_SECONDS + 2 * model.shape.parameters / LOAD_BYTES_PER_SECOND for model in models}
    estimate = Estimate(tuple(_estimates(models, chosen, seconds, loads, lambda: draw.lognormvariate(0, noise.planner))))
    plan = Plan(
        name="simulated",
        cells=tuple(chosen),
        directions=tuple(directions.values()),
        models=tuple(models),
        engine=EngineOptions(),
        warnings=(),
        incomparable=(),
        estimate=estimate,
    )
    sets = _direction_sets(models)
    found = {name: sets[variant_id(spec.model)] for name, spec in directions.items()}
    infos = {model.variant: _info(model, loads) for model in models}
    return Workload(plan, seconds, loads, found, infos, {variant: SLOTS * NEW_TOKENS / rate for variant, rate in rates.items()})


def _spec(size: Size, quantization: Quantization) -> ModelSpec:
    return ModelSpec("hub", f"made-up/{size.billions:g}B", revision="0" * 40, dtype="bfloat16", quantization=quantization)


def _planned(spec: ModelSpec, size: Size) -> PlannedModel:
    shape = ModelShape(size.layers, size.width, 32, 8, 128, 4 * size.width, 128_000, "llama", "llama", round(size.billions * 1e9))
    resources = Resources(gpus=1, accelerator=size.accelerator)
    return PlannedModel(f"{size.billions:g}B/{spec.quantization}", spec, variant_id(spec), shape, resources)


def _tokens_per_second(size: Size, spec: ModelSpec) -> float:
    return TOKENS_PER_SECOND[size.accelerator] / size.billions / SLOWER[spec.quantization]


def _cells(spec: ModelSpec, size: Size, count: int, transfer: bool) -> Iterator[Cell]:
    """By behavior: a baseline, then every method and depth with as many multipliers as it takes."""
    name = f"{size.billions:g}B/{spec.quantization}"
    for behavior, prompts in enumerate(BEHAVIORS):
        own = count // len(BEHAVIORS) + (behavior < count % len(BEHAVIORS))
        for number in range(own):
            steering = None if number == 0 else _steering(spec, size, (behavior, number, own), transfer)
            yield Cell(spec, prompts, Decoding(NEW_TOKENS), steering, CellLabels(name, f"behavior{behavior}"))


def _steering(spec: ModelSpec, size: Size, at: tuple[int, int, int], transfer: bool) -> SteeringSpec:
    """``at``: behavior, number of the cell within it, and how many it has."""
    behavior, number, count = at
    place = number * len(METHODS) * DEPTHS // count
    method, depth = METHODS[place // DEPTHS], place % DEPTHS
    source = spec
    if transfer and number % 10 == 1:
        other = QUANTIZATIONS[(QUANTIZATIONS.index(spec.quantization) + 1) % len(QUANTIZATIONS)]
        source = _spec(size, other)
    layer = size.layers // 10 * (1 + depth)
    return SteeringSpec(
        _direction(source, behavior, method), layer, tuple(range(layer, size.layers)), Action(0.5 + 0.01 * number)
    )


@cache
def _direction(spec: ModelSpec, behavior: int, method: str) -> DirectionSpec:
    positive = tuple(Prompt(f"h{number}", f"Harmful {behavior} {number}?") for number in range(CONTRAST_PROMPTS))
    negative = tuple(Prompt(f"g{number}", f"Harmless {behavior} {number}?") for number in range(CONTRAST_PROMPTS))
    return DirectionSpec(spec, positive, negative, method)


def _estimates(
    models: Sequence[PlannedModel],
    cells: Sequence[Cell],
    seconds: Mapping[str, float],
    loads: Mapping[str, float],
    error: Callable[[], float],
) -> Iterator[ModelEstimate]:
    rows: Counter[str] = Counter()
    true: defaultdict[str, float] = defaultdict(float)
    for cell in cells:
        rows[variant_id(cell.target)] += len(cell.prompts)
        true[variant_id(cell.target)] += seconds[cell.id]
    for model in models:
        count = rows[model.variant]
        yield ModelEstimate(
            name=model.name,
            variant=model.variant,
            device=model.resources.accelerator or "",
            rows=count,
            prompt_tokens=count * 50,
            new_tokens=count * NEW_TOKENS,
            loads=1,
            seconds=true[model.variant] * error() + loads[model.variant],
            weight_bytes=2 * model.shape.parameters,
            cache_bytes=0,
        )


def _direction_sets(models: Sequence[PlannedModel]) -> dict[str, DirectionSet]:
    """One set per base model, of its true size, for all of its directions."""
    made: dict[tuple[int, int], DirectionSet] = {}
    for model in models:
        shape = (model.shape.n_layers, model.shape.d_model)
        if shape not in made:
            vector = np.full(shape[1], shape[1] ** -0.5, np.float32)
            made[shape] = DirectionSet(tuple(Direction(layer, vector, 1.0) for layer in range(shape[0])), (1.0,) * shape[0])
    return {model.variant: made[model.shape.n_layers, model.shape.d_model] for model in models}


def _info(model: PlannedModel, loads: Mapping[str, float]) -> ModelInfo:
    return ModelInfo(
        model.shape.n_layers, model.shape.d_model, "llama", "bfloat16", "cuda", SLOTS, loads[model.variant], "0" * 64
    )
