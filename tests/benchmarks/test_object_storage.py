"""The benchmark of object storage stores what it says, through its own server."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.object_storage import KEYS, cells_per_second, server
from orchestrator.results.store import Store
from orchestrator.storage import Place, S3Url


@pytest.mark.parametrize("threads", [0, 4])
@pytest.mark.parametrize("where", ["disk", "server"])
def test_every_cell_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, threads: int) -> None:
    with server(0.0) as url:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": url}.items():
            monkeypatch.setenv(name, value)
        place: Place = tmp_path / "out" if where == "disk" else S3Url("bucket", "results/sample")
        rate, cost = cells_per_second(place, 6, threads)
        assert rate > 0
        assert cost > 0
        store = Store(place)
        cells = store.done_cells()
        assert len(cells) == 6
        assert all(len(store.read_responses(cell)) == 10 for cell in cells), "the server gives back what it was given"
