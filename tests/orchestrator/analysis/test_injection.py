"""What was measured of directions that were added, where the truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from orchestrator.analysis import ANALYSES
from orchestrator.analysis.analysis import Analysis, Material
from orchestrator.analysis.injection import InjectionOptions
from orchestrator.analysis.motion import MOTION, MotionOptions
from orchestrator.analysis.propagation import PROPAGATION, PropagationOptions
from orchestrator.analysis.random_floor import FloorOptions, floor_rows, ranked
from orchestrator.results.analyses import LAYOUTS
from tests.orchestrator.analysis.planted import Array, classes

WIDTH = 40


def rows_of(analysis: Analysis[Any], material: Material, options: InjectionOptions) -> list[Mapping[str, Any]]:
    return list(analysis.rows(material, options))


def measured(**arrays: Array) -> dict[str, Array]:
    return {"layers": np.array([1]), "multipliers": np.array([2.0]), **arrays}


def test_a_known_propagation_is_within_its_interval_and_chance_within_its_own() -> None:
    true, held, inside = 0.3, 0, 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        cosines = np.concatenate([np.full((1, 1), true), 0.1 * random.normal(size=(9, 1))]) + 0.2 * random.normal(size=(10, 12))
        length = np.full((1, 1, 10, 12, 3), 4.0)
        own, kept = np.zeros_like(length), np.full_like(length, 2.0)
        own[0, 0, :, :, 2] = 4.0 * cosines
        material = Material(measured(own=own, self=kept, length=length))
        first, row = rows_of(PROPAGATION, material, PropagationOptions(multipliers=(2.0,)))
        assert (first["layer"], row["layer"], row["norm_ratio"], row["kept"]) == (1, 2, 2.0, 0.5)
        held += row["alignment_low"] <= true <= row["alignment_high"]
        another = 0.1 * random.normal() + 0.2 * random.normal(size=12).mean()
        inside += row["chance_low"] <= another <= row["chance_high"]
    assert held >= 55
    assert inside >= 54


@pytest.mark.parametrize("true", [0.02, 0.3, 0.5])
def test_a_known_rank_is_within_its_interval(true: float) -> None:
    """Directions differ in the logarithm of their KL by a normal part, prompts by another, and each pair by a third."""
    held, level = 0, np.quantile(np.random.default_rng(0).normal(size=200_000), true)
    for seed in range(60):
        random = np.random.default_rng(seed)
        prompts, own, others = random.normal(size=12), 0.3 * random.normal(size=12), 0.3 * random.normal(size=(50, 12))
        others += random.normal(size=(50, 1)) + prompts
        found = ranked(np.exp(level + own + prompts), np.exp(others), 300, random)
        held += found["share_low"] <= true <= found["share_high"]  # type: ignore[operator]
    assert held >= 55


def test_both_signs_are_ranked_among_both_kinds() -> None:
    kl = np.ones((1, 1, 2 + 20, 5))
    kl[0, 0, 0], kl[0, 0, 1], kl[0, 0, 12:] = 0.1, 3.0, 2.0
    rows = list(floor_rows(Material(measured(kl=kl)), FloorOptions(multipliers=(2.0,), random=10)))
    told = {(row["multiplier"], row["against"]): (row["below"], row["ratio"]) for row in rows}
    assert told == {
        (2.0, "isotropic"): (0, pytest.approx(0.1)),
        (2.0, "covariance"): (0, pytest.approx(0.05)),
        (-2.0, "isotropic"): (10, pytest.approx(3.0)),
        (-2.0, "covariance"): (10, pytest.approx(1.5)),
    }
    assert all(row["share_high"] > 0.1 for row in rows), "ten directions, of which none lies below, say little"  # type: ignore[operator]


def moved(seed: int, shift: Array, n: int = 20) -> Material:
    """Classes at 0 (positive) and 4 along the first axis (negative); all prompts are moved by ``shift``, each with a scatter."""
    random = np.random.default_rng(seed)
    base = random.normal(size=(2 * n, 1, WIDTH))
    base[n:, 0, 0] += 4.0
    states = base + shift + 0.3 * random.normal(size=base.shape)
    return Material(measured(base=base, states=states[None, None]), classes(n, n), kept=(2,))


@pytest.mark.parametrize(("along", "across"), [(-3.0, 0.0), (-2.0, 2.0), (0.0, 2.0)])
def test_a_known_motion_is_within_its_intervals(along: float, across: float) -> None:
    shift = np.zeros(WIDTH)
    shift[0], shift[1] = along, across
    share, place = across**2 / (along**2 + across**2), 1 + along / 4
    held = {"orthogonal": 0, "t": 0}
    off = 0
    for seed in range(60):
        rows = rows_of(MOTION, moved(seed, shift), MotionOptions(multipliers=(2.0,)))
        (row,) = (one for one in rows if one["steered"] == "negative")
        held["orthogonal"] += row["orthogonal_low"] - 1e-9 <= share <= row["orthogonal_high"] + 1e-9
        held["t"] += row["t_low"] <= place <= row["t_high"]
        off += row["bow_p"] < 0.05
    assert min(held.values()) >= 55, held
    assert off >= 55 if across else off <= 6, "5 % of points on the line"


def test_every_column_of_an_analysis_is_made() -> None:
    shown = {"analysis_id", "model", "behavior", "method"}
    kl = np.ones((1, 1, 22, 5))
    length = np.ones((1, 1, 3, 4, 3))
    materials = {
        "random_floor": Material(measured(kl=kl)),
        "propagation": Material(measured(own=length, self=length, length=length)),
        "motion": moved(0, np.ones(WIDTH)),
    }
    for name, material in materials.items():
        options = ANALYSES[name].options(multipliers=(2.0,))
        row = next(iter(ANALYSES[name].rows(material, options)))
        assert {*row, *shown} == set(LAYOUTS[name].schema.names)
