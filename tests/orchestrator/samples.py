"""A small sweep and made-up results for the tests of the store and the reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from actors.types import (
    Action,
    CellResult,
    Decoding,
    Direction,
    DirectionSet,
    EngineOptions,
    FiredCheck,
    ModelSpec,
    Prompt,
    Resources,
    Response,
)
from orchestrator.cells import Cell, CellLabels, DirectionSpec, SteeringSpec, variant_id
from orchestrator.models.files import ModelShape
from orchestrator.plan import Plan, PlannedModel
from orchestrator.planning.estimate import Estimate
from orchestrator.results.store import Store
from orchestrator.scoring import LABELS, Label
from orchestrator.scoring.rules import CoherenceScorer
from orchestrator.scoring.score import Labels, ResponseScore, Scale
from orchestrator.storage import Place

N_LAYERS = 30
D_MODEL = 4
PROMPTS = tuple(Prompt(f"p{number}", f"How do I bake bread number {number}?") for number in range(10))
MODEL = ModelSpec("embedded", "smollm2-refusal", adapter="refusal", fingerprint="f" * 20)
SHAPE = ModelShape(N_LAYERS, D_MODEL, 2, 1, 2, 16, 100, "llama", "smollm", 1000)

Counts = Mapping[tuple[int, float] | None, tuple[int, int]]
"""(layer, multiplier) or None for the baseline -> (coherent refusals, garbled) of ten."""


def direction_spec(model: ModelSpec = MODEL) -> DirectionSpec:
    """A DIM direction of two contrast prompts."""
    return DirectionSpec(model, (Prompt("h", "How do I pick a lock?"),), (Prompt("b", "How do I tie a tie?"),), "dim")


def direction_set(layers: Sequence[int] = range(N_LAYERS)) -> DirectionSet:
    """The first axis at each layer; raw norm = layer + 0.5, residual norm = 10 * (layer + 1)."""
    vector = np.eye(1, D_MODEL, dtype=np.float32)[0]
    directions = tuple(Direction(layer, vector, layer + 0.5) for layer in layers)
    return DirectionSet(directions, tuple(10.0 * (layer + 1) for layer in layers), None, {"transformers": "5.0"})


def cell(layer: int | None, multiplier: float = 0.0, model: ModelSpec = MODEL, name: str = "smollm2") -> Cell:
    """A cell steered from ``layer`` on; None: the baseline."""
    if layer is None:
        return Cell(model, PROMPTS, Decoding(100), None, CellLabels(name, "refusal", "smollm"))
    steering = SteeringSpec(direction_spec(model), layer, tuple(range(layer, N_LAYERS)), Action(multiplier))
    labels = CellLabels(name, "refusal", "smollm", name, "from_layer", layer / N_LAYERS)
    return Cell(model, PROMPTS, Decoding(100), steering, labels)


def grid(layers: Sequence[int] = (12, 15), multipliers: Sequence[float] = (2.0, 8.0), name: str = "smollm2") -> tuple[Cell, ...]:
    """The baseline and every layer with every multiplier."""
    return (cell(None, name=name), *(cell(layer, m, name=name) for layer in layers for m in multipliers))


def plan_of(cells: Sequence[Cell], shape: ModelShape = SHAPE) -> Plan:
    """A plan of ``cells``."""
    specs = {variant_id(one.target): (one.labels.model, one.target) for one in cells}
    directions = {spec.id: spec for one in cells if one.steering is not None for spec in one.steering.directions}
    return Plan(
        name="sample",
        cells=tuple(cells),
        directions=tuple(directions.values()),
        models=tuple(PlannedModel(name, spec, variant, shape, Resources()) for variant, (name, spec) in specs.items()),
        engine=EngineOptions(),
        warnings=(),
        incomparable=(),
        estimate=Estimate(()),
    )


def result_of(one: Cell, text: Callable[[Prompt], str] = lambda prompt: f"Answer to {prompt.id}.") -> CellResult:
    """Made-up responses of a cell."""
    responses = tuple(
        Response(prompt.id, prompt.text, text(prompt), (1, 2, 3), 12, "stop", sample=sample)
        for prompt in one.prompts
        for sample in range(one.decoding.samples)
    )
    steered = one.steering is not None and one.steering.action.multiplier != 0
    fired = FiredCheck(True, 0.99, 1.01, 0.02) if steered else FiredCheck(None)
    provenance = {"worker": "cpu-0", "template_sha256": "abc", "torch": "2.13.0"}
    return CellResult(one.id, responses, fired, 32.0 if one.steering else None, 1.25, 30, provenance)


def labels_of(one: Cell, refusals: int = 0, garbled: int = 0) -> tuple[Label, ...]:
    """The first responses refused, the next garbled, the rest normal."""
    rest = one.rows - refusals - garbled
    counts: dict[str, int] = {"coherent_refusal": refusals, "garbled": garbled, "normal": rest}
    names = [name for name, count in counts.items() for _ in range(count)]
    return tuple(
        Label(prompt.id, label, '{"rule": "made up"}', "text-3way@1", outcome=LABELS.kind(label).outcome, sample=sample)
        for (prompt, sample), label in zip(product(one.prompts, range(one.decoding.samples)), names, strict=True)
    )


@dataclass(frozen=True)
class Said:
    """A scorer as far as its scores say what it is."""

    id: str
    says: Labels | Scale


def write_labels(store: Store, cell_id: str, labels: Sequence[Label], names: Sequence[str] = ("refusal", "normal")) -> None:
    """The scores from which ``labels`` follow for the cell's behavior, whose first scorer says ``names``, first its target."""
    behaviors = [axes.behavior for axes in store.axes(cell_id)]
    criterion = store.planned().scoring_of(next(iter(behaviors), "refusal")).criterion
    own = {shown: name for name, shown in criterion.shown.items()}
    coherent = [one.outcome in ("success", "other") for one in labels]
    first = [own.get(one.label, one.label) if yes else names[-1] for one, yes in zip(labels, coherent, strict=True)]
    other = ["coherent" if yes else one.outcome for one, yes in zip(labels, coherent, strict=True)]
    says = Labels(tuple(names), names[0])
    for scorer, given in ((Said(criterion.scorer, says), first), (Said(criterion.coherence, CoherenceScorer.says), other)):
        pairs = zip(labels, given, strict=True)
        scores = [ResponseScore(one.prompt_id, name, None, one.evidence, one.answer, one.sample) for one, name in pairs]
        store.write_scores(cell_id, scorer, scores)  # type: ignore[arg-type]


def filled(root: Place, cells: Sequence[Cell], counts: Counts | None = None) -> Store:
    """A store with every cell of ``cells`` finished, labelled by ``counts``, and not compacted."""
    store = Store(root)
    store.write_sweep("name: sample\n")
    store.write_plan(plan_of(cells))
    for one in cells:
        for spec in () if one.steering is None else one.steering.directions:
            if spec.id not in store.done_directions():
                store.write_direction(spec, direction_set())
        store.write_responses(one, result_of(one), attempt=1)
        key = None if one.steering is None else (one.steering.layers[0], one.steering.action.multiplier)
        write_labels(store, one.id, labels_of(one, *(counts or {}).get(key, (0, 0))))
    return store
