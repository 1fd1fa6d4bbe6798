"""Direction sets in memory: bounded by bytes, the least recently used go first, errors are never remembered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from actors.types import Direction, DirectionSet
from orchestrator.results.folder import Folder
from orchestrator.results.kept_directions import KeptDirections, size_of
from orchestrator.results.store import Store
from tests.orchestrator.recording import Recording
from tests.orchestrator.samples import direction_set as sample_set
from tests.orchestrator.samples import grid, plan_of, result_of


def direction_set(floats: int) -> DirectionSet:
    return DirectionSet((Direction(0, np.zeros(floats, dtype=np.float32), 1.0),), (1.0,))


@dataclass
class Files:
    """Reads sets of 100 bytes, or as many as the id says, and counts."""

    reads: list[str] = field(default_factory=list)

    def __call__(self, direction_id: str) -> DirectionSet:
        self.reads.append(direction_id)
        if direction_id == "lost":
            raise FileNotFoundError(direction_id)
        return direction_set(int(direction_id) // 4 if direction_id.isdigit() else 25)


def test_the_size_is_that_of_the_vectors() -> None:
    assert size_of(direction_set(25)) == 100


def test_what_was_read_comes_from_memory() -> None:
    files = Files()
    kept = KeptDirections(files)
    assert kept("a") is kept("a")
    assert files.reads == ["a"]


def test_the_least_recently_used_goes_when_the_bytes_are_spent() -> None:
    files = Files()
    kept = KeptDirections(files, most=300)
    for direction_id in ("a", "b", "c", "a", "d", "a", "c", "d", "b"):  # d drives out b, as a was used since
        kept(direction_id)
    assert files.reads == ["a", "b", "c", "d", "b"]


def test_many_small_sets_are_kept_where_a_count_would_drop_them() -> None:
    files = Files()
    kept = KeptDirections(files, most=100 * 50)
    for _ in range(3):
        for number in range(50):
            kept(f"set-{number}")
    assert len(files.reads) == 50


def test_a_set_larger_than_all_room_is_read_each_time_and_drives_out_nothing() -> None:
    files = Files()
    kept = KeptDirections(files, most=300)
    for direction_id in ("a", "400", "400", "a"):
        kept(direction_id)
    assert files.reads == ["a", "400", "400"]


def test_an_error_is_not_remembered() -> None:
    files = Files()
    kept = KeptDirections(files)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            kept("lost")
    assert files.reads == ["lost", "lost"]


def test_threads_share_it_and_the_bytes_stay_bounded() -> None:
    kept = KeptDirections(Files(), most=500)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(kept, [f"set-{number % 12}" for number in range(2000)]))
    assert {size_of(one) for one in found} == {100}
    assert len(kept._kept) == 5
    assert kept._bytes == 500


def test_whoever_steers_and_whoever_stores_share_one_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    read = Folder.direction
    monkeypatch.setattr(Folder, "direction", lambda folder, one: reads.append(one) or read(folder, one))  # type: ignore[func-returns-value]
    cells = grid()
    store, plan = Store(tmp_path), plan_of(cells)
    spec = plan.directions[0]
    store.write_plan(plan)
    store.write_direction(spec, sample_set())
    with Recording(store) as recorder:
        for one in cells:
            recorder.read_direction(spec.id)
            recorder.cell(one, result_of(one), 1)
    assert reads == [spec.id]
