"""COSMIC's algorithm on a model that is written down: split, filters, evaluation layers, choice, record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest

from actors.errors import JobError
from actors.methods import Contrast, Found, Reading, Trial
from actors.methods.cosmic import CosmicOptions, cosmic
from tests.actors.methods.toy import Toy, toy_contrast


def find(contrast: Contrast, **options: object) -> Found:
    return cosmic(contrast, CosmicOptions.model_validate(options))


def rows_of(found: Found) -> list[dict[str, float]]:
    table = json.loads(found.record["candidates"])
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


@dataclass
class Noting:
    """A probe that notes what it is asked, and may answer with another KL or mean."""

    toy: Toy
    asked: list[Trial]
    kl: float | None = None

    def run(self, trials: Sequence[Trial]) -> list[Reading]:
        """The toy's readings."""
        self.asked += trials
        readings = self.toy.run(trials)
        if self.kl is None:
            return readings
        return [replace(reading, kl=self.kl if reading.kl is not None else None) for reading in readings]


def noting(contrast: Contrast, kl: float | None = None) -> tuple[Contrast, Noting]:
    assert isinstance(contrast.probe, Toy)
    probe = Noting(contrast.probe, [], kl)
    return replace(contrast, probe=probe), probe


def test_selects_the_layer_where_the_direction_begins_and_scores_it_near_two() -> None:
    contrast, direction = toy_contrast(planted=2)
    found = find(contrast)
    best, *others = (row["ablation"] + row["addition"] for row in rows_of(found))
    # From the planted layer on the stream holds the direction, so a later candidate would do as well; none before does.
    assert found.selected_layer == 2
    assert best > 1.97  # 2 when the candidate added all that tells the classes apart: here 6 of 7 parts of it
    assert all(score < best - 0.02 for score, row in zip(others, rows_of(found)[1:], strict=True) if row["layer"] < 2)
    vector = found.vectors[2]
    assert vector @ direction / np.linalg.norm(vector) >= 0.99


def test_one_run_of_the_probe_asks_everything() -> None:
    contrast, probe = noting(toy_contrast()[0])
    found = find(contrast)
    held = json.loads(found.record["held_out_prompts"])
    assert len(held["positive"]) == len(held["negative"]) == 2  # 0.4 of 6, rounded
    candidates = 3 * 3  # positions x block inputs 1..3 of 5 blocks (b < 0.8 * 5)
    assert len(rows_of(found)) == candidates
    assert len(probe.asked) == 2 + 2 * candidates
    for trial in probe.asked:
        assert {prompt.id for prompt in (*trial.read, *trial.compare)} <= {*held["positive"], *held["negative"]}
        assert trial.layers == tuple(json.loads(found.record["evaluation_layers"]))
    ablations = [trial for trial in probe.asked if trial.everywhere]
    assert len(ablations) == candidates
    assert all(trial.steering is not None and trial.steering.layers == (0, 1, 2, 3, 4) for trial in ablations)


def test_addition_adds_the_raw_difference_once_at_the_candidates_layer() -> None:
    contrast, probe = noting(toy_contrast()[0])
    found = find(contrast, positions=1, held_out=0.0)
    positive, negative = contrast.last
    difference = positive.mean(axis=0) - negative.mean(axis=0)
    additions = [trial.steering for trial in probe.asked if trial.steering is not None and not trial.everywhere]
    assert [steering.layers for steering in additions] == [(0,), (1,), (2,)]
    for layer, steering in enumerate(additions):
        np.testing.assert_allclose(steering.vectors[0] * steering.multiplier, difference[layer], rtol=1e-5, atol=1e-6)
    assert found.record["scored_on"] == "the extraction prompts"


def test_affine_acts_at_one_layer_and_restores_the_negative_mean() -> None:
    contrast, probe = noting(toy_contrast()[0])
    find(contrast, ablation="affine", positions=1, held_out=0.0)
    positive, negative = contrast.last
    ablation, addition = (trial.steering for trial in probe.asked[2:4])
    assert ablation is not None
    assert addition is not None
    assert not any(trial.everywhere for trial in probe.asked)
    assert ablation.layers == addition.layers == (0,)
    unit = ablation.vectors[0].astype(np.float64)
    assert ablation.references[0] == pytest.approx(negative.mean(axis=0)[0] @ unit, rel=1e-5)
    # replacing the component by the negative mean's and adding the difference leaves the positive mean's component
    assert addition.references[0] == pytest.approx(positive.mean(axis=0)[0] @ unit, rel=1e-5)


def test_the_split_keeps_pairs_together_and_extraction_prompts_out_of_scoring() -> None:
    contrast, _ = toy_contrast()
    found = find(contrast, positions=1)
    held = json.loads(found.record["held_out_prompts"])
    assert [name[1:] for name in held["positive"]] == [name[1:] for name in held["negative"]]
    kept = [i for i, prompt in enumerate(contrast.positive_prompts) if prompt.id not in held["positive"]]
    assert len(kept) == 4
    positive, negative = contrast.last
    expected = positive[kept].mean(axis=0) - negative[kept].mean(axis=0)
    np.testing.assert_allclose(found.vectors, expected, atol=1e-6)
    other = json.loads(find(contrast, positions=1, seed=1).record["held_out_prompts"])
    assert other != held


def test_held_out_activations_do_not_reach_the_candidates() -> None:
    contrast, _ = toy_contrast()
    held = json.loads(find(contrast).record["held_out_prompts"])["positive"]
    changed = contrast.positive.copy()
    changed[[prompt.id in held for prompt in contrast.positive_prompts]] += 100.0
    np.testing.assert_array_equal(find(replace(contrast, positive=changed)).vectors, find(contrast).vectors)


@pytest.mark.parametrize(("n_layers", "share", "expected"), [(5, 0.1, 1), (9, 0.1, 1), (10, 0.1, 1), (30, 0.1, 3), (20, 0.25, 5)])
def test_evaluation_layers_are_those_of_lowest_cosine(n_layers: int, share: float, expected: int) -> None:
    contrast, _ = toy_contrast(n_layers=n_layers, d=12)
    found = find(contrast, evaluation_share=share, held_out=0.0, positions=1)
    positive, negative = (side.mean(axis=0) for side in contrast.last)
    cosines = (positive * negative).sum(-1) / np.linalg.norm(positive, axis=-1) / np.linalg.norm(negative, axis=-1)
    assert json.loads(found.record["evaluation_layers"]) == sorted(np.argsort(cosines)[:expected].tolist())


@pytest.mark.parametrize(
    ("n_layers", "limit", "last"), [(5, 0.8, 2), (10, 0.8, 6), (28, 0.8, 21), (30, 0.8, 22), (4, 1.0, 2), (2, 0.8, 0)]
)
def test_candidates_are_block_inputs_from_one_to_below_the_depth_limit(n_layers: int, limit: float, last: int) -> None:
    contrast, _ = toy_contrast(n_layers=n_layers, d=8, planted=0)
    found = find(contrast, depth_limit=limit, kl_limit=None, positions=1)
    assert sorted(row["layer"] for row in rows_of(found)) == list(range(last + 1))


def test_kl_filters_and_the_next_best_is_selected() -> None:
    contrast, _ = toy_contrast()
    free = rows_of(find(contrast, kl_limit=None))
    limit = float(np.median([row["kl"] for row in free if row is not free[0]]))
    assert limit < free[0]["kl"], "this contrast does not test the filter: its best candidate has a low KL"
    filtered = find(contrast, kl_limit=limit)
    passing = [row for row in free if row["kl"] <= limit]
    assert 0 < len(passing) < len(free)
    assert json.loads(filtered.record["selection"])["passed"] == len(passing)
    first = rows_of(filtered)[0]
    assert (first["position"], first["layer"]) == (passing[0]["position"], passing[0]["layer"])
    assert filtered.selected_layer == first["layer"]
    assert [row["passes"] for row in rows_of(filtered)] == [1] * len(passing) + [0] * (len(free) - len(passing))


def test_no_candidate_passes() -> None:
    contrast, _ = noting(toy_contrast()[0], kl=0.7)
    found = find(contrast)
    selection = json.loads(found.record["selection"])
    assert found.selected_layer is None
    assert selection["passed"] == 0
    assert selection["lowest_kl"] == 0.7
    assert "0.1" in selection["none"]
    np.testing.assert_array_equal(found.vectors, find(noting(toy_contrast()[0])[0], kl_limit=None).vectors)


def test_numbers_that_overflow_are_never_selected() -> None:
    contrast, _ = noting(toy_contrast()[0], kl=float("nan"))
    found = find(contrast, kl_limit=None)
    assert found.selected_layer is None
    assert json.loads(found.record["selection"])["lowest_kl"] is None
    assert all(row["kl"] is None for row in rows_of(found))


def test_each_layer_keeps_its_best_position_and_the_rest_the_selected_one() -> None:
    contrast, _ = toy_contrast()
    found = find(contrast, held_out=0.0)
    rows = rows_of(found)
    differences: npt.NDArray[np.float64] = contrast.positive.mean(axis=0, dtype=np.float64) - contrast.negative.mean(
        axis=0, dtype=np.float64
    )
    for layer in range(contrast.n_layers):
        here = [row for row in rows if row["layer"] == layer]
        position = int((here or rows)[0]["position"])  # rows are best first
        np.testing.assert_allclose(found.vectors[layer], differences[position, layer])


def test_fixed_layer_chooses_the_position_only() -> None:
    contrast, _ = toy_contrast()
    found = find(contrast, layer=4)  # beyond the depth limit, as asked
    assert found.selected_layer == 4
    assert [row["layer"] for row in rows_of(found)] == [4, 4, 4]
    with pytest.raises(JobError, match=r"layer 5 is outside 0\.\.4"):
        find(contrast, layer=5)


def test_what_cannot_be_done_is_said() -> None:
    contrast, _ = toy_contrast(n=1)
    with pytest.raises(JobError, match="needs 2 of each class, got 1"):
        find(contrast)
    assert find(contrast, held_out=0.0).selected_layer is not None
    with pytest.raises(JobError, match="none but the first"):
        find(toy_contrast(n_layers=1, planted=0)[0])
    with pytest.raises(JobError, match="class means are equal"):
        find(replace(toy_contrast()[0], negative=toy_contrast()[0].positive))
