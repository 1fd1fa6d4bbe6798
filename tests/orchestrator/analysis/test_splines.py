"""Curves through centroids of streams whose bend, topics and turn are known, and against scikit-learn and plain loops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.decomposition import PCA

from actors.curves import strengths
from actors.curves import through as curve
from orchestrator.analysis.analysis import Material
from orchestrator.analysis.splines import SPLINES, SplineOptions, SplineRow, bow, principal
from orchestrator.results.columns import row_of
from tests.orchestrator.analysis.planted import classes

Array = npt.NDArray[np.float64]
SEEDS = 100


@dataclass(frozen=True)
class Arc:
    """Prompts on an arc from 0 to 1 of the height ``bend`` (in lengths of its chord), which turns by ``turn`` degrees per block;
    two categories are ``topic`` apart on either side of it; every prompt has noise of unit variance in ``width`` dimensions."""

    bend: float = 0.0
    topic: float = 0.0
    turn: float = 10.0
    layers: int = 3
    width: int = 32
    length: float = 6.0

    def states(self, n: int, seed: int) -> tuple[Array, npt.NDArray[np.intp]]:
        """``[2 n, L, d]``, and the categories."""
        random = np.random.default_rng(seed)
        plane, _ = np.linalg.qr(random.normal(size=(self.width, 4)))
        place = np.concatenate([random.uniform(0.5, 1, n), random.uniform(0, 0.5, n)])[:, None, None]
        turned = np.radians(self.turn) * np.arange(self.layers)[:, None]
        axis = np.cos(turned) * plane[:, 0] + np.sin(turned) * plane[:, 1]
        topics = random.integers(0, 2, 2 * n)
        arc = self.length * (place * axis + self.bend * 4 * place * (1 - place) * plane[:, 2])
        aside = self.topic * np.where(topics, 1, -1)[:, None, None] * plane[:, 3]
        common = random.normal(size=(2 * n, 1, self.width)), random.normal(size=(2 * n, self.layers, self.width))
        return arc + aside + np.sqrt(0.5) * (common[0] + common[1]) + 3.0, topics

    def rows(self, n: int, seed: int, categories: bool = False, **options: int) -> list[SplineRow]:
        """The curves of all layers."""
        states, topics = self.states(n, seed)
        names = tuple("ab"[one] if categories else None for one in topics)
        return [
            one
            for one in rows_of(Material({"activations": states.astype(np.float32)}, classes(n, n), names), **options)
            if one.knot is None
        ]


def rows_of(material: Material, **options: int) -> list[SplineRow]:
    about = {"analysis_id": "a", "model": "m", "behavior": "b"}
    asked = SplineOptions.model_validate({"draws": 99, **options})
    return [row_of(SplineRow, {**about, **row}) for row in SPLINES.rows(material, asked)]


def test_strengths_are_those_of_leaving_each_prompt_out() -> None:
    states, _ = Arc().states(6, 3)
    positive, negative = states[:6], states[6:]
    within = np.concatenate([one - one.mean(axis=0) for one in (positive, negative)])
    scale = np.sqrt(np.mean(within**2, axis=(0, 2)))[:, None]
    found = strengths(states, 6)
    for number, state in enumerate(states):
        sides = [
            np.mean([one for place, one in enumerate(states) if place != number and (place < 6) == wanted], axis=0)
            for wanted in (True, False)
        ]
        line = ((sides[0] - sides[1]) / scale).ravel()
        assert found[number] == pytest.approx(((state - sides[1]) / scale).ravel() @ line / (line @ line), rel=1e-9)


def test_classes_that_do_not_differ_get_the_same_strengths() -> None:
    noise = np.random.default_rng(0).normal(size=(40, 3, 400))
    found = strengths(noise, 20)
    assert abs(found[:20].mean() - found[20:].mean()) < 0.1, "without leaving out, noise alone sets them a whole length apart"


def test_points_are_principal_components_and_the_curve_goes_through_its_knots() -> None:
    states = Arc().states(10, 1)[0][:, 1]
    expected = PCA(n_components=3, svd_solver="full").fit_transform(states)
    np.testing.assert_allclose(np.abs(principal(states, 3)), np.abs(expected), rtol=1e-5, atol=1e-9)
    levels, knots = np.array([0.0, 0.2, 0.7, 1.0]), np.array([[0.0, 1], [1, 3], [2, 2], [5, 2]])
    np.testing.assert_allclose(curve(levels, knots, levels), knots, rtol=1e-12)
    along = curve(levels, knots, np.linspace(0, 1, 200))[:, 0]
    assert (np.diff(along) > 0).all(), "where knots rise, the curve between them does"
    np.testing.assert_array_equal(curve(levels, knots, np.array([-3.0, 9.0])), knots[[0, -1]])
    assert bow(levels, np.outer(levels, [3.0, 4.0])) == pytest.approx(0.0, abs=1e-9)
    assert bow(np.array([0.0, 0.5, 1.0]), np.array([[0.0, 0], [2, 1], [4, 0]])) == pytest.approx(0.25)


def test_the_knots_are_means_of_bins_by_strength() -> None:
    states, _ = Arc().states(11, 2)
    rows = rows_of(Material({"activations": states.astype(np.float32)}, classes(11, 11), (None,) * 22), knots=4)
    assert len(rows) == 3 * (1 + 4)
    whole, *knots = rows[:5]
    order = np.sort(strengths(states, 11))
    assert [row.n for row in rows[:5]] == [22, 6, 6, 5, 5]
    assert [row.strength for row in knots] == pytest.approx([one.mean() for one in np.split(order, [6, 12, 17])], rel=1e-4)
    assert [row.progress for row in (knots[0], knots[-1])] == pytest.approx([0.0, 1.0])
    assert whole.instability == max(row.instability or 0.0 for row in knots)
    assert [row.soft for row in knots] == [(row.instability or 0.0) > 0.5 for row in knots]
    assert whole.monotone == (sorted(row.progress or 0.0 for row in knots) == [row.progress for row in knots])


def test_a_bend_is_found_and_a_straight_line_is_one() -> None:
    straight = [Arc(layers=1).rows(30, seed)[0] for seed in range(SEEDS)]
    assert sum((row.bow_p or 0.0) <= 0.05 for row in straight) <= 10
    bent = [Arc(bend=1.5, layers=1).rows(60, seed)[0] for seed in range(SEEDS)]
    assert sum((row.bow_p or 1.0) <= 0.05 for row in bent) >= 93
    assert np.mean([row.bow or 0.0 for row in straight]) == pytest.approx(
        np.mean([row.bow_straight for row in straight]), rel=0.3
    )


def test_bins_of_a_topic_are_told() -> None:
    mixed = [Arc(layers=1).rows(20, seed, categories=True)[0] for seed in range(SEEDS)]
    assert sum((row.topic_p or 0.0) <= 0.05 for row in mixed) <= 10
    apart = Arc(topic=3.0).rows(20, 0, categories=True)[0]
    assert (apart.topic or 0.0) > 0.4
    assert (apart.topic_p or 1.0) <= 0.01
    assert Arc().rows(20, 0)[0].topic is None


def test_a_surface_follows_a_smooth_turn_and_not_a_jump() -> None:
    smooth = Arc(turn=25.0, layers=7, length=40.0).rows(40, 0)
    for row in smooth[1:-1]:
        assert row.surface_error is not None
        assert row.copied_error is not None
        assert row.surface_error < 0.3 * row.copied_error
    assert smooth[0].surface_error is smooth[-1].surface_error is smooth[0].copied_error is None
    states, _ = Arc(turn=0.0, layers=7, length=40.0).states(40, 0)
    states[:, 3] = states[:, 3] @ np.linalg.qr(np.random.default_rng(1).normal(size=(32, 32)))[0]
    rows = [
        row
        for row in rows_of(Material({"activations": states.astype(np.float32)}, classes(40, 40), (None,) * 80))
        if row.knot is None
    ]
    assert (rows[3].surface_error or 0.0) > 0.5
    assert (rows[3].noise or 1.0) < 0.05
    assert (rows[5].surface_error or 1.0) < 0.2


def test_small_classes_have_fewer_knots_or_no_curve() -> None:
    states, _ = Arc(layers=2).states(6, 0)
    assert len(rows_of(Material({"activations": states[2:10].astype(np.float32)}, classes(4, 4), (None,) * 8))) == 0
    assert len(rows_of(Material({"activations": states.astype(np.float32)}, classes(6, 6), (None,) * 12))) == 2 * (1 + 4)
    same = np.ones((12, 2, 4), np.float32)
    same[:, 1] += np.random.default_rng(0).normal(size=(12, 4))
    assert {row.layer for row in rows_of(Material({"activations": same}, classes(6, 6), (None,) * 12))} == {1}
