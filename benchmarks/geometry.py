"""How often the intervals of the analyses hold what was planted: ``python -m benchmarks.geometry`` prints a row for each case.

Residual streams with a known turn, pools with a known learning curve, categories with known directions, directions with a known
rank, centroids with a known motion; noise of unit variance in every dimension. For a test the null is planted, and what is
counted is how often it is left standing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from orchestrator.analysis.analysis import Class, Material
from orchestrator.analysis.angles import AngleOptions, angle_rows
from orchestrator.analysis.categories import CategoryOptions, category_rows
from orchestrator.analysis.motion import MotionOptions, motion_rows
from orchestrator.analysis.random_floor import ranked
from orchestrator.analysis.stability import StabilityOptions, stability_rows

SEEDS = 400
WIDTH = 64
Array = npt.NDArray[np.float64]
Row = dict[str, object]
Held = dict[str, bool]


def holds(row: Row, name: str, true: float) -> bool:
    """Whether the interval of a row's column holds ``true``; one without an end does."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return (not isinstance(low, float) or low <= true + 1e-9) and (not isinstance(high, float) or true - 1e-9 <= high)


def classes(positive: int, negative: int) -> tuple[Class, ...]:
    """So many prompts of the one class, then of the other."""
    return tuple("positive" if place < positive else "negative" for place in range(positive + negative))


def angles(angle: float, length: float, n: int) -> Callable[[np.random.Generator], Held]:
    """Three layers whose direction turns by so many degrees; half of the noise is carried from layer to layer."""

    def draw(random: np.random.Generator) -> Held:
        plane, turned = np.linalg.qr(random.normal(size=(WIDTH, 2)))[0], np.radians(angle) * np.arange(3)[:, None]
        directions = length * (np.cos(turned) * plane[:, 0] + np.sin(turned) * plane[:, 1])
        noise = np.sqrt(0.5) * (random.normal(size=(2 * n, 1, WIDTH)) + random.normal(size=(2 * n, 3, WIDTH)))
        noise[:n] += directions
        material = Material({"activations": noise}, classes(n, n), (None,) * 2 * n)
        mean, pair, *_ = angle_rows(material, AngleOptions(bootstrap=100))
        raw = isinstance(pair["raw_low"], float) and pair["raw_low"] <= angle <= pair["raw_high"]  # type: ignore[operator]
        return {"corrected": holds(pair, "corrected", angle), "mean": holds(mean, "corrected", angle), "raw, bootstrap": raw}

    return draw


def pools(length: float, apart: float, n: int, count: int) -> Callable[[np.random.Generator], Held]:
    """Categories whose directions have a common part of ``length`` and one of their own; the curve, the angles and how many."""
    noise, across, own = 2.0 * WIDTH, length**2, length**2 + apart**2
    truth = {"k": noise / across, "floor": (own - across) / across, "agreement": across / (own + noise / n)}

    def draw(random: np.random.Generator) -> Held:
        shifts = np.zeros((count, WIDTH))
        shifts[:, 0], shifts[np.arange(count), 1 + np.arange(count)] = length, apart
        positive = np.concatenate([random.normal(size=(n, 1, WIDTH)) + shift for shift in shifts])
        both = np.concatenate([positive, random.normal(size=(n, 1, WIDTH))])
        names = [f"c{number}" for number in range(count) for _ in range(n)]
        material = Material({"activations": both}, classes(count * n, n), (*names, *[None] * n))
        (row,) = stability_rows(material, StabilityOptions())
        mean, pair, *_ = category_rows(material, CategoryOptions(permutations=99))
        angle = float(np.degrees(np.arccos(across / own)))
        found = {name: holds(row, name, true) for name, true in truth.items()}
        told = {"angle": holds(pair, "corrected", angle), "mean angle": holds(mean, "corrected", angle)}
        return {**found, **told, "directions": mean["directions"] == (count if apart else 1)}

    return draw


def rank(true: float, prompts: int) -> Callable[[np.random.Generator], Held]:
    """A direction at a known place among random ones, whose KLs are log-normal over directions, prompts and both."""
    level = float(np.quantile(np.random.default_rng(0).normal(size=1_000_000), true))

    def draw(random: np.random.Generator) -> Held:
        common, own, others = random.normal(size=prompts), 0.3 * random.normal(size=prompts), random.normal(size=(50, prompts))
        both = 0.3 * others + random.normal(size=(50, 1)) + common
        return {"share": holds(ranked(np.exp(level + own + common), np.exp(both), 1000, random), "share", true)}

    return draw


def motion(along: float, across: float, n: int) -> Callable[[np.random.Generator], Held]:
    """The negative class, at a distance of 4, moved along and across the segment."""
    share, place = across**2 / (along**2 + across**2), 1 + along / 4

    def draw(random: np.random.Generator) -> Held:
        base = random.normal(size=(2 * n, 1, WIDTH))
        base[n:, 0, 0] += 4.0
        states = base + 0.3 * random.normal(size=base.shape)
        states[:, 0, :2] += along, across
        arrays = {"layers": np.array([1]), "multipliers": np.array([2.0]), "base": base, "states": states[None, None]}
        material = Material(arrays, classes(n, n), kept=(2,))
        _, row = motion_rows(material, MotionOptions(multipliers=(2.0,)))
        standing = isinstance(row["bow_p"], float) and (row["bow_p"] < 0.05) == (across > 0)
        return {"orthogonal": holds(row, "orthogonal", share), "t": holds(row, "t", place), "bow": standing}

    return draw


CASES: dict[str, Callable[[np.random.Generator], Held]] = {
    "no turn, 5 + 5 prompts, length 3": angles(0, 3, 5),
    "no turn, 10 + 10, length 3": angles(0, 3, 10),
    "no turn, 50 + 50, length 3": angles(0, 3, 50),
    "30 degrees, 20 + 20, length 4": angles(30, 4, 20),
    "90 degrees, 50 + 50, length 3": angles(90, 3, 50),
    "no direction at all, 20 + 20": angles(0, 0, 20),
    "4 categories alike, 10 each, length 4": pools(4, 0, 10, 4),
    "5 categories, apart 3 of 4, 20 each": pools(4, 3, 20, 5),
    "4 categories, apart 2 of 3, 40 each": pools(3, 2, 40, 4),
    "rank 2 %, 12 prompts": rank(0.02, 12),
    "rank 30 %, 12 prompts": rank(0.3, 12),
    "rank 50 %, 32 prompts": rank(0.5, 32),
    "motion on the line, 20 prompts": motion(-3, 0, 20),
    "motion half across, 20 prompts": motion(-2, 2, 20),
    "motion across, 60 prompts": motion(0, 2, 60),
}


def counted(draw: Callable[[np.random.Generator], Held], seeds: int) -> Iterator[tuple[str, int]]:
    """How often each of a case's intervals holds."""
    found = [draw(np.random.default_rng(seed)) for seed in range(seeds)]
    yield from ((name, sum(one[name] for one in found)) for name in found[0])


def main() -> None:
    """Print the share that holds, in percent, for every case."""
    print(f"| planted | holds in so many of 100 ({SEEDS} draws) |\n|---|---|")
    for name, draw in CASES.items():
        told = ", ".join(f"{one} {100 * count / SEEDS:.1f}" for one, count in counted(draw, SEEDS))
        print(f"| {name} | {told} |", flush=True)


if __name__ == "__main__":
    main()
