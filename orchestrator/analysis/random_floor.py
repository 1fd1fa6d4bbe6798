"""How far a direction moves the next token on neutral prompts, ranked among random directions of the same length.

Two kinds of random directions: isotropic ones, most of whose length lies where the residual stream never goes, and ones drawn
from the covariance of its activations within each class, which are harder to beat from below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from orchestrator.analysis.analysis import Analysis, Material, span
from orchestrator.analysis.injection import InjectionOptions, InjectionRow
from orchestrator.analysis.moments import Array

KINDS = ("isotropic", "covariance")


class FloorOptions(InjectionOptions):
    """``prompts``: so many of the shipped neutral ones; ``random``: directions of each kind; ``bootstrap``: resamples."""

    prompts: int = Field(default=16, ge=3, le=32)
    random: int = Field(default=50, ge=10, le=10_000)
    bootstrap: int = Field(default=2000, ge=100, le=100_000)


@dataclass(frozen=True, kw_only=True)
class FloorRow(InjectionRow):
    """One row of ``random_floor.parquet``: one sign of a direction against one kind of random ones, KL in nats."""

    against: Annotated[str, "the random directions: `isotropic`, or of the activations' `covariance`"]
    random: Annotated[int, "how many of them"]
    kl: Annotated[float, "KL(unsteered || steered) of the next token, the mean over prompts"]
    random_kl: Annotated[float, "the mean over random directions"]
    random_p5: Annotated[float, "their 5th percentile"]
    random_p95: Annotated[float, "their 95th percentile"]
    below: Annotated[int, "how many random directions move it less"]
    share: Annotated[float, "their share"]
    share_low: Annotated[float, "the 95 % interval of the share of all random directions: prompts resampled, few directions"]
    share_high: Annotated[float, "the 95 % interval of the share of all random directions: prompts resampled, few directions"]
    ratio: Annotated[float, "kl over random_kl"]
    ratio_low: Annotated[float, "its 95 % interval (bootstrap over prompts and directions)"]
    ratio_high: Annotated[float, "its 95 % interval (bootstrap over prompts and directions)"]


def floor_rows(material: Material, options: FloorOptions) -> Iterator[dict[str, object]]:
    """A row for every layer, multiplier, sign and kind of random directions."""
    found = material.arrays["kl"]
    count = (found.shape[2] - 2) // 2
    random = np.random.default_rng(options.seed)
    for source, strength in np.ndindex(found.shape[:2]):
        multiplier = float(material.arrays["multipliers"][strength])
        for sign, factor in enumerate((1.0, -1.0)):
            for kind, name in enumerate(KINDS):
                start = 2 + kind * count
                yield {
                    "source": int(material.arrays["layers"][source]),
                    "multiplier": factor * multiplier,
                    "n": found.shape[3],
                    "against": name,
                    "random": count,
                    **ranked(
                        found[source, strength, sign], found[source, strength, start : start + count], options.bootstrap, random
                    ),
                }


def ranked(own: Array, others: Array, resamples: int, random: np.random.Generator) -> dict[str, object]:
    """A direction's KLs ``[P]`` among those of random ones, ``[R, P]``.

    The share's interval: prompts are resampled, and of the share of all directions that the R tell of, each resample draws from
    Jeffreys' posterior: with 50 directions of which none lies below, up to 5 % may.
    """
    count, prompts = others.shape
    weights = random.multinomial(prompts, np.full(prompts, 1 / prompts), resamples) / prompts
    means, own_means = weights @ others.T, weights @ own
    under = (means < own_means[:, None]).sum(axis=1)
    shares = random.beta(under + 0.5, count - under + 0.5)
    directions = random.multinomial(count, np.full(count, 1 / count), resamples) / count
    ratios = own_means / np.maximum((directions * means).sum(axis=1), np.finfo(float).tiny)
    level, below = others.mean(axis=1), int((others.mean(axis=1) < own.mean()).sum())
    low, high = np.quantile(shares, [0.025, 0.975])
    ratio_low, ratio_high = np.quantile(ratios, [0.025, 0.975])
    return {
        "kl": float(own.mean()),
        "random_kl": float(level.mean()),
        "random_p5": float(np.quantile(level, 0.05)),
        "random_p95": float(np.quantile(level, 0.95)),
        "below": below,
        "share": below / count,
        "share_low": float(low) if below else 0.0,
        "share_high": float(high) if below < count else 1.0,
        "ratio": float(own.mean() / max(level.mean(), np.finfo(float).tiny)),
        "ratio_low": float(ratio_low),
        "ratio_high": float(ratio_high),
    }


RANDOM_FLOOR = Analysis(
    says="how far a direction moves the next token on neutral prompts, ranked among random ones",
    options=FloorOptions,
    row=FloorRow,
    rows=floor_rows,
    shown=(
        ("method", lambda row: row.method),
        ("added at", lambda row: f"{row.source} x{row.multiplier:g}"),
        ("KL", lambda row: f"{row.kl:.2g}"),
        ("against", lambda row: row.against),
        ("their KL", lambda row: f"{row.random_kl:.2g} ({row.random_p5:.2g} to {row.random_p95:.2g})"),
        ("of them below", lambda row: f"{row.below}/{row.random} [{100 * row.share_low:.0f}, {100 * row.share_high:.0f}] %"),
        ("ratio", lambda row: span(row.ratio, row.ratio_low, row.ratio_high)),
    ),
    note="KL(unsteered || steered) of the next token on neutral prompts, nats; in brackets 5th and 95th percentiles.",
    material="divergences",
)
"""Layer by layer."""
