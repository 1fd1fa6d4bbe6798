"""How far a direction depends on the prompts that it is estimated from, and how many more it needs.

Two directions from independent pools of n prompts of each class have the expected products ``A`` with each other and
``B + N / n`` with themselves, so their instability ``(B + N / n - A) / A`` is ``k / n + floor``: the learning curve
``k / n^a + floor`` with a = 1, whose k and floor are estimated without drawing any pool (``moments``). Over pools of all prompts
``B = A``, and the floor is 0 by arithmetic: a fit to resampled pools that finds another one has found its own curvature. With
categories a pool is of one category, and the floor is how far the directions of categories differ however many prompts there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from orchestrator.analysis.analysis import Activations, Analysis, AnalysisRow, ContrastOptions, Material, known, span
from orchestrator.analysis.moments import LEAST_PROMPTS, Array, Fraction, moments, ratio


class StabilityOptions(ContrastOptions):
    """``agreement``: the cosine between directions of independent pools at which one counts as stable."""

    agreement: float = Field(default=0.95, gt=0, lt=1)


@dataclass(frozen=True, kw_only=True)
class StabilityRow(AnalysisRow):
    """One row of ``stability.parquet``: the direction of one layer."""

    classes: Annotated[str, "what the classes are by: `label` of the prompts, or the model's own `behavior`"]
    layer: Annotated[int, "the layer"]
    n_positive: Annotated[int, "prompts of the positive class"]
    n_negative: Annotated[int, "prompts of the negative class"]
    categories: Annotated[int, "categories of positive prompts that are pools of their own; 0: pools are of all prompts"]
    k: Annotated[float | None, "instability at n prompts of each class is k / n + floor; null: no direction beyond noise"]
    k_low: Annotated[float | None, "its 95 % interval (null: unbounded)"]
    k_high: Annotated[float | None, "its 95 % interval (null: unbounded)"]
    floor: Annotated[float | None, "what more prompts do not take away; 0 by arithmetic where pools are of all prompts"]
    floor_low: Annotated[float | None, "its 95 % interval (null: unbounded)"]
    floor_high: Annotated[float | None, "its 95 % interval (null: unbounded)"]
    agreement: Annotated[
        float | None, "the cosine to expect with a direction from as many other prompts, with categories of another category's"
    ]
    agreement_low: Annotated[float | None, "its 95 % interval"]
    agreement_high: Annotated[float | None, "its 95 % interval"]
    wanted: Annotated[float, "the agreement at which it counts as stable"]
    needed: Annotated[float | None, "prompts of each class for that; null: no number of them is enough, or it is unknown"]
    needed_low: Annotated[float | None, "its 95 % interval (null: unbounded)"]
    needed_high: Annotated[float | None, "its 95 % interval (null: unbounded)"]


def stability_rows(material: Material, options: StabilityOptions) -> Iterator[dict[str, object]]:
    """A row per layer."""
    positive, negative = material.of("positive"), material.of("negative")
    pools = pools_of(material)
    for layer in range(positive.shape[1]):
        groups = [positive[pool, layer : layer + 1] for pool in pools] + [negative[:, layer : layer + 1]]
        yield {
            "classes": options.classes,
            "layer": layer,
            "n_positive": len(positive),
            "n_negative": len(negative),
            "categories": len(pools) if len(pools) > 1 else 0,
            "wanted": options.agreement,
            **_curve(groups, options.agreement),
        }


def pools_of(material: Material) -> list[list[int]]:
    """The positive prompts of each category that has enough of them; all in one where there are not two such categories."""
    categories = material.categories_of("positive")
    by_name = [[place for place, one in enumerate(categories) if one == name] for name in dict.fromkeys(categories) if name]
    enough = [places for places in by_name if len(places) >= LEAST_PROMPTS]
    return enough if len(enough) > 1 else [list(range(len(categories)))]


def _curve(groups: Sequence[Activations], wanted: float) -> dict[str, object]:
    pools = len(groups) - 1
    found = moments(groups)
    contrast = found.contrasts(np.hstack([np.eye(pools), -np.ones((pools, 1))]))
    across, own = _across(contrast.true), np.trace(contrast.true, axis1=-2, axis2=-1) / pools
    across_moves, own_moves = _across(contrast.true_moves), np.trace(contrast.true_moves, axis1=-2, axis2=-1) / pools
    noise, noise_moves = _noise(found.noise, pools), _noise(found.noise_moves, pools)
    seen, seen_moves = (
        own + part / np.mean([len(one) for one in groups]) for own, part in ((own, noise), (own_moves, noise_moves))
    )
    enough = 1 / wanted
    fractions: dict[str, Fraction] = {
        "k": (noise, across, noise_moves, across_moves),
        "agreement": (across, seen, across_moves, seen_moves),
        "needed": (noise, enough * across - own, noise_moves, enough * across_moves - own_moves),
    }
    if pools > 1:
        fractions["floor"] = own - across, across, own_moves - across_moves, across_moves
    told: dict[str, object] = {} if pools > 1 else dict.fromkeys(("floor", "floor_low", "floor_high"), 0.0)
    for name, fraction in fractions.items():
        estimate = ratio(fraction, found.quantile())
        told |= {name: known(estimate.value), f"{name}_low": known(estimate.low), f"{name}_high": known(estimate.high)}
    return told


def _across(products: Array) -> Array:
    """The mean product between different pools; of a single pool its own, which is that of another one of the same prompts."""
    pools = products.shape[-1]
    if pools == 1:
        return np.asarray(products[..., 0, 0])
    diagonal = np.trace(products, axis1=-2, axis2=-1)
    return np.asarray((products.sum(axis=(-2, -1)) - diagonal) / (pools * (pools - 1)))


def _noise(noise: Array, pools: int) -> Array:
    """A prompt's own part in a pool's direction: of a positive one, the mean over pools, and of a negative one."""
    return np.asarray(np.trace(noise[..., :pools, :pools], axis1=-2, axis2=-1) / pools + noise[..., -1, -1])


def _dealt(categories: int) -> str:
    return f" in {categories} categories" if categories else ""


STABILITY = Analysis(
    says="how far a direction depends on its prompts, and how many more it needs",
    options=StabilityOptions,
    row=StabilityRow,
    rows=stability_rows,
    shown=(
        ("classes by", lambda row: row.classes),
        ("layer", lambda row: str(row.layer)),
        ("prompts", lambda row: f"{row.n_positive}{_dealt(row.categories)} + {row.n_negative}"),
        ("agreement", lambda row: span(row.agreement, row.agreement_low, row.agreement_high)),
        ("k", lambda row: span(row.k, row.k_low, row.k_high, 1)),
        ("floor", lambda row: span(row.floor, row.floor_low, row.floor_high) if row.categories else "0"),
        ("needed", lambda row: span(row.needed, row.needed_low, row.needed_high, 0)),
    ),
    note="Agreement: the cosine to expect with a direction from as many other prompts; with categories a direction is of one of "
    "them, of as many prompts as each has, and the other is of another one. Needed: prompts of each class for the wanted one; "
    "-: no number of them is enough, or it is not known.",
)
"""The learning curve, layer by layer."""
