"""Curves through centroids: planted arcs are found, knots that do not hold are passed by, and a surface goes through them all."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.interpolate import PchipInterpolator, RBFInterpolator
from sklearn.decomposition import PCA

from actors.curves import point_of, strength_of, strengths
from actors.errors import JobError
from actors.methods import METHODS, Asked, Contrast
from actors.methods.curve import CurveOptions, curve
from actors.types import Prompt
from tests.actors.methods.toy import Toy

Array = npt.NDArray[np.float64]
N, LAYERS, WIDTH = 40, 4, 24


def arc(noise: float = 0.3, seed: int = 0, empty: int | None = None) -> Contrast:
    """Prompts on an arc in a plane of each layer, far from the origin; at the layer ``empty`` there is noise alone."""
    random = np.random.default_rng(seed)
    place = np.concatenate([random.uniform(0.5, 1, N), random.uniform(0, 0.5, N)])[:, None]
    layers = []
    for layer in range(LAYERS):
        plane, _ = np.linalg.qr(random.normal(size=(WIDTH, 2)))
        arched = 12 * place * plane[:, 0] + 20 * place * (1 - place) * plane[:, 1]
        layers.append((0 if layer == empty else arched) + 5 + noise * random.normal(size=(2 * N, WIDTH)))
    states = np.stack(layers, axis=1)[:, None].astype(np.float32)
    prompts = tuple(Prompt(f"P{number}", "?") for number in range(2 * N))
    return Contrast(states[:N], states[N:], prompts[:N], prompts[N:], Toy(np.zeros(WIDTH), {}, np.zeros((1, WIDTH))))


def by_hand(given: Contrast, layer: int, knots: int, dimensions: int) -> tuple[Array, Array, Array]:
    """The levels, the basis by scikit-learn, and the centroids ``[K, d]`` of prompts in order."""
    states = np.concatenate(given.last)
    order = np.argsort(strengths(states, len(given.positive)), kind="stable")
    bins = np.array_split(order, knots)
    levels = np.array([strengths(states, len(given.positive))[one].mean() for one in bins])
    basis = PCA(dimensions, svd_solver="full").fit(states[:, layer]).components_
    return levels, basis, np.stack([states[one, layer].mean(axis=0) for one in bins])


@pytest.mark.parametrize("surface", [False, True])
def test_a_knot_is_the_centroids_part_in_the_subspace(surface: bool) -> None:
    given = arc()
    found = curve(given, CurveOptions(knots=6, dimensions=2, surface=surface))
    assert sorted(found.curves) == list(range(LAYERS))
    for layer, one in found.curves.items():
        levels, basis, centroids = by_hand(given, layer, 6, 2)
        if not surface:
            assert np.allclose(np.linalg.svd(one.basis @ basis.T)[1], 1, atol=1e-5), "the same plane"
        assert np.allclose(one.basis @ one.basis.T, np.eye(2), atol=1e-5)
        for level, centroid in zip(levels, centroids, strict=True):
            part = (one.basis.astype(np.float64) @ centroid) @ one.basis
            assert point_of(one, level) == pytest.approx(part, abs=1e-3)


def test_between_knots_it_goes_monotonically_and_beyond_the_ends_nowhere() -> None:
    one = curve(arc(), CurveOptions(knots=5, dimensions=2)).curves[1]
    for low, high in zip(one.levels, one.levels[1:], strict=False):
        path = np.stack([point_of(one, level) for level in np.linspace(low, high, 15)]) @ one.basis.T
        ends = path[-1] - path[0]
        assert (np.diff(path, axis=0) * np.sign(ends) >= -1e-4).all()
    whole = PchipInterpolator(one.levels, one.points)
    middle = (one.levels[1] + one.levels[2]) / 2
    assert point_of(one, middle) @ one.basis.T == pytest.approx(whole(middle), abs=1e-4)
    for level, place in ((-9.0, 0), (9.0, -1)):
        assert point_of(one, level) @ one.basis.T == pytest.approx(one.points[place], abs=1e-4)


def test_a_multiplier_of_one_is_the_positive_classs_mean() -> None:
    assert [strength_of(one) for one in (1, -1, 0.5, 3)] == [1, 0, 0.75, 2]
    given = arc()
    one = curve(given, CurveOptions(knots=5, dimensions=2)).curves[0]
    positive, negative = (side[:, 0].mean(axis=0) @ one.basis.T for side in given.last)
    for multiplier, own, other in ((1, positive, negative), (-1, negative, positive)):
        there = point_of(one, strength_of(multiplier)) @ one.basis.T
        assert np.linalg.norm(there - own) < 0.2 * np.linalg.norm(there - other)


@pytest.mark.parametrize("seed", range(5))
def test_a_layer_of_noise_has_no_curve_and_no_part_in_a_surface(seed: int) -> None:
    given = arc(noise=1.0, seed=seed, empty=2)
    found = curve(given, CurveOptions(dimensions=2, soft=0.3))
    assert sorted(found.curves) == [0, 1, 3]
    soft = json.loads(found.record["soft_knots"])
    assert len(soft["2"]) >= 4
    whole = curve(given, CurveOptions(dimensions=2, soft=0.3, surface=True))
    assert sorted(whole.curves) == [0, 1, 2, 3], "the surface says where it would be"


def test_a_soft_knot_is_passed_by() -> None:
    given = arc()
    every = curve(given, CurveOptions(knots=8, dimensions=2, soft=99))
    strict = curve(given, CurveOptions(knots=8, dimensions=2, soft=0.07))
    soft = {int(layer): found for layer, found in json.loads(strict.record["soft_knots"]).items()}
    assert any(soft.values())
    for layer, found in soft.items():
        holding = np.setdiff1d(np.arange(8), found)
        if len(holding) > 1:
            assert strict.curves[layer].points == pytest.approx(every.curves[layer].points[holding])
            assert strict.curves[layer].levels == pytest.approx(every.curves[layer].levels[holding])


def test_a_surface_is_scipys_through_the_knots_of_all_layers() -> None:
    given = arc()
    found = curve(given, CurveOptions(knots=5, dimensions=3, surface=True, soft=99))
    states = np.concatenate(given.last)
    centred = states - states.mean(axis=0)
    scatter = np.sqrt((centred**2).mean(axis=(0, 2)))
    levels = by_hand(given, 0, 5, 3)[0]
    knots = np.stack(
        [(by_hand(given, layer, 5, 3)[2] - states[:, layer].mean(axis=0)) / scatter[layer] for layer in range(LAYERS)]
    )
    basis = found.curves[0].basis.astype(np.float64)
    grid = np.array([[layer / (LAYERS - 1), level] for layer in range(LAYERS) for level in levels])
    surface = RBFInterpolator(grid, (knots @ basis.T).reshape(-1, 3))
    for layer in range(LAYERS):
        at = found.curves[layer].levels[7]
        expected = scatter[layer] * surface([[layer / (LAYERS - 1), at]])[0] + basis @ states[:, layer].mean(axis=0)
        assert point_of(found.curves[layer], at) @ basis.T == pytest.approx(expected, abs=1e-3)


def test_its_directions_are_those_of_dim_and_too_few_prompts_are_told() -> None:
    given = arc()
    dim = METHODS["dim"]
    assert np.array_equal(METHODS["curve"].find(given, CurveOptions()).vectors, dim.find(given, dim.options()).vectors)
    assert METHODS["curve"].unfit(Asked(5, 4, LAYERS, ""), CurveOptions()) is None
    told = METHODS["curve"].unfit(Asked(5, 3, LAYERS, ""), CurveOptions())
    assert told == "curve needs 9 contrast prompts, 3 of each class; here are 5 positive and 3 negative prompts"
    assert METHODS["curve"].unfit(Asked(20, 2, LAYERS, ""), CurveOptions()) is not None
    few = replace(given, positive=given.positive[:4], negative=given.negative[:4])
    with pytest.raises(JobError, match="needs 9 contrast prompts"):
        curve(few, CurveOptions())
