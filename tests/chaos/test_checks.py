"""The chaos runs judge by these: each kind of damage must be seen."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from orchestrator.pool import POOLS
from orchestrator.run import RunOptions, prepare, run_sweep
from tests.chaos.checks import complaints, content_of, names_in, stamps
from tests.chaos.faults import KINDS, MOST, draw
from tests.chaos.sweep import PROMPTS, Asked
from tests.chaos.watch import Watch
from tests.fake_cli import with_fake_worker
from tests.orchestrator.sweep_files import sweep_data, write_sweep


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Asked, Path]:
    """A sweep that a fake worker has finished."""
    folder = tmp_path_factory.mktemp("finished")
    prompts = {"refusal": {"file": "refusal.jsonl", "limit": PROMPTS}}
    asked = Asked(write_sweep(folder / "sweep", sweep_data(behaviors=prompts, layers=[2], multipliers=[1, 2])), 3, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
        summary = run_sweep(prepare(asked.path, folder / "out"), RunOptions("local", quiet=True), Console(quiet=True))
    assert summary.exit_code == 0
    return asked, folder / "out"


def rewritten(path: Path, change: Callable[[list[dict[str, object]]], list[dict[str, object]]]) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), path)


def other_token(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{**rows[0], "token_ids": [7]}, *rows[1:]]


def test_a_whole_folder_passes(finished: tuple[Asked, Path]) -> None:
    asked, results = finished
    assert complaints(results, asked) == []
    assert content_of(results).differences(content_of(results)) == []


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        (lambda out: rewritten(out / "cells.parquet", lambda rows: rows[1:]), "cells: [2]"),
        (lambda out: rewritten(out / "responses.parquet", lambda rows: [*rows, rows[0]]), "rows twice"),
        (lambda out: next((out / "responses").iterdir()).unlink(), "not in parts"),
        (lambda out: (out / "responses" / ".cell-1.parquet.99.tmp").touch(), "temporary files"),
        (lambda out: (out / "failures").mkdir(exist_ok=True) or (out / "failures" / "x.json").touch(), "failures"),
        (lambda out: (out / "driver.json").write_text('{"state": "running"}'), "state of the driver"),
    ],
)
def test_damage_is_seen(damage: Callable[[Path], object], seen: str, finished: tuple[Asked, Path], tmp_path: Path) -> None:
    results = Path(shutil.copytree(finished[1], tmp_path / "out"))
    damage(results)
    assert seen in " ".join(complaints(results, finished[0]))


def test_a_lock_that_is_held_is_seen(finished: tuple[Asked, Path]) -> None:
    asked, results = finished
    with (results / ".lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "somebody holds it" in " ".join(complaints(results, asked))


def test_one_other_token_is_a_difference(finished: tuple[Asked, Path], tmp_path: Path) -> None:
    results = Path(shutil.copytree(finished[1], tmp_path / "out"))
    part = next((results / "responses").iterdir())
    rewritten(part, other_token)
    assert content_of(finished[1]).differences(content_of(results)) == [f"parts: responses/{part.name}"]
    next((results / "directions").iterdir()).write_bytes(b"\2\0\0\0\0\0\0\0{}other")
    assert len(content_of(finished[1]).differences(content_of(results))) == 2


def test_a_file_that_is_written_again_is_seen(finished: tuple[Asked, Path], tmp_path: Path) -> None:
    results = Path(shutil.copytree(finished[1], tmp_path / "out"))
    before = stamps(results)
    assert "cells.parquet" in before
    (results / "report.md").write_text((results / "report.md").read_text())
    assert [name for name, stamp in stamps(results).items() if before[name] != stamp] == ["report.md"]


def test_a_seed_draws_the_same_faults_again_and_every_kind_is_drawn() -> None:
    assert draw(17) == draw(17)
    assert {fault.kind for seed in range(len(KINDS)) for fault in draw(seed, most=1)} == set(KINDS)
    assert all(1 <= len(draw(seed)) <= MOST for seed in range(50))


def test_the_watch_knows_what_a_finished_run_did(finished: tuple[Asked, Path]) -> None:
    asked, results = finished
    watch = Watch(results, asked.cells)
    assert watch.phases() == {"starting"}
    watch.look()
    assert watch.phases() == {"reporting"}
    assert (watch.share_done, watch.submitted, watch.lost, watch.failed) == (1.0, asked.cells, [], [])
    assert names_in(results)
