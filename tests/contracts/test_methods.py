"""Every method: shapes, finiteness, sign, inputs unchanged; a planted direction is found (or, for the control, not)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from actors.errors import JobError
from actors.methods import METHODS

N, L, D = 12, 4, 96
PLANTED_LAYER = 2


def planted(seed: int = 7) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Two classes ``[N, L, D]`` that differ along one known unit direction, strongest at ``PLANTED_LAYER``."""
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal(D)
    direction /= np.linalg.norm(direction)
    shared = rng.standard_normal((N, L, D))
    noise = 0.02 * rng.standard_normal((2, N, L, D))
    strength = np.array([3.0, 5.0, 12.0, 8.0])[None, :, None]
    return shared + noise[0] + strength * direction, shared + noise[1], direction


def options_of(name: str) -> object:
    return METHODS[name].options()


@pytest.mark.parametrize("name", METHODS)
def test_contract(name: str) -> None:
    harmful, harmless, _ = planted()
    before = harmful.copy(), harmless.copy()
    found = METHODS[name].find(harmful, harmless, options_of(name))
    assert found.shape == (L, D)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert (np.linalg.norm(found, axis=-1) > 0).all()
    np.testing.assert_array_equal(harmful, before[0])
    np.testing.assert_array_equal(harmless, before[1])
    np.testing.assert_array_equal(found, METHODS[name].find(harmful, harmless, options_of(name)), "not deterministic")


@pytest.mark.parametrize("name", [name for name in METHODS if name != "random"])
def test_finds_the_planted_direction_with_its_sign(name: str) -> None:
    harmful, harmless, direction = planted()
    found = METHODS[name].find(harmful, harmless, options_of(name))
    cosines = found @ direction / np.linalg.norm(found, axis=-1)
    assert cosines[PLANTED_LAYER] >= 0.99
    swapped = METHODS[name].find(harmless, harmful, options_of(name))
    assert swapped[PLANTED_LAYER] @ direction < 0


def test_random_is_norm_matched_and_unrelated() -> None:
    harmful, harmless, direction = planted()
    dim = METHODS["dim"].find(harmful, harmless, options_of("dim"))
    drawn = METHODS["random"].find(harmful, harmless, options_of("random"))
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=-1), np.linalg.norm(dim, axis=-1))
    assert np.abs(drawn @ direction / np.linalg.norm(drawn, axis=-1)).max() < 0.4  # 4 sigma of a random cosine at d = 96
    other = METHODS["random"].find(harmful, harmless, METHODS["random"].options.model_validate({"seed": 1}))
    assert not np.allclose(other, drawn)


def test_pca_needs_pairs() -> None:
    harmful, harmless, _ = planted()
    with pytest.raises(JobError, match="12 harmful prompts but 11"):
        METHODS["pca"].find(harmful, harmless[:-1], options_of("pca"))


def test_pca_is_the_top_eigenvector() -> None:
    """The axis is the top eigenvector of the second-moment matrix of the differences, computed another way."""
    harmful, harmless, _ = planted(3)
    found = METHODS["pca"].find(harmful, harmless, options_of("pca"))
    for layer in range(L):
        differences = (harmful - harmless)[:, layer]
        _, vectors = np.linalg.eigh(differences.T @ differences)
        cosine = vectors[:, -1] @ found[layer] / np.linalg.norm(found[layer])
        assert abs(cosine) == pytest.approx(1.0, abs=1e-9)
