"""Angles between layers of streams whose turn is known, and against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.analysis.analysis import Material
from orchestrator.analysis.angles import ANGLES, AngleOptions, AngleRow
from orchestrator.results.columns import row_of
from tests.orchestrator.analysis.planted import Stream

OPTIONS = AngleOptions(bootstrap=200)


def rows_of(material: Material, options: AngleOptions = OPTIONS) -> list[AngleRow]:
    about = {"analysis_id": "a", "model": "m", "behavior": "b"}
    return [row_of(AngleRow, {**about, **row}) for row in ANGLES.rows(material, options)]


def test_every_pair_of_layers_is_there_and_raw_angles_are_numpys() -> None:
    material = Stream(25.0, 4.0, layers=4).material(12, 0)
    mean, *pairs = rows_of(material)
    assert (mean.layer, mean.other, mean.pairs) == (None, None, 3)
    assert [(one.layer, one.other) for one in pairs] == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    directions = material.of("positive").mean(axis=0, dtype=float) - material.of("negative").mean(axis=0, dtype=float)
    for row in pairs:
        one, other = directions[row.layer], directions[row.other]
        angle = np.degrees(np.arccos(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
        assert row.raw == pytest.approx(angle, rel=1e-5)
        states = [state[[row.layer, row.other]].astype(float) for state in material.activations]
        told = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in states]
        assert row.state_cosine == pytest.approx(np.mean(told), rel=1e-5)
        assert row.raw_low is not None
        assert row.raw_high is not None
        assert row.raw_low < row.raw_high


def test_ten_prompts_of_what_does_not_turn_show_sixty_degrees_and_no_turn() -> None:
    _, *pairs = rows_of(Stream(0.0, 1.5, layers=8, width=256, carried=0.3).material(10, 5))
    neighbours = [row for row in pairs if row.other == (row.layer or 0) + 1]
    assert np.mean([row.raw for row in neighbours]) > 55
    assert all(row.corrected_low == 0.0 for row in pairs), "zero is in every interval"
    assert all((row.raw_low or 0) > 45 for row in neighbours), "which the bootstrap of the raw angle denies"
    assert all(row.split_half is None or row.split_half > 60 for row in pairs)


def test_a_known_turn_comes_back() -> None:
    mean, *_ = rows_of(Stream(20.0, 5.0).material(50, 1))
    assert mean.corrected == pytest.approx(20.0, abs=3.0)
    assert mean.corrected_low < 20 < mean.corrected_high
    assert mean.raw > 24
    assert mean.unturned is not None
    assert 10 < mean.unturned < mean.raw
    assert (mean.reliability or 0) > 0.8


def test_classes_without_a_difference_have_no_angle() -> None:
    mean, *pairs = rows_of(Stream(0.0, 0.0, layers=3).material(8, 2))
    assert (mean.pairs, mean.corrected, mean.corrected_low, mean.corrected_high) == (0, None, 0.0, 180.0)
    assert {(row.corrected_low, row.corrected_high) for row in pairs} == {(0.0, 180.0)}


def test_the_same_seed_gives_the_same_rows() -> None:
    material = Stream(25.0, 2.0, layers=3).material(5, 0)
    assert rows_of(material) == rows_of(material)
    ends = {(rows_of(material, AngleOptions(bootstrap=200, seed=seed))[1].raw_low) for seed in (0, 1)}
    assert len(ends) == 2
