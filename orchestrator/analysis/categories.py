"""What the directions of categories share: the angles between them, their subspaces, and how many directions it takes.

A category's direction is the mean of its positive prompts less that of all negative ones. Two such estimates open an angle by
their noise alone, and close it by the negative prompts that both are made with: both are taken away (``moments``). How many
directions: the singular values of the categories' directions against those of prompts whose categories are shuffled (Buja and
Eyuboglu 1992), one after the other, each taken out before the next is tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from orchestrator.analysis.analysis import Activations, Analysis, AnalysisRow, ContrastOptions, Material, known, span
from orchestrator.analysis.moments import LEAST_PROMPTS, Array, Moments, cosines, degrees, mean_cosine, moments
from orchestrator.statistics import p_text

LEVEL = 0.05


class CategoryOptions(ContrastOptions):
    """``permutations`` of the categories, drawn by ``seed``; ``rank``: dimensions of a category's subspace."""

    permutations: int = Field(default=200, ge=19, le=100_000)
    seed: int = Field(default=0, ge=0)
    rank: int = Field(default=3, ge=1, le=64)


@dataclass(frozen=True, kw_only=True)
class CategoryRow(AnalysisRow):
    """One row of ``categories.parquet``: two categories at one layer, or all of them; angles in degrees."""

    classes: Annotated[str, "what the classes are by: `label` of the prompts, or the model's own `behavior`"]
    layer: Annotated[int, "the layer"]
    category: Annotated[str | None, "the first category; null: all pairs"]
    other: Annotated[str | None, "the second category"]
    n_category: Annotated[int, "positive prompts of the first category; of all"]
    n_other: Annotated[int, "positive prompts of the second category; of all"]
    n_negative: Annotated[int, "negative prompts"]
    raw: Annotated[float, "between the directions as they are estimated; of all pairs the mean"]
    raw_spread: Annotated[float | None, "standard deviation of the raw angles over pairs"]
    corrected: Annotated[float | None, "without what estimation adds; of all pairs that of the mean cosine"]
    corrected_low: Annotated[float, "its 95 % interval (jackknife over prompts)"]
    corrected_high: Annotated[float, "its 95 % interval (jackknife over prompts)"]
    principal_first: Annotated[float | None, "the smallest angle between the two categories' subspaces; null: too few prompts"]
    principal_last: Annotated[float | None, "the largest one"]
    principal_split: Annotated[float | None, "the largest one between two halves of one category: what would be no difference"]
    directions: Annotated[int | None, "of all: how many directions there are beyond chance"]
    p_second: Annotated[float | None, "of all: how often chance gives a second direction of such a length"]


@dataclass(frozen=True, eq=False)
class Categories:
    """Positive prompts by category, and all negative ones, at one layer: ``[n, d]`` each."""

    names: tuple[str, ...]
    positive: tuple[Activations, ...]
    negative: Activations

    @classmethod
    def of(cls, material: Material, layer: int) -> Categories:
        """Those that have enough prompts."""
        positive, found = material.of("positive")[:, layer], material.categories_of("positive")
        places = {name: [place for place, one in enumerate(found) if one == name] for name in dict.fromkeys(found) if name}
        enough = {name: positive[own] for name, own in places.items() if len(own) >= LEAST_PROMPTS}
        return cls(tuple(enough), tuple(enough.values()), material.of("negative")[:, layer])


def category_rows(material: Material, options: CategoryOptions) -> Iterator[dict[str, object]]:
    """Of every layer all pairs together, then each; nothing where there are not two categories of enough prompts."""
    for layer in range(material.activations.shape[1]):
        found = Categories.of(material, layer)
        if len(found.names) > 1:
            for row in _of_layer(found, options):
                yield {"classes": options.classes, "layer": layer, "n_negative": len(found.negative), **row}


def _of_layer(found: Categories, options: CategoryOptions) -> Iterator[dict[str, object]]:
    count = len(found.names)
    groups = [one[:, None] for one in (*found.positive, found.negative)]
    measured = moments(groups).contrasts(np.hstack([np.eye(count), -np.ones((count, 1))]))
    corrected, raw = cosines(measured), _raw(measured)
    pairs = np.triu_indices(count, k=1)
    mean, _ = mean_cosine(measured, pairs)
    subspaces = _Subspaces(found, options)
    numbers = [len(one) for one in found.positive]
    yield {
        **dict.fromkeys(("category", "other")),
        "n_category": sum(numbers),
        "n_other": sum(numbers),
        "raw": float(raw[pairs].mean()),
        "raw_spread": float(raw[pairs].std(ddof=1)) if len(pairs[0]) > 1 else None,
        **_angle(mean.value, mean.low, mean.high),
        **subspaces.mean(),
        **_how_many(found, options),
    }
    for one, other in itertools.combinations(range(count), 2):
        at = one, other
        yield {
            "category": found.names[one],
            "other": found.names[other],
            "n_category": numbers[one],
            "n_other": numbers[other],
            "raw": float(raw[at]),
            **dict.fromkeys(("raw_spread", "directions", "p_second")),
            **_angle(corrected.value[at], corrected.low[at], corrected.high[at]),
            **subspaces.between(one, other),
        }


def _raw(found: Moments) -> Array:
    lengths = np.sqrt(np.diagonal(found.raw))
    return degrees(found.raw / np.outer(lengths, lengths))


def _angle(value: Array, low: Array, high: Array) -> dict[str, object]:
    ends = {"corrected_low": float(degrees(high)), "corrected_high": float(degrees(low))}
    return {"corrected": known(degrees(value)), **ends}


def _principal_angles(one: Array, other: Array) -> Array:
    """Between two subspaces, in degrees."""
    from scipy.linalg import subspace_angles

    return np.asarray(np.degrees(subspace_angles(one, other)))


class _Subspaces:
    """Of every category the space of its first principal components, seen from the middle of the negative prompts."""

    def __init__(self, found: Categories, options: CategoryOptions) -> None:
        self._random, self._rank = np.random.default_rng(options.seed), options.rank
        centre = found.negative.mean(axis=0, dtype=np.float64)
        self._prompts = [one - centre for one in found.positive]
        whole = [one for one in self._prompts if len(one) >= 2 * self._rank]
        self._bases = [self._basis(one) for one in self._prompts]
        self._split = float(np.mean([self._halves(one) for one in whole])) if whole else None

    def between(self, one: int, other: int) -> dict[str, object]:
        """The smallest and the largest principal angle."""
        if min(len(self._prompts[one]), len(self._prompts[other])) < self._rank:
            return dict.fromkeys(("principal_first", "principal_last", "principal_split"))
        found = _principal_angles(self._bases[one], self._bases[other])
        return {"principal_first": float(found.min()), "principal_last": float(found.max()), "principal_split": self._split}

    def mean(self) -> dict[str, object]:
        """The means over all pairs."""
        pairs = [self.between(one, other) for one, other in itertools.combinations(range(len(self._prompts)), 2)]
        known_ = [pair for pair in pairs if pair["principal_first"] is not None]
        names = ("principal_first", "principal_last")
        means = {name: float(np.mean([pair[name] for pair in known_])) if known_ else None for name in names}
        return {**means, "principal_split": self._split}

    def _basis(self, prompts: Array) -> Array:
        return np.asarray(np.linalg.svd(prompts, full_matrices=False)[2][: self._rank].T)

    def _halves(self, prompts: Array) -> float:
        order = self._random.permutation(len(prompts))
        bases = [self._basis(prompts[half]) for half in np.array_split(order, 2)]
        return float(_principal_angles(*bases).max())


def _how_many(found: Categories, options: CategoryOptions) -> dict[str, object]:
    """Directions beyond chance: the first where the classes differ at all; each further one where, once those before it are taken
    out of the prompts, the categories' means reach further along one direction than shuffled ones do, but for ``LEVEL``."""
    numbers = [len(one) for one in found.positive]
    positive = np.concatenate(found.positive) - found.negative.mean(axis=0, dtype=np.float64)
    products = positive @ positive.T
    random, as_is = np.random.default_rng(options.seed), np.arange(len(positive))
    orders = random.permuted(np.tile(as_is, (options.permutations, 1)), axis=1)
    own, chance = _weights(numbers, as_is[None])[0], _weights(numbers, orders)
    p: list[float] = []
    while len(p) < len(numbers) - 1 and (not p or p[-1] <= LEVEL):
        products = _without_longest(products, own)
        reach = _longest(products, own)
        p.append((1 + int((_longest(products, chance) >= reach).sum())) / (1 + options.permutations))
    further = sum(one <= LEVEL for one in p)
    differs = moments([np.concatenate(found.positive)[:, None], found.negative[:, None]]).contrasts(np.array([[1.0, -1.0]]))
    sure = differs.true[0, 0] > differs.quantile() * np.sqrt((differs.true_moves[:, 0, 0] ** 2).sum())
    return {"directions": int(sure or further > 0) + further, "p_second": p[0]}


def _weights(numbers: Sequence[int], orders: np.ndarray) -> Array:
    """The means of so many prompts each, taken in every one of ``orders`` ``[B, n]``: ``[B, C, n]``."""
    weights = np.zeros((len(orders), len(numbers), orders.shape[1]))
    for category, own in enumerate(np.split(orders, np.cumsum(numbers)[:-1], axis=1)):
        np.put_along_axis(weights[:, category], own, 1 / own.shape[1], axis=1)
    return weights


def _longest(products: Array, weights: Array) -> Array:
    """The square of the largest singular value of the category means."""
    return np.asarray(np.linalg.eigvalsh(weights @ products @ np.swapaxes(weights, -1, -2))[..., -1])


def _without_longest(products: Array, weights: Array) -> Array:
    """The products of the prompts once the direction of the category means' largest singular value is taken out of them."""
    squares, vectors = np.linalg.eigh(weights @ products @ weights.T)
    along = products @ weights.T @ vectors[:, -1] / np.sqrt(max(squares[-1], np.finfo(float).tiny))
    return np.asarray(products - np.outer(along, along))


CATEGORIES = Analysis(
    says="what the directions of categories share: angles, principal angles, how many directions there are",
    options=CategoryOptions,
    row=CategoryRow,
    rows=category_rows,
    shown=(
        ("classes by", lambda row: row.classes),
        ("layer", lambda row: str(row.layer)),
        ("prompts", lambda row: f"{row.n_category} + {row.n_negative}"),
        ("raw", lambda row: span(row.raw, places=1) + (f" ± {row.raw_spread:.1f}" if row.raw_spread is not None else "")),
        ("corrected", lambda row: span(row.corrected, row.corrected_low, row.corrected_high, 1)),
        ("principal", lambda row: f"{span(row.principal_first, places=1)} to {span(row.principal_last, places=1)}"),
        ("of halves", lambda row: span(row.principal_split, places=1)),
        ("directions", lambda row: str(row.directions)),
        ("p of a second", lambda row: p_text(row.p_second)),
    ),
    note="Degrees, over all pairs of categories. Of halves: the largest principal angle between two halves of one category.",
    on_page=lambda row: row.category is None,
    by_category=True,
)
"""Pairs of categories, layer by layer."""
