"""A made-up sweep that compares: two models of equal width, one of them also in int8, two methods, transfers, a pair too wide."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import numpy as np

from actors.types import Action, Direction, DirectionSet, ModelSpec
from orchestrator.cells import SELECTED, Cell, CellKey, DirectionSpec, LayerSpan, SteeringSpec
from orchestrator.models.files import ModelShape
from orchestrator.models.layers import corresponding_layer, steered_layers
from orchestrator.plan import IncomparablePair, Plan, PlannedModel
from orchestrator.results.rows import SteeredAt
from orchestrator.results.store import Store
from tests.orchestrator.samples import D_MODEL, MODEL, SHAPE, cell, direction_spec, labels_of, plan_of, result_of, write_labels

ALPHA = MODEL
ALPHA_INT8 = replace(MODEL, quantization="int8")
BETA = replace(MODEL, fingerprint="b" * 20)
LAYERS = {ALPHA: 30, ALPHA_INT8: 30, BETA: 20}
NAMES = {ALPHA: "alpha", ALPHA_INT8: "alpha/int8", BETA: "beta"}
CHOSEN = {ALPHA: 18, ALPHA_INT8: 18, BETA: 7}
DEPTHS = (0.3, 0.5, 0.7)
MULTIPLIERS = (4.0, 8.0, 12.0)
NOT_COMPARABLE = IncomparablePair("alpha", "wide", D_MODEL, 5120, "the residual streams differ in width")

Counts = Mapping[tuple[str, str, str, int, float], tuple[int, int]]
"""(target, source, method, first layer, multiplier) -> (coherent refusals, garbled) of ten."""


def spec_of(model: ModelSpec, method: str = "dim") -> DirectionSpec:
    """The direction set of ``method`` in ``model``."""
    return replace(direction_spec(model), method=method)


def set_of(model: ModelSpec, method: str = "dim", noise: float = 0.3) -> DirectionSet:
    """Random unit vectors, the same for the same arguments; a quantized model's are those of full precision with noise."""
    base = replace(model, quantization="none")
    vectors = _random(f"{NAMES[base]} {method}", LAYERS[model])
    if model.quantization != "none":
        vectors = vectors + noise * _random(f"{model.quantization} {method}", LAYERS[model])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scale = 1.0 if model.quantization == "none" else 0.9
    directions = tuple(Direction(layer, vector.astype(np.float32), scale * (layer + 1.0)) for layer, vector in enumerate(vectors))
    return DirectionSet(directions, (10.0,) * len(directions), CHOSEN[model] if method == "cosmic" else None, {})


def steered(source: ModelSpec, target: ModelSpec, at: tuple[str, int | None, float]) -> Cell:
    """``target`` steered from a layer on with the direction of ``source``; ``at``: method, source layer (None: the method's
    own choice), multiplier."""
    method, layer, multiplier = at
    n_source, n_target = LAYERS[source], LAYERS[target]
    spec = spec_of(source, method)
    if layer is None:
        steering = SteeringSpec(spec, SELECTED, (), Action(multiplier), span=LayerSpan("from_layer", n_source, n_target))
    else:
        first = corresponding_layer(layer, n_source, n_target)
        steering = SteeringSpec(spec, layer, steered_layers("from_layer", first, n_target), Action(multiplier))
    labels = replace(
        cell(0).labels,
        model=NAMES[target].split("/")[0],
        source_model=NAMES[source].split("/")[0],
        depth=None if layer is None else layer / n_source,
    )
    return replace(cell(0), target=target, steering=steering, labels=labels)


def cells_of() -> list[Cell]:
    """Baselines; dim over depths and multipliers; cosmic where it chose; and dim transferred both ways."""
    cells: list[Cell] = []
    for model, n_layers in LAYERS.items():
        bare = replace(cell(None), target=model)
        cells.append(replace(bare, labels=replace(bare.labels, model=NAMES[model].split("/")[0])))
        places = [int(depth * n_layers + 1e-9) for depth in DEPTHS]
        cells += [steered(model, model, ("dim", layer, m)) for layer in places for m in MULTIPLIERS]
        cells += [steered(model, model, ("cosmic", None, m)) for m in MULTIPLIERS]
    for source, target in ((ALPHA, BETA), (BETA, ALPHA)):
        place = LAYERS[source] // 2
        cells += [steered(source, target, ("dim", place, m)) for m in MULTIPLIERS]
    return cells


def plan_with(cells: Sequence[Cell], in_sample: Mapping[CellKey, bool] | None = None) -> Plan:
    """A plan of ``cells`` with its models' names and sizes, and a pair that is not comparable."""
    plan = plan_of(cells)
    models = tuple(_named(model) for model in plan.models)
    return replace(plan, models=models, incomparable=(NOT_COMPARABLE,), in_sample=dict(in_sample or {}))


def compared(root: Path, counts: Counts | None = None, reverse: bool = False) -> Store:
    """A store with everything finished and labelled, not compacted; ``reverse``: in the opposite order."""
    shutil.copytree(_made(tuple(sorted((counts or {}).items())), reverse), root, dirs_exist_ok=True)
    return Store(root)


_TEMPLATES = TemporaryDirectory(prefix="compared-")


@cache
def _made(items: tuple[tuple[tuple[str, str, str, int, float], tuple[int, int]], ...], reverse: bool) -> Path:
    """The same folder, made once: every write of a store waits for the disk."""
    counts, root = dict(items), Path(_TEMPLATES.name) / uuid4().hex
    store, cells = Store(root), cells_of()
    store.write_plan(plan_with(cells))
    order = cells[::-1] if reverse else cells
    for one in order:
        spec = None if one.steering is None else one.steering.direction
        if spec is not None and spec.id not in store.done_directions():
            store.write_direction(spec, set_of(spec.model, spec.method))
    for one in order:
        store.write_responses(one, result_of(one), 1)
        tally = (0, 0) if one.steering is None else counts.get(key_of(one), (0, 0))
        write_labels(store, one.id, labels_of(one, *tally))
    return root


def where(one: Cell) -> SteeredAt | None:
    """Where a cell is steered once the method has chosen."""
    if one.steering is None:
        return None
    if one.steering.source_layer != SELECTED:
        return SteeredAt(one.steering.layers, one.steering.source_layer)
    source, target = one.steering.direction.model, one.target
    first = corresponding_layer(CHOSEN[source], LAYERS[source], LAYERS[target])
    return SteeredAt(tuple(range(first, LAYERS[target])), CHOSEN[source])


def key_of(one: Cell) -> tuple[str, str, str, int, float]:
    """The key of a steered cell in ``Counts``."""
    at = where(one)
    assert one.steering is not None
    assert at is not None
    source = NAMES[one.steering.direction.model]
    return NAMES[one.target], source, one.steering.direction.method, at.layers[0], one.steering.action.multiplier


def _random(name: str, n_layers: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    vectors = np.random.default_rng([ord(letter) for letter in name]).normal(size=(n_layers, D_MODEL))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _named(model: PlannedModel) -> PlannedModel:
    shape: ModelShape = replace(SHAPE, n_layers=LAYERS[model.spec])
    return replace(model, name=NAMES[model.spec], shape=shape)
