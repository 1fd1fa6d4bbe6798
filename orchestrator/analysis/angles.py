"""How far a direction turns from layer to layer: the angle between two layers' directions, and how much of it is estimation.

Directions of two layers are estimated from the same prompts, each with an error that a mean over n prompts has. In a thousand
dimensions such errors are at right angles to everything, so two layers with one and the same direction show a large angle when
prompts are few, and an interval of the bootstrap lies around that angle, not around the true one. ``corrected`` takes the errors
away (``moments``), and ``unturned`` is the angle that would be seen if nothing turned at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from orchestrator.analysis.analysis import Activations, Analysis, AnalysisRow, ContrastOptions, Material, known, span
from orchestrator.analysis.moments import Array, Moments, Ratio, cosines, degrees, mean_cosine, moments

CHUNK = 64
"""Resamples at a time."""


class AngleOptions(ContrastOptions):
    """``bootstrap``: resamples of the prompts for the interval of the raw angle; ``seed``: what they are drawn by."""

    bootstrap: int = Field(default=1000, ge=100, le=100_000)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, kw_only=True)
class AngleRow(AnalysisRow):
    """One row of ``angles.parquet``: the directions of two layers, all angles in degrees."""

    classes: Annotated[str, "what the classes are by: `label` of the prompts, or the model's own `behavior`"]
    layer: Annotated[int | None, "the first layer; null: the mean over all neighbouring layers"]
    other: Annotated[int | None, "the second layer"]
    pairs: Annotated[
        int,
        "how many pairs `corrected` is of; a mean is of those whose directions have a length beyond doubt, else of all",
    ]
    n_positive: Annotated[int, "prompts of the positive class"]
    n_negative: Annotated[int, "prompts of the negative class"]
    raw: Annotated[float, "between the differences of class means as they are"]
    raw_low: Annotated[float | None, "its 95 % interval, by resampling prompts: what other prompts would give"]
    raw_high: Annotated[float | None, "its 95 % interval, by resampling prompts: what other prompts would give"]
    unturned: Annotated[float | None, "what the raw angle would be if the direction did not turn: estimation alone"]
    corrected: Annotated[float | None, "without what estimation adds; null where a direction has no length beyond it"]
    corrected_low: Annotated[float, "its 95 % interval (jackknife over prompts, Fieller)"]
    corrected_high: Annotated[float, "its 95 % interval (jackknife over prompts, Fieller)"]
    split_half: Annotated[float | None, "between two directions of the first layer, each from other prompts, half of them"]
    reliability: Annotated[float | None, "of the first layer's direction: the share of its squared length that is no noise"]
    state_cosine: Annotated[float, "between the activations themselves, the mean over prompts"]


def angle_rows(material: Material, options: AngleOptions) -> Iterator[dict[str, object]]:
    """The mean over neighbouring layers, then every pair of layers."""
    positive, negative = material.of("positive"), material.of("negative")
    layers = positive.shape[1]
    found = moments([positive, negative]).contrasts(np.hstack([np.eye(layers), -np.eye(layers)]))
    below, above = np.arange(layers - 1), np.arange(1, layers)
    mean, pairs = mean_cosine(found, (below, above))
    corrected = cosines(found)
    sure = np.isfinite(corrected.low[below, above])
    if sure.any():  # the row of means is of these alone
        below, above = below[sure], above[sure]
    low, high = np.quantile(resampled(positive, negative, options), [0.025, 0.975], axis=0)
    seen = {
        "raw": degrees(_cosine(found.raw)),
        "unturned": degrees(_unturned(found)),
        "state_cosine": _state_cosines(np.concatenate([positive, negative])),
    }
    of_layer = {"split_half": degrees(_agreement(found, 2.0)), "reliability": _agreement(found, 1.0)}
    common = {"classes": options.classes, "n_positive": len(positive), "n_negative": len(negative)}
    yield {
        **common,
        **dict.fromkeys(("layer", "other", "raw_low", "raw_high")),
        **{name: _mean(values[below, above]) for name, values in seen.items()},
        **{name: _mean(values[below]) for name, values in of_layer.items()},
        **_corrected(mean, ()),
        "pairs": pairs,
    }
    for at in itertools.combinations(range(layers), 2):
        yield {
            **common,
            "layer": at[0],
            "other": at[1],
            "pairs": 1,
            "raw_low": known(low[at]),
            "raw_high": known(high[at]),
            **{name: known(values[at]) for name, values in seen.items()},
            **{name: known(values[at[0]]) for name, values in of_layer.items()},
            **_corrected(corrected, at),
        }


def _mean(values: Array) -> float | None:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else None


def _corrected(found: Ratio, at: tuple[int, ...]) -> dict[str, object]:
    """The angle of a cosine: of the mean cosine where there are several, for a mean of angles, which have no sign, grows with
    their noise."""
    ends = {"corrected_low": float(degrees(found.high[at])), "corrected_high": float(degrees(found.low[at]))}
    return {"corrected": known(degrees(found.value[at])), **ends}


def resampled(positive: Activations, negative: Activations, options: AngleOptions) -> Array:
    """The raw angle between every two layers for every resample of the prompts, ``[B, L, L]``."""
    random, flat = np.random.default_rng(options.seed), [one.reshape(len(one), -1) for one in (positive, negative)]
    shape, found = positive.shape[1:], np.empty((options.bootstrap, positive.shape[1], positive.shape[1]))
    for start in range(0, options.bootstrap, CHUNK):
        count = min(CHUNK, options.bootstrap - start)
        drawn = [random.multinomial(len(one), np.full(len(one), 1 / len(one)), count) / len(one) for one in flat]
        means = [weights.astype(one.dtype) @ one for weights, one in zip(drawn, flat, strict=True)]
        directions = (means[0] - means[1]).reshape(count, *shape)
        products = directions @ directions.transpose(0, 2, 1)
        found[start : start + count] = degrees(_cosine(products.astype(np.float64)))
    return found


def _cosine(products: Array) -> Array:
    lengths = np.sqrt(np.maximum(np.diagonal(products, axis1=-2, axis2=-1), 0.0))
    bottom = lengths[..., :, None] * lengths[..., None, :]
    return np.divide(products, bottom, out=np.full_like(products, np.nan), where=bottom > 0)


def _unturned(found: Moments) -> Array:
    true = np.diagonal(found.true)
    lengths = np.sqrt(np.where(true > 0, true, np.nan))
    seen = np.sqrt(np.diagonal(found.raw))
    return (np.outer(lengths, lengths) + found.raw - found.true) / np.outer(seen, seen)


def _agreement(found: Moments, noise: float) -> Array:
    """The cosine to expect between two directions of a layer from other prompts, each with so many times the noise of this one:
    2 where each has half of the prompts."""
    true, raw = np.diagonal(found.true), np.diagonal(found.raw)
    return np.asarray(true / (true + noise * (raw - true)))


def _state_cosines(states: Activations) -> Array:
    unit = states / np.linalg.norm(states, axis=-1, keepdims=True)
    return np.asarray(np.einsum("nld,nmd->lm", unit, unit, optimize=True, dtype=np.float64) / len(unit))


ANGLES = Analysis(
    says="how far the direction turns between layers, told from estimation noise",
    version=2,
    options=AngleOptions,
    row=AngleRow,
    rows=angle_rows,
    shown=(
        ("classes by", lambda row: row.classes),
        ("layers", lambda row: f"mean of {row.pairs} neighbours" if row.layer is None else f"{row.layer} - {row.other}"),
        ("prompts", lambda row: f"{row.n_positive} + {row.n_negative}"),
        ("raw", lambda row: span(row.raw, row.raw_low, row.raw_high, 1)),
        ("if unturned", lambda row: span(row.unturned, places=1)),
        ("corrected", lambda row: span(row.corrected, row.corrected_low, row.corrected_high, 1)),
        ("split-half", lambda row: span(row.split_half, places=1)),
        ("state cosine", lambda row: span(row.state_cosine, places=3)),
    ),
    note="Degrees. What turns is what 'corrected' says: a raw angle is no more than 'if unturned' where nothing turns.",
    on_page=lambda row: row.layer is None or row.other == row.layer + 1,
)
"""In degrees."""
