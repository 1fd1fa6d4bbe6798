"""Curves through behavioural centroids, one for each layer, for the intervention ``curve``: the stream's part in a layer's first
principal components becomes a point of that layer's curve (the steering along a manifold that Browne-Moore 2026 proposes)."""

from __future__ import annotations

import json

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
    strengths,
)
from actors.errors import JobError
from actors.methods.contrast import Asked, Contrast, Found
from actors.methods.options import MethodOptions
from actors.types import Curve

POINTS = 33
"""Strengths at which a surface is read, beside those of the knots, to give each layer its curve."""
HELD = 2
"""Knots that a curve needs at least."""


class CurveOptions(MethodOptions):
    """``knots`` of a curve (fewer where a bin would have less than three prompts), in the first ``dimensions`` principal
    components. ``soft``: a knot whose instability exceeds this is passed by. ``surface``: the curves of all layers lie on one
    thin-plate spline over strength and depth, in axes that the layers share."""

    knots: int = Field(default=5, ge=FEWEST_KNOTS, le=50)
    dimensions: int = Field(default=3, ge=1, le=64)
    soft: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    surface: bool = False


def curve_unfit(asked: Asked, _options: CurveOptions) -> str | None:
    """Why there are too few prompts for a curve; None when there are enough."""
    least = FEWEST_KNOTS * LEAST_PROMPTS
    if min(asked.n_positive, asked.n_negative) >= LEAST_PROMPTS and asked.n_positive + asked.n_negative >= least:
        return None
    counts = f"{asked.n_positive} positive and {asked.n_negative} negative prompts"
    return f"curve needs {least} contrast prompts, {LEAST_PROMPTS} of each class; here are {counts}"


def curve(contrast: Contrast, options: CurveOptions) -> Found:
    """The curve of every layer where two knots hold, last token, float64; its directions are those of DIM.

    The record says which knots are soft.
    """
    if reason := curve_unfit(contrast.asked, options):
        raise JobError(reason)
    positive, negative = contrast.last
    states = np.concatenate([positive, negative])
    strength = strengths(states, len(positive))
    bins = binned(strength, options.knots)
    levels = np.array([strength[one].mean() for one in bins])
    fit = _on_surface if options.surface else _by_layer
    curves, unstable = fit(states, bins, levels, options)
    soft = {str(layer): np.flatnonzero(one > options.soft).tolist() for layer, one in enumerate(unstable)}
    record = {"knots": json.dumps([round(float(one), 4) for one in levels]), "soft_knots": json.dumps(soft)}
    return Found(positive.mean(axis=0) - negative.mean(axis=0), record=record, curves=curves)


_Fitted = tuple[dict[int, Curve], list[Array]]
"""The curves by layer, and every layer's instabilities ``[K]``."""


def _by_layer(states: Array, bins: list[Places], levels: Array, options: CurveOptions) -> _Fitted:
    """Each layer in its own principal components."""
    curves, unstable = dict[int, Curve](), []
    for layer in range(states.shape[1]):
        basis = principal_axes(states[:, layer], options.dimensions)
        points = states[:, layer] @ basis.T
        unstable.append(instabilities(points, bins))
        holds = unstable[-1] <= options.soft
        if holds.sum() >= HELD:
            curves[layer] = Curve(levels[holds], basis.astype(np.float32), centroids(points, bins)[holds])
    return curves, unstable


def _on_surface(states: Array, bins: list[Places], levels: Array, options: CurveOptions) -> _Fitted:
    """SciPy's thin-plate spline through the knots that hold, read at each layer."""
    from scipy.interpolate import RBFInterpolator

    space, layers = CommonSpace.of(states, bins, options.dimensions), states.shape[1]
    unstable = [instabilities(space.points[:, layer], bins) for layer in range(layers)]
    holds = np.stack(unstable) <= options.soft
    if (holds.sum(axis=1) >= HELD).sum() < HELD:
        return {}, unstable
    surface = RBFInterpolator(depths_by(levels, layers)[holds], space.knots[holds])
    reached = levels[holds.any(axis=0)]
    dense = np.union1d(levels, np.linspace(levels[0], levels[-1], POINTS))
    dense = dense[(dense >= reached[0]) & (dense <= reached[-1])]
    read = [surface(one) for one in depths_by(dense, layers)]
    basis = space.axes.astype(np.float32)
    middle = space.means @ space.axes.T
    return {
        layer: Curve(dense, basis, middle[layer] + space.scatter[layer] * points) for layer, points in enumerate(read)
    }, unstable
