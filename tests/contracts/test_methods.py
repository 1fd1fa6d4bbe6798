"""Every method: shapes, finiteness, sign, inputs unchanged, repeatable; a planted direction is found (for the control: not)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA

from actors.errors import JobError
from actors.methods import METHODS, Contrast, Found
from actors.types import GivenVectors
from tests.actors.methods.toy import toy_contrast, unit_rows

PLANTED = 2
GIVEN = GivenVectors(tuple(range(5)), unit_rows(5, 48), {"file": "v.npz"})
"""For a method that finds nothing itself."""
FOR_FEW_PROMPTS: dict[str, dict[str, object]] = {"wrmd": {"ridge": 1e4}}
"""Options without which a method takes the noise of six prompts for their covariance."""


def find(name: str, contrast: Contrast, **options: object) -> Found:
    method = METHODS[name]
    return method.find(contrast, method.options.model_validate(options))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("positions", [1, 3])
def test_contract(name: str, positions: int) -> None:
    contrast = replace(toy_contrast(positions=positions)[0], given=GIVEN)
    before = contrast.positive.copy(), contrast.negative.copy()
    for side in (contrast.positive, contrast.negative):
        side.flags.writeable = False
    found = find(name, contrast)
    assert found.vectors.shape == (contrast.n_layers, contrast.positive.shape[-1])
    assert found.vectors.dtype == np.float64
    assert np.isfinite(found.vectors).all()
    assert (np.linalg.norm(found.vectors, axis=-1) > 0).all()
    assert METHODS[name].selects_layer == (found.selected_layer is not None)
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in found.record.items())
    np.testing.assert_array_equal(contrast.positive, before[0])
    np.testing.assert_array_equal(contrast.negative, before[1])
    again = find(name, contrast)
    np.testing.assert_array_equal(found.vectors, again.vectors, "not deterministic")
    assert (found.selected_layer, found.record) == (again.selected_layer, again.record)


@pytest.mark.parametrize("name", METHODS)
def test_options_are_frozen_strict_and_plain(name: str) -> None:
    options = METHODS[name].options
    with pytest.raises(ValueError, match="no_such_option"):
        options.model_validate({"no_such_option": 1})
    values = options().model_dump().values()  # they become part of a direction's identity, so they must be JSON scalars
    assert all(value is None or isinstance(value, str | int | float | bool) for value in values)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if name != "random" and not method.given])
def test_finds_the_planted_direction_with_its_sign(name: str) -> None:
    contrast, direction = toy_contrast()
    options = dict(FOR_FEW_PROMPTS.get(name, {}))
    found = find(name, contrast, **options)
    assert cosine(found.vectors[PLANTED], direction) >= 0.99
    swapped = replace(
        contrast,
        positive=contrast.negative,
        negative=contrast.positive,
        positive_prompts=contrast.negative_prompts,
        negative_prompts=contrast.positive_prompts,
    )
    options |= {"kl_limit": None} if name == "cosmic" else {}
    assert find(name, swapped, **options).vectors[PLANTED] @ direction < 0


@pytest.mark.parametrize("name", ["dim", "pca", "logistic", "wrmd", "rfm", "cosmic_svd"])
def test_raw_norm_is_the_length_of_the_difference_along_the_direction(name: str) -> None:
    contrast, direction = toy_contrast(positions=1)
    positive, negative = contrast.last
    difference = (positive.mean(axis=0) - negative.mean(axis=0))[PLANTED]
    vector = find(name, contrast, **FOR_FEW_PROMPTS.get(name, {})).vectors[PLANTED]
    assert np.linalg.norm(vector) == pytest.approx(difference @ vector / np.linalg.norm(vector), rel=1e-6)
    assert np.linalg.norm(vector) == pytest.approx(difference @ direction, rel=0.02)


def test_random_is_norm_matched_and_unrelated() -> None:
    contrast, direction = toy_contrast(d=96)
    dim, drawn = find("dim", contrast).vectors, find("random", contrast).vectors
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=-1), np.linalg.norm(dim, axis=-1))
    assert np.abs(drawn @ direction / np.linalg.norm(drawn, axis=-1)).max() < 0.4  # 4 sigma of a random cosine at d = 96
    assert not np.allclose(find("random", contrast, seed=1).vectors, drawn)


@pytest.mark.parametrize("name", ["pca", "cosmic_svd"])
def test_methods_of_pairs_need_pairs(name: str) -> None:
    contrast, _ = toy_contrast()
    with pytest.raises(JobError, match="6 positive prompts but 5"):
        find(name, replace(contrast, negative=contrast.negative[:-1], negative_prompts=contrast.negative_prompts[:-1]))


def test_pca_is_that_of_scikit_learn() -> None:
    """Of the differences with both signs, whose mean is then 0."""
    contrast, _ = toy_contrast(seed=3)
    found = find("pca", contrast).vectors
    positive, negative = contrast.last
    for layer in range(contrast.n_layers):
        differences = (positive - negative)[:, layer]
        axis = PCA(n_components=1, svd_solver="full").fit(np.concatenate([differences, -differences])).components_[0]
        np.testing.assert_allclose(found[layer], differences.mean(axis=0) @ axis * axis, rtol=1e-5, atol=1e-7)
