"""What a rater reads: rare labels are seen, nothing within a label is favoured, and the sample stays what it was."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.labelling.sample import Draw, drawn, kept_sample
from orchestrator.results.folder import Folder

LABELLED = [
    ((f"c{cell}", f"p{prompt}", 0), "rare" if prompt == 0 and cell < 3 else "usual") for cell in range(6) for prompt in range(50)
]


def test_every_label_has_its_part_whatever_its_share() -> None:
    labels = dict(LABELLED)
    found = drawn(LABELLED, 20, seed=0)
    assert len(set(found)) == 20
    assert Counter(labels[key] for key in found) == {"rare": 3, "usual": 17}
    assert drawn(LABELLED, 20, seed=0) == found != drawn(LABELLED, 20, seed=1)
    assert sorted(drawn(LABELLED, 10_000, seed=0)) == sorted(labels)


def test_a_larger_sample_holds_the_smaller() -> None:
    assert set(drawn(LABELLED, 20, seed=4)) < set(drawn(LABELLED, 40, seed=4))


def test_within_a_label_every_response_is_as_likely_and_cells_have_their_shares() -> None:
    uneven = [((cell, f"p{prompt}", 0), "usual") for cell, n in (("large", 90), ("small", 10)) for prompt in range(n)]
    seen = Counter(key for seed in range(400) for key in drawn(uneven, 20, seed))
    by_cell = Counter(cell for cell, *_ in seen.elements())
    assert by_cell["small"] / seen.total() == pytest.approx(0.1, abs=0.01)
    assert max(abs(seen[key] / 400 - 0.2) for key, _ in uneven) < 0.09  # four and a half standard errors
    assert all(1 <= sum(cell == "small" for cell, *_ in drawn(uneven, 20, seed)) <= 3 for seed in range(100))


def test_no_order_tells_the_label() -> None:
    labels = dict(LABELLED)
    firsts = {labels[drawn(LABELLED, 6, seed)[0]] for seed in range(40)}
    assert firsts == {"rare", "usual"}


def test_the_sample_is_kept_when_more_is_finished(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    first = kept_sample(folder, Draw(10), LABELLED[:100])
    assert kept_sample(folder, Draw(10), LABELLED) == first
    assert kept_sample(folder, Draw(11), LABELLED) != first
    assert kept_sample(folder, Draw(10, scorer="judge@1"), LABELLED) != ()


def test_half_a_sample_that_a_power_cut_left_is_drawn_anew(tmp_path: Path) -> None:
    whole = kept_sample(Folder(tmp_path), Draw(10), LABELLED)
    file = tmp_path / Draw(10).file
    file.write_bytes(file.read_bytes()[:-30])
    assert kept_sample(Folder(tmp_path), Draw(10), LABELLED) == whole
    assert kept_sample(Folder(tmp_path), Draw(10), LABELLED[:20]) == whole
    file.write_text('[["a", "b", 1e999]]\n' + json.dumps(whole))
    assert kept_sample(Folder(tmp_path), Draw(10), LABELLED) == whole
