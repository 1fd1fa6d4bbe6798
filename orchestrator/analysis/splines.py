"""Whether a curve through behavioural centroids is worth following: how it bends at each layer, which of its knots hold, whether
they are of a topic, and whether the curves of neighbouring layers make one smooth surface.

A prompt's *strength* is its place between the means of the classes (0 the negative one, 1 the positive one), over all layers
together, each in units of its scatter within the classes, and with the prompt itself left out of its class's mean: otherwise
noise alone would push every prompt towards its class. Prompts in bins of equal size by strength give the *knots*: at every layer
the centroids of the bins in the space of that layer's first principal components. The curve is SciPy's monotone cubic
interpolation (PCHIP) of the knots over the bins' mean strengths; the surface its thin-plate spline over strength and depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from actors.curves import (
    FEWEST_KNOTS,
    LEAST_PROMPTS,
    Array,
    CommonSpace,
    Places,
    binned,
    centroids,
    depths_by,
    instabilities,
    principal_axes,
    standard_errors,
    strengths,
    through,
)
from orchestrator.analysis.analysis import Analysis, AnalysisRow, ContrastOptions, Material, span

POINTS = 101
"""Of a curve that are looked at."""


Drawn = tuple[int, np.random.Generator]
"""How many draws of a test, and what draws them."""


class SplineOptions(ContrastOptions):
    """``knots`` of a curve (fewer where a bin would have less than three prompts); ``dimensions``: principal components of a
    layer; ``soft``: a knot whose instability exceeds this should not be relied on; ``draws`` of both tests, by ``seed``."""

    knots: int = Field(default=5, ge=FEWEST_KNOTS, le=50)
    dimensions: int = Field(default=3, ge=1, le=64)
    soft: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    draws: int = Field(default=500, ge=99, le=100_000)
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, kw_only=True)
class SplineRow(AnalysisRow):
    """One row of ``splines.parquet``: the curve of a layer, or one of its knots."""

    classes: Annotated[str, "what the classes are by: `label` of the prompts, or the model's own `behavior`"]
    layer: Annotated[int, "the layer"]
    knot: Annotated[int | None, "the knot, from 0 by rising strength; null: the whole curve"]
    n: Annotated[int, "prompts of the bin; of a curve: of all"]
    strength: Annotated[
        float | None, "of a knot: the mean strength of its prompts, 0 the negative class's mean, 1 the positive's"
    ]
    instability: Annotated[
        float | None, "standard error of the centroid over its distance from the nearest neighbour; of a curve its worst knot's"
    ]
    soft: Annotated[bool | None, "of a knot: whether that is more than the option `soft`: an anchor not to be relied on"] = None
    first: Annotated[float | None, "of a knot: its place along the layer's first principal component"] = None
    second: Annotated[float | None, "of a knot: the same of the second one (0 where there is none)"] = None
    error: Annotated[float | None, "of a knot: the standard error of its centroid, over all components together"] = None
    progress: Annotated[float | None, "of a knot: how far it is along the line from the first to the last, 0 to 1"] = None
    monotone: Annotated[bool | None, "of a curve: whether every knot is farther along that line than the one before"] = None
    bow: Annotated[float | None, "of a curve: the largest distance from that line, as a share of its length"] = None
    bow_straight: Annotated[float | None, "what a straight line with the same scatter shows, in the mean"] = None
    bow_p: Annotated[float | None, "how often it shows as much"] = None
    topic: Annotated[
        float | None, "of a curve: share of the scatter within bins that is between categories; null: no categories"
    ] = None
    topic_p: Annotated[float | None, "how often categories shuffled within the bins have as large a share"] = None
    surface_error: Annotated[
        float | None,
        "of a curve: squared error of its knots as the surface through all other layers has them, as a share of their squared "
        "length; null for the first and last layer",
    ] = None
    copied_error: Annotated[float | None, "the same of the knots of the layer before, taken as they are"] = None
    noise: Annotated[float | None, "the same of the knots' own standard errors: near 1 they are noise, which layers share"] = None


def spline_rows(material: Material, options: SplineOptions) -> Iterator[dict[str, object]]:
    """Of every layer the curve, then its knots; nothing where there are too few prompts for three knots."""
    positive, negative = material.of("positive"), material.of("negative")
    categories = (*material.categories_of("positive"), *material.categories_of("negative"))
    states = np.concatenate([positive, negative]).astype(np.float64)
    if len(states) < FEWEST_KNOTS * LEAST_PROMPTS:
        return
    strength = strengths(states, len(positive))
    bins = binned(strength, options.knots)
    levels = np.array([strength[one].mean() for one in bins])
    surface = _surface(states, bins, levels, options.dimensions)
    random = np.random.default_rng(options.seed)
    for layer in range(states.shape[1]):
        points = principal(states[:, layer], options.dimensions)
        if not points.any():
            continue  # all prompts have one state there
        common = {"classes": options.classes, "layer": layer}
        knots = list(_knots(points, bins, levels, options.soft))
        worst = max(float(str(knot["instability"])) for knot in knots)
        yield {
            **common,
            "knot": None,
            "n": len(points),
            "strength": None,
            "instability": worst,
            **_bend(points, bins, levels, (options.draws, random)),
            **_topic(points, bins, categories, (options.draws, random)),
            **surface[layer],
        }
        for number, knot in enumerate(knots):
            yield {**common, "knot": number, **knot}


def principal(states: Array, dimensions: int) -> Array:
    """``[n, D]``: ``states`` ``[n, d]`` of one layer, less their mean, in their first principal components."""
    return np.asarray((states - states.mean(axis=0)) @ principal_axes(states, dimensions).T)


def _knots(points: Array, bins: Sequence[Places], levels: Array, soft: float) -> Iterator[dict[str, object]]:
    found, errors, unstable = centroids(points, bins), standard_errors(points, bins), instabilities(points, bins)
    along = _along(found)
    for number, one in enumerate(bins):
        first, second = (float(value) for value in np.append(found[number], 0.0)[:2])
        place = {"first": first, "second": second, "error": float(errors[number]), "progress": float(along[number])}
        held = {"instability": float(unstable[number]), "soft": bool(unstable[number] > soft)}
        yield {"n": len(one), "strength": float(levels[number]), **held, **place}


def _along(knots: Array) -> Array:
    """Where knots are on the line from the first to the last, ``[K]``."""
    line = knots[-1] - knots[0]
    return np.asarray((knots - knots[0]) @ line / (line @ line))


def bow(levels: Array, knots: Array) -> Array:
    """How far curves through ``knots`` ``[K, ..., D]`` are off the line between their ends, as a share of its length."""
    points = through(levels, knots, np.linspace(levels[0], levels[-1], POINTS)) - knots[0]
    line = knots[-1] - knots[0]
    length = np.linalg.norm(line, axis=-1, keepdims=True)
    along = (points * line / length).sum(axis=-1, keepdims=True)
    return np.asarray(np.linalg.norm(points - along * line / length, axis=-1).max(axis=0) / length[..., 0])


def _bend(points: Array, bins: Sequence[Places], levels: Array, drawn: Drawn) -> dict[str, object]:
    """The bow, against that of points on the line whose prompts scatter as the bins' own do."""
    found, (draws, random) = centroids(points, bins), drawn
    along = _along(found)
    feet = found[0] + np.outer(along, found[-1] - found[0])
    scatter = [(points[one] - points[one].mean(axis=0)) * np.sqrt(len(one) / (len(one) - 1)) for one in bins]
    moved = np.stack([one[random.integers(len(one), size=(draws, len(one)))].mean(axis=1) for one in scatter])
    seen, straight = float(bow(levels, found)), bow(levels, feet[:, None] + moved)
    p = float((1 + np.sum(straight >= seen)) / (1 + draws))
    monotone = bool((np.diff(along) > 0).all())
    return {"monotone": monotone, "bow": seen, "bow_straight": float(straight.mean()), "bow_p": p}


def _topic(points: Array, bins: Sequence[Places], categories: Sequence[str | None], drawn: Drawn) -> dict[str, object]:
    """How much of the scatter within bins categories explain, against categories shuffled within them."""
    (draws, random), seen, whole, shuffled = drawn, 0.0, 0.0, np.zeros(drawn[0])
    several = False
    for one in bins:
        known = [place for place in one if categories[place] is not None]
        names, labels = np.unique([str(categories[place]) for place in known], return_inverse=True)
        own = points[known] - points[known].mean(axis=0) if known else points[:0]
        several |= 1 < len(names) < len(known)
        whole += float((own**2).sum())
        seen += float(_between(own, labels[None])[0]) if known else 0.0
        shuffled += _between(own, random.permuted(np.tile(labels, (draws, 1)), axis=1)) if known else 0.0
    if not several or whole == 0:
        return {"topic": None, "topic_p": None}
    p = float((1 + np.sum(shuffled >= seen * (1 - 1e-9))) / (1 + draws))
    return {"topic": seen / whole, "topic_p": p}


def _between(own: Array, labels: Places) -> Array:
    """The squared length of the categories' means, times their prompts, for each way ``[B, n]`` to label the prompts."""
    of = labels[:, :, None] == np.arange(labels.max() + 1)  # [B, n, c]
    sums = np.einsum("bnc,nd->bcd", of.astype(np.float64), own)
    return np.asarray(((sums**2).sum(axis=2) / of.sum(axis=1)).sum(axis=1))


def _surface(states: Array, bins: Sequence[Places], levels: Array, dimensions: int) -> list[dict[str, object]]:
    """Of each layer: how well the thin-plate surface through the knots of all others predicts its knots."""
    from scipy.interpolate import RBFInterpolator

    space, count = CommonSpace.of(states, bins, dimensions), states.shape[1]
    knots, grid = space.knots, depths_by(levels, count)
    found: list[dict[str, object]] = []
    for layer in range(count):
        length = float((knots[layer] ** 2).sum()) or 1.0  # 0 where no row is made
        shares: dict[str, object] = {"noise": float((standard_errors(space.points[:, layer], bins) ** 2).sum() / length)}
        if layer > 0:
            shares["copied_error"] = float(((knots[layer] - knots[layer - 1]) ** 2).sum() / length)
        if 0 < layer < count - 1:
            others = np.arange(count) != layer
            fitted = RBFInterpolator(grid[others].reshape(-1, 2), knots[others].reshape(-1, knots.shape[-1]))
            shares["surface_error"] = float(((fitted(grid[layer]) - knots[layer]) ** 2).sum() / length)
        found.append(shares)
    return found


SPLINES = Analysis(
    says="how curves through behavioural centroids bend, which knots hold, whether layers make one smooth surface",
    version=2,
    options=SplineOptions,
    row=SplineRow,
    rows=spline_rows,
    shown=(
        ("classes by", lambda row: row.classes),
        ("layer", lambda row: str(row.layer)),
        ("prompts", lambda row: str(row.n)),
        ("bow", lambda row: span(row.bow)),
        ("if straight", lambda row: span(row.bow_straight)),
        ("p", lambda row: span(row.bow_p, places=3)),
        ("worst knot", lambda row: span(row.instability)),
        ("monotone", lambda row: "yes" if row.monotone else "no"),
        ("topic", lambda row: span(row.topic)),
        ("p of topic", lambda row: span(row.topic_p, places=3)),
        ("surface", lambda row: span(row.surface_error)),
        ("copied", lambda row: span(row.copied_error)),
        ("noise", lambda row: span(row.noise)),
    ),
    note="A curve bends where its bow is more than 'if straight'. A surface is smooth where its error is small; near "
    "a 'noise' of 1 it goes through noise.",
    on_page=lambda row: row.knot is None,
)
"""Of each layer, and of each knot in the file."""
