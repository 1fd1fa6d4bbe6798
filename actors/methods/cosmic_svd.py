"""COSMIC as the inverse-scaling paper describes it (its sections 3.2 and 4): SVD over positions, agreement between layers.

This is not the released algorithm, which is :mod:`actors.methods.cosmic`; the two share a name in the literature only.
"""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
from pydantic import Field

from actors.errors import JobError
from actors.methods.contrast import Asked, Contrast, Found, unpaired
from actors.methods.options import MethodOptions
from actors.methods.separation import separation

Array = npt.NDArray[np.float64]


class CosmicSvdOptions(MethodOptions):
    """``positions``: how many template tokens, counted from the last (None: all that follow the user's text).

    ``depth_from``, ``depth_limit``: the layers l that may be selected have ``depth_from <= l / L <= depth_limit``.
    ``layer``: select this layer instead.
    """

    positions: int | None = Field(default=None, ge=1)
    depth_from: float = Field(default=0.01, ge=0, le=1)
    depth_limit: float = Field(default=0.8, gt=0, le=1)
    layer: int | None = Field(default=None, ge=0)


def cosmic_svd_unfit(asked: Asked, options: CosmicSvdOptions) -> str | None:
    """Why cosmic_svd cannot do what is asked; None when it can."""
    if options.layer is not None and options.layer >= asked.n_layers:
        return f"cosmic_svd: layer {options.layer} is outside 0..{asked.n_layers - 1}"
    if options.layer is None and not _allowed(asked.n_layers, options):
        between = f"{options.depth_from:.0%} and {options.depth_limit:.0%} depth"
        return f"cosmic_svd: no layer of {asked.n_layers} lies between {between}"
    return unpaired("cosmic_svd", asked)


def cosmic_svd(contrast: Contrast, options: CosmicSvdOptions) -> Found:
    """Directions ``[L, d]``, and the layer whose direction agrees best with those of all other layers (mean cosine).

    At each layer: the differences ``positive[i] - negative[i]`` at every template position, stacked ``[n P, d]``, and of that
    matrix, not centred, the first right singular vector, signed towards the positive class. Its norm is the projection of the
    mean difference, comparable with DIM's raw norm. Raises ``JobError`` unless the classes pair up.
    """
    if reason := cosmic_svd_unfit(contrast.asked, options):
        raise JobError(reason)
    positions = min(options.positions or contrast.positive.shape[1], contrast.positive.shape[1])
    axes, reach = _axes(contrast, positions)
    agreement = _agreement(axes)
    selected = _selected(agreement, options)
    sides = (side[:, -positions:, selected].mean(axis=1, dtype=np.float64) for side in (contrast.positive, contrast.negative))
    found = separation(*sides)
    record = {
        "positions": str(positions),
        "selection": json.dumps({"layer": selected, "agreement": [round(float(value), 6) for value in agreement]}),
        "separation": json.dumps({"p": found.p, "least_p": found.least}),
    }
    if found.warning is not None:
        record["warning"] = f"cosmic_svd selected layer {selected}, but {found.warning}"
    return Found(axes * reach[:, None], selected, record)


def _axes(contrast: Contrast, positions: int) -> tuple[Array, Array]:
    """Unit axes ``[L, d]`` towards the positive class, and the mean difference's reach along each, ``[L]``. One layer at a
    time: memory."""
    axes = np.empty((contrast.n_layers, contrast.positive.shape[-1]))
    reach = np.empty(contrast.n_layers)
    for layer in range(contrast.n_layers):
        positive, negative = (side[:, -positions:, layer].astype(np.float64) for side in (contrast.positive, contrast.negative))
        differences = (positive - negative).reshape(-1, positive.shape[-1])
        axis = np.linalg.svd(differences, full_matrices=False).Vh[0]
        along = float(differences.mean(axis=0) @ axis)
        axes[layer], reach[layer] = axis * (-1.0 if along < 0 else 1.0), abs(along)
    return axes, reach


def _agreement(axes: Array) -> Array:
    """Mean cosine of each layer's unit axis with the other layers' ones, ``[L]``; 0 for a model of one block."""
    cosines = axes @ axes.T
    return np.asarray((cosines.sum(axis=1) - np.diag(cosines)) / max(1, len(axes) - 1))


def _selected(agreement: Array, options: CosmicSvdOptions) -> int:
    if options.layer is not None:
        return options.layer
    return max(_allowed(len(agreement), options), key=lambda layer: float(agreement[layer]))


def _allowed(n_layers: int, options: CosmicSvdOptions) -> list[int]:
    return [layer for layer in range(n_layers) if options.depth_from <= layer / n_layers <= options.depth_limit]
