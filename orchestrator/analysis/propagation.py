"""Where a direction that is added at one layer points at later ones, beside random directions of the same length.

A shift keeps some of its own direction by the residual stream alone, and two vectors of a thousand dimensions are near right
angles by themselves: neither says anything of a direction without what random ones do. An alignment with a layer's own direction
is also at most as large as that direction is sure (its reliability, in ``angles``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from orchestrator.analysis.analysis import Analysis, Material, known, span
from orchestrator.analysis.injection import InjectionOptions, InjectionRow
from orchestrator.analysis.moments import Array
from orchestrator.statistics import t_quantile


class PropagationOptions(InjectionOptions):
    """``prompts``: so many of the test prompts, the first ones; ``random``: directions beside the real one."""

    prompts: int = Field(default=16, ge=3, le=10_000)
    random: int = Field(default=10, ge=2, le=1000)


@dataclass(frozen=True, kw_only=True)
class PropagationRow(InjectionRow):
    """One row of ``propagation.parquet``: what was added at one layer, seen at another one."""

    layer: Annotated[int, "the layer at which the shift is seen"]
    alignment: Annotated[float, "cosine of the shift and the layer's own direction, the mean over prompts"]
    alignment_low: Annotated[float, "its 95 % interval (t, over prompts)"]
    alignment_high: Annotated[float, "its 95 % interval (t, over prompts)"]
    chance_low: Annotated[float, "where one more random direction's alignment would lie, in 95 of 100 cases"]
    chance_high: Annotated[float, "where one more random direction's alignment would lie, in 95 of 100 cases"]
    kept: Annotated[float, "cosine of the shift and what was added, the mean over prompts"]
    kept_low: Annotated[float, "its 95 % interval (t, over prompts)"]
    kept_high: Annotated[float, "its 95 % interval (t, over prompts)"]
    kept_chance_low: Annotated[float, "where one more random direction's cosine with itself would lie, in 95 of 100 cases"]
    kept_chance_high: Annotated[float, "where one more random direction's cosine with itself would lie, in 95 of 100 cases"]
    norm_ratio: Annotated[float, "length of the shift over that of what was added, the mean over prompts"]
    norm_ratio_low: Annotated[float, "its 95 % interval (t, over prompts)"]
    norm_ratio_high: Annotated[float, "its 95 % interval (t, over prompts)"]
    norm_chance_low: Annotated[float, "where one more random direction's ratio would lie, in 95 of 100 cases"]
    norm_chance_high: Annotated[float, "where one more random direction's ratio would lie, in 95 of 100 cases"]


_COLUMNS = {"alignment": "chance", "kept": "kept_chance", "norm_ratio": "norm_chance"}
_WITHIN = {"alignment": (-1.0, 1.0), "kept": (-1.0, 1.0), "norm_ratio": (0.0, None)}
"""The least and the largest that each can be."""


def propagation_rows(material: Material, options: PropagationOptions) -> Iterator[dict[str, object]]:
    """A row for every source, multiplier and layer from the source on."""
    arrays = {name: material.arrays[name].astype(np.float64) for name in ("own", "self", "length")}
    length = np.where(arrays["length"] > 0, arrays["length"], 1.0)
    for source, strength in np.ndindex(arrays["own"].shape[:2]):
        at, multiplier = int(material.arrays["layers"][source]), float(material.arrays["multipliers"][strength])
        here = {name: array[source, strength] for name, array in arrays.items()}
        told = {
            "alignment": here["own"] / length[source, strength],
            "kept": here["self"] / length[source, strength],
            "norm_ratio": here["length"] / (abs(multiplier) or 1.0),
        }
        columns: dict[str, Array] = {}
        for name, values in told.items():
            mean, *ends = _over_prompts(values[0])
            columns |= {name: mean} | dict(zip((f"{name}_low", f"{name}_high"), np.clip(ends, *_WITHIN[name]), strict=True))
            chance = _COLUMNS[name]
            by_chance = np.clip(_one_more(values[1:].mean(axis=1)), *_WITHIN[name])
            columns |= dict(zip((f"{chance}_low", f"{chance}_high"), by_chance, strict=True))
        for layer in range(at, length.shape[-1]):
            yield {
                "source": at,
                "multiplier": multiplier,
                "n": length.shape[-2],
                "layer": layer,
                **{name: known(values[layer]) for name, values in columns.items()},
            }


def _over_prompts(values: Array) -> tuple[Array, Array, Array]:
    """The mean over the first axis with its interval."""
    mean, n = values.mean(axis=0), len(values)
    reach = t_quantile(n - 1, 0.95) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return mean, mean - reach, mean + reach


def _one_more(values: Array) -> tuple[Array, Array]:
    """The prediction interval for one more value of the first axis."""
    mean, n = values.mean(axis=0), len(values)
    reach = t_quantile(n - 1, 0.95) * values.std(axis=0, ddof=1) * np.sqrt(1 + 1 / n)
    return mean - reach, mean + reach


PROPAGATION = Analysis(
    says="where a direction that is added at one layer points at later ones, beside random directions",
    options=PropagationOptions,
    row=PropagationRow,
    rows=propagation_rows,
    shown=(
        ("method", lambda row: row.method),
        ("added at", lambda row: f"{row.source} x{row.multiplier:g}"),
        ("seen at", lambda row: str(row.layer)),
        ("cos own direction", lambda row: span(row.alignment, row.alignment_low, row.alignment_high)),
        ("random", lambda row: f"{row.chance_low:.2f} to {row.chance_high:.2f}"),
        ("cos what was added", lambda row: span(row.kept, row.kept_low, row.kept_high)),
        ("random", lambda row: f"{row.kept_chance_low:.2f} to {row.kept_chance_high:.2f}"),
        ("norm ratio", lambda row: span(row.norm_ratio, row.norm_ratio_low, row.norm_ratio_high)),
        ("random", lambda row: f"{row.norm_chance_low:.2f} to {row.norm_chance_high:.2f}"),
    ),
    note="Means over prompts with their intervals; random: where one more random direction of the same length would lie.",
    on_page=lambda row: row.layer - row.source in (0, 1, 2, 4, 8, 16),
    material="shifts",
)
"""Source by source."""
