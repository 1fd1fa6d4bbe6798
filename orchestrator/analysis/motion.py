"""Where the centroid of a class goes when its prompts are steered: along the direction or beside it, and on the segment between
the two classes or off it.

All lengths and angles are of what the centroids estimate (``moments``), so that a shift is not orthogonal, and a point not off
the line, by sampling alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from orchestrator.analysis.analysis import Activations, Analysis, Class, Material, known, span
from orchestrator.analysis.injection import Depths, InjectionOptions, InjectionRow, Layers, layers_at
from orchestrator.analysis.moments import Moments, cosines, moments, ratio
from orchestrator.statistics import p_text


class MotionOptions(InjectionOptions):
    """``read_depths`` and ``read_layers``: where the centroids are looked at."""

    read_depths: Depths | None = None
    read_layers: Layers | None = None

    def kept(self, n_layers: int) -> tuple[int, ...]:
        """The layers that are looked at, in a model of so many."""
        return layers_at(self.read_depths, self.read_layers, (0.6, 0.8), n_layers)


@dataclass(frozen=True, kw_only=True)
class MotionRow(InjectionRow):
    """One row of ``motion.parquet``: the prompts of one class, steered, seen at one layer."""

    layer: Annotated[int, "the layer at which the centroid is seen"]
    steered: Annotated[str, "the class whose prompts are steered: `positive` or `negative`"]
    orthogonal: Annotated[float | None, "the share of the shift's squared length that is at right angles to the direction"]
    orthogonal_low: Annotated[float, "its 95 % interval (jackknife over prompts)"]
    orthogonal_high: Annotated[float, "its 95 % interval (jackknife over prompts)"]
    cosine: Annotated[float | None, "of the shift and the difference of the unsteered classes there, positive less negative"]
    cosine_low: Annotated[float, "its 95 % interval (jackknife over prompts)"]
    cosine_high: Annotated[float, "its 95 % interval (jackknife over prompts)"]
    t: Annotated[float | None, "place on the segment between the unsteered classes: 0 the positive one (refuses), 1 the negative"]
    t_low: Annotated[float | None, "its 95 % interval (null: unbounded)"]
    t_high: Annotated[float | None, "its 95 % interval (null: unbounded)"]
    bow: Annotated[float | None, "distance from the line of that segment, as a share of its length"]
    bow_p: Annotated[float, "how often points on the line, with the same scatter, lie as far off it (one-sided)"]


def motion_rows(material: Material, options: MotionOptions) -> Iterator[dict[str, object]]:
    """A row for every source, multiplier, later layer and class."""
    base, states = material.arrays["base"], material.arrays["states"]
    for source, strength, layer in np.ndindex(states.shape[0], states.shape[1], states.shape[3]):
        at = int(material.arrays["layers"][source])
        if (seen := int(material.kept[layer])) < at:
            continue
        for steered in ("positive", "negative"):
            yield {
                "source": at,
                "multiplier": float(material.arrays["multipliers"][strength]),
                "layer": seen,
                "steered": steered,
                **_moved(material, base[:, layer], states[source, strength, :, layer], steered),
            }


def _moved(material: Material, base: Activations, states: Activations, steered: Class) -> dict[str, object]:
    own = material.places(steered)
    other = material.places("negative" if steered == "positive" else "positive")
    groups = [np.stack([base[own], states[own]], axis=1), base[other][:, None]]
    sign = 1.0 if steered == "positive" else -1.0
    # of the means (own unsteered, own steered, other): the shift, positive less negative, the segment, from it to the point
    shift, difference = np.array([-1.0, 1, 0]), sign * np.array([1.0, 0, -1])
    start = np.array([1.0, 0, 0]) if steered == "positive" else np.array([0.0, 0, 1])
    found = moments(groups).contrasts(np.array([shift, difference, -difference, np.array([0.0, 1, 0]) - start]))
    angle = cosines(found)
    value, low, high = (float(np.clip(one[0, 1], -1.0, 1.0)) for one in (angle.value, angle.low, angle.high))
    place = ratio((found.true[3, 2], found.true[2, 2], found.true_moves[:, 3, 2], found.true_moves[:, 2, 2]), found.quantile())
    squares = (low**2, high**2)
    return {
        "n": len(own),
        "orthogonal": known(1 - value**2),
        "orthogonal_low": 1 - max(squares),
        "orthogonal_high": 1.0 if low <= 0 <= high else 1 - min(squares),
        "cosine": known(value),
        "cosine_low": low,
        "cosine_high": high,
        "t": known(place.value),
        "t_low": known(place.low),
        "t_high": known(place.high),
        **_bow(found),
    }


def _bow(found: Moments) -> dict[str, object]:
    """The distance of the point from the line, over the segment's length, and its test: the square of it, of which the noise is
    taken, is 0 on average for points on the line, and the jackknife says how far it strays."""
    from scipy.stats import t as student

    true, moves = found.true, found.true_moves
    if true[2, 2] <= 0:
        return {"bow": None, "bow_p": 1.0}
    place = true[3, 2] / true[2, 2]
    square = true[3, 3] - place * true[3, 2]
    strays = moves[:, 3, 3] - 2 * place * moves[:, 3, 2] + place**2 * moves[:, 2, 2]
    p = student.sf(square / np.sqrt((strays**2).sum()), found.freedom)
    return {"bow": known(np.sqrt(max(square, 0.0) / true[2, 2])), "bow_p": float(p)}


MOTION = Analysis(
    says="where steered centroids go: along the direction or beside it, on the segment between the classes or off it",
    options=MotionOptions,
    row=MotionRow,
    rows=motion_rows,
    shown=(
        ("method", lambda row: row.method),
        ("added at", lambda row: f"{row.source} x{row.multiplier:g}"),
        ("seen at", lambda row: str(row.layer)),
        ("steered", lambda row: f"{row.n} {row.steered}"),
        ("orthogonal", lambda row: span(row.orthogonal, row.orthogonal_low, row.orthogonal_high)),
        ("t", lambda row: span(row.t, row.t_low, row.t_high)),
        ("bow", lambda row: span(row.bow)),
        ("p of the bow", lambda row: p_text(row.bow_p)),
    ),
    note="Orthogonal: share of the squared length. t: 0 the positive class, 1 the negative one. p: against points on the line.",
    material="motion",
)
"""Class by class."""
