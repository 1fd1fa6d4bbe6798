"""Steerings of every kind, each value of each axis together with each value of every other one, by few of them (pairwise)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from actors.interventions.own import digest_of
from actors.types import Condition, FloatArray, Steering

OWN = """def bent(activation, vector, strength, references):
    component = (activation * vector).sum(-1, keepdim=True)
    return activation + strength * component.tanh() * vector
"""
AXES: Mapping[str, Sequence[Any]] = {
    "positions": (
        *("all", "prompt", "generation", "last_prompt", "template", "first:1", "first:3", "from:1", "from:4"),
        *("last_prompt+generation", "template+first:2", "prompt+from:3"),
    ),
    "schedule": ("constant", "linear:4", "exponential:2"),
    "site": ("output", "input", "attention", "mlp", "heads", "head:first", "head:last", "everywhere"),
    "intervention": (
        *("addition", "ablation", "replacement", "affine_ablation", "subspace_replacement", "angular", "rotation", "own"),
    ),
    "keep_norm": (False, True),
    "scaled": (False, True),
    "layers": ("every", "some", "one"),
    "condition": ("none", "above", "below"),
    "then": (0, 1, 2),
}
Chosen = dict[str, Any]
Pair = tuple[tuple[str, Any], tuple[str, Any]]
Condition_ = Callable[[bool], Condition]


def allowed(chosen: Chosen) -> bool:
    """Whether a steering may be so."""
    if chosen["site"] == "everywhere" and chosen["intervention"] != "ablation":
        return False
    return chosen["intervention"] != "replacement" or chosen["schedule"] == "constant"


def pairwise(axes: Mapping[str, Sequence[Any]], seed: int = 0) -> list[Chosen]:
    """Choices, few of them, such that any two values of two axes that are allowed together are in one of them."""
    random, names, found = Random(seed), list(axes), list[Chosen]()
    left = set(_pairs_of_axes(axes))
    for one in sorted(left, key=repr):
        if one not in left:
            continue
        made = [choice for choice in (_random(axes, dict(one), random) for _ in range(60)) if allowed(choice)]
        if not made:
            left.discard(one)
            continue
        best = max(made, key=lambda choice: len(left & set(_pairs(names, choice))))
        left -= set(_pairs(names, best))
        found.append(best)
    return found


def few(axes: Mapping[str, Sequence[Any]], n: int, seed: int = 0) -> list[Chosen]:
    """Of those so many in which every value of each axis is found, and as many pairs as may be."""
    names, left, found = list(axes), pairwise(axes, seed), list[Chosen]()
    values = {(name, value) for name, every in axes.items() for value in every}
    pairs: set[Pair] = set()
    while len(found) < n:
        best = max(left, key=lambda one: (len(values & {*one.items()}), len({*_pairs(names, one)} - pairs)))
        left.remove(best)
        values -= {*best.items()}
        pairs |= {*_pairs(names, best)}
        found.append(best)
    assert not values, f"{n} are too few to have {values}"
    return found


def _pairs_of_axes(axes: Mapping[str, Sequence[Any]]) -> Iterator[Pair]:
    for (one, ones), (other, others) in itertools.combinations(axes.items(), 2):
        for first, second in itertools.product(ones, others):
            yield (one, first), (other, second)


def _pairs(names: Sequence[str], chosen: Chosen) -> Iterator[Pair]:
    for one, other in itertools.combinations(names, 2):
        yield (one, chosen[one]), (other, chosen[other])


def _random(axes: Mapping[str, Sequence[Any]], fixed: Chosen, random: Random) -> Chosen:
    chosen = {name: random.choice(values) for name, values in axes.items()} | fixed
    return {name: chosen[name] for name in axes}


@dataclass(frozen=True)
class Where:
    """What a model has: ``layers`` at which a site can be steered, how wide the activations are there, its heads, how long the
    residual stream is at each block, and a condition that holds for some prompts."""

    layers: Callable[[str], Sequence[int]]
    width: Callable[[str, int], int]
    n_heads: int
    norms: Sequence[float]
    condition: Condition_


def steerings(choices: Sequence[Chosen], where: Where, seed: int = 0) -> list[tuple[Chosen, Steering]]:
    """A steering of every choice that the model has a place for, further parts being those of other choices."""
    parts = [(chosen, part) for n, chosen in enumerate(choices) if (part := _part(chosen, where, seed + n)) is not None]
    found = []
    for number, (chosen, part) in enumerate(parts):
        others = [replace(parts[(number + step) % len(parts)][1], then=()) for step in (7, 13)[: chosen["then"]]]
        sites = {one.site for one in (part, *others)}
        if "heads" in sites and any(site.startswith("head:") for site in sites):
            others = [one for one in others if "head" not in one.site]
        found.append((chosen, replace(part, then=tuple(others))))
    return found


def _part(chosen: Chosen, where: Where, seed: int) -> Steering | None:
    site: str = {"head:first": "head:0", "head:last": f"head:{where.n_heads - 1}"}.get(chosen["site"]) or chosen["site"]
    possible = list(where.layers(site))
    if not possible:
        return None
    random = np.random.default_rng(seed)
    layers = tuple(
        {"every": possible, "some": possible[1::2] or possible, "one": [possible[seed % len(possible)]]}[chosen["layers"]]
    )
    kind, width = chosen["intervention"], where.width(site, layers[0])
    vectors = _units(random, len(layers), width)
    length = float(np.mean([where.norms[layer] for layer in layers]))
    settings: dict[str, Any] = {key: chosen[key] for key in ("positions", "schedule", "keep_norm")}
    scales: tuple[float, ...] = ()
    multiplier = {"ablation": 1.0, "affine_ablation": 0.7, "angular": 120.0, "rotation": 75.0}.get(kind, 0.7 * length)
    if chosen["scaled"]:
        lengths = kind not in ("ablation", "affine_ablation", "angular", "rotation")
        scales = tuple(0.7 * where.norms[layer] if lengths else 0.5 + 0.1 * (layer % 5) for layer in layers)
        multiplier = 1.0 if lengths else multiplier
    if kind == "own":
        kind, settings["code"] = f"own.py:bent@{digest_of(OWN, 'bent')}", OWN
    if kind == "affine_ablation":
        settings["references"] = tuple(float(one) for one in random.standard_normal(len(layers)) * length)
    if kind in ("angular", "subspace_replacement"):
        planes = [_plane(random, vector) for vector in vectors]
        settings["bases"] = tuple(plane[1:] if kind == "angular" else plane for plane in planes)
    condition = None if chosen["condition"] == "none" else where.condition(chosen["condition"] == "above")
    return Steering(layers, vectors, multiplier, kind, scales=scales, site=site, condition=condition, **settings)


def _units(random: np.random.Generator, n: int, width: int) -> FloatArray:
    found = random.standard_normal((n, width)).astype(np.float32)
    unit: FloatArray = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def _plane(random: np.random.Generator, vector: FloatArray) -> FloatArray:
    """Two orthonormal vectors, the first of them ``vector``."""
    other = random.standard_normal(len(vector))
    other -= (other @ vector) * vector
    return np.stack([vector, (other / np.linalg.norm(other)).astype(np.float32)])
