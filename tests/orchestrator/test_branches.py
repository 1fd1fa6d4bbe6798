"""All answers of a results folder are of one commit of a branch, wherever the branch goes meanwhile."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.faults.tiny_sweep import TinySweep

FIRST, SECOND = "a" * 40, "b" * 40


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``org/tiny`` in the hub's cache with two commits; ``main`` is the first."""
    hub = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    repo = hub / "models--org--tiny"
    for seed, commit in enumerate((FIRST, SECOND)):
        shutil.copytree(TinySweep(tmp_path).model(commit, seed=seed), repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(FIRST)
    return repo


def commits(sweep: TinySweep) -> list[str]:
    return [json.loads(row.provenance)["model_commit"] for row in sweep.store.cell_rows()]


def test_a_sweep_goes_on_with_the_commit_that_it_began_with(repo: Path, tmp_path: Path) -> None:
    models = {"tiny": {"hub": "org/tiny", "revision": "main"}}
    sweep = TinySweep(tmp_path).write(models=models, layers=[1])
    assert sweep.run().exit_code == 0
    assert commits(sweep) == [FIRST] * 2
    kept = sweep.answers()
    (repo / "refs" / "main").write_text(SECOND)
    sweep.write(models=models, layers=[1, 2])
    assert sweep.run().exit_code == 0
    assert commits(sweep) == [FIRST] * 3
    assert sweep.answers().items() >= kept.items()
    shutil.rmtree(sweep.out)
    assert sweep.run().exit_code == 0
    assert commits(sweep) == [SECOND] * 3, "a new folder begins anew"
    assert not sweep.answers().items() & kept.items()


def test_the_direction_tells_it_where_no_table_was_written_yet(repo: Path, tmp_path: Path) -> None:
    models = {"tiny": {"hub": "org/tiny", "revision": "main"}}
    sweep = TinySweep(tmp_path).write(models=models, layers=[1])
    assert sweep.run().exit_code == 0
    (sweep.out / "cells.parquet").unlink()
    for path in (sweep.out / "responses").glob("*.parquet"):
        path.unlink()
    (repo / "refs" / "main").write_text(SECOND)
    assert sweep.run().exit_code == 0
    assert set(commits(sweep)) == {FIRST}
