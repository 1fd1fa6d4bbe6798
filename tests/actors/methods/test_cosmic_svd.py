"""The paper's COSMIC: SVD over positions and agreement between layers, against plain eigenvectors and cosines."""

from __future__ import annotations

import json

import numpy as np
import pytest

from actors.errors import JobError
from actors.methods.cosmic_svd import CosmicSvdOptions, cosmic_svd
from tests.actors.methods.toy import toy_contrast


def options(**values: object) -> CosmicSvdOptions:
    return CosmicSvdOptions.model_validate(values)


@pytest.mark.parametrize("positions", [None, 2, 9])
def test_axis_is_the_top_eigenvector_over_prompts_and_positions(positions: int | None) -> None:
    contrast, _ = toy_contrast(positions=3)
    found = cosmic_svd(contrast, options(positions=positions))
    used = min(positions or 3, 3)
    assert found.record["positions"] == str(used)
    differences = (contrast.positive - contrast.negative)[:, -used:].astype(np.float64)
    for layer in range(contrast.n_layers):
        stacked = differences[:, :, layer].reshape(-1, differences.shape[-1])
        assert len(stacked) == len(contrast.positive) * used
        _, vectors = np.linalg.eigh(stacked.T @ stacked)
        along = vectors[:, -1] @ stacked.mean(axis=0)
        np.testing.assert_allclose(found.vectors[layer], vectors[:, -1] * along, atol=1e-6 * abs(along))


def test_selected_layer_agrees_best_with_all_others() -> None:
    contrast, _ = toy_contrast(n_layers=10, planted=3)
    found = cosmic_svd(contrast, options())
    unit = found.vectors / np.linalg.norm(found.vectors, axis=-1, keepdims=True)
    agreement = [np.mean([unit[layer] @ unit[other] for other in range(10) if other != layer]) for layer in range(10)]
    assert found.selected_layer == max(range(1, 9), key=lambda layer: agreement[layer])  # 0.01 <= l / 10 <= 0.8
    np.testing.assert_allclose(json.loads(found.record["selection"])["agreement"], agreement, atol=1e-6)


def test_layers_outside_the_depths_are_not_selected() -> None:
    contrast, _ = toy_contrast(n_layers=10, planted=0)  # all layers share the direction: the ends agree as well
    for low, high in [(0.5, 0.6), (0.01, 0.2), (0.9, 1.0)]:
        selected = cosmic_svd(contrast, options(depth_from=low, depth_limit=high)).selected_layer
        assert selected is not None
        assert low <= selected / 10 <= high
    assert cosmic_svd(contrast, options(layer=9)).selected_layer == 9
    with pytest.raises(JobError, match=r"layer 10 is outside 0\.\.9"):
        cosmic_svd(contrast, options(layer=10))
    with pytest.raises(JobError, match="no layer of 10 lies between 55% and 58%"):
        cosmic_svd(contrast, options(depth_from=0.55, depth_limit=0.58))
