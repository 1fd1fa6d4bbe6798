"""The status of a sweep from its folder alone, with and without a driver, writing nothing."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.types import Failure
from actors.use import Use
from orchestrator.cells import variant_id
from orchestrator.control.heartbeat import Beat, Rate, WorkerNow, encode_beat
from orchestrator.control.status import read_status, status_json, status_lines
from orchestrator.errors import InputError
from orchestrator.report.blocks import Bullets
from orchestrator.report.page import Page, page_blocks
from orchestrator.results.folder import Folder
from orchestrator.results.store import Store
from tests.orchestrator.samples import MODEL, filled, grid, plan_of

CELLS = grid()
NOW = time.time()
BEAT = Beat(1, "another-host", NOW - 300, NOW, "running", "sample", heard=NOW - 7, retries=3, seconds_left=200.0)


@pytest.fixture(autouse=True)
def at_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five cells: two done, two failed, one open."""
    store = filled(tmp_path / "out", CELLS[:2])
    store.write_plan(plan_of(CELLS))
    store.write_failure(Failure(CELLS[2].id, "job", "no such\nlayer", "Traceback ...", worker="w1"))
    store.write_failure(Failure(CELLS[3].id, "job", "no such\nlayer", "Traceback ...", worker="w1"))
    os.utime(store.root / "failures" / f"{CELLS[2].id}.json", (NOW - 60, NOW - 60))
    return store.root


def files(root: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*") if path.is_file()}


def test_a_second_name_of_one_model_is_told_by_status_and_page(root: Path) -> None:
    assert status_json(read_status(root))["twins"] == {}
    store = Store(root)
    store.write_plan(replace(plan_of(CELLS), twins={"copy": "smollm2"}))
    told = "models smollm2 and copy are the same model: it runs once, and its rows say smollm2, none says copy"
    found = read_status(root)
    assert status_json(found)["twins"] == {"copy": "smollm2"}
    assert f"note: {told}" in status_lines(found)
    page = page_blocks(Page(found.planned, [], {}, [], 0, 0))
    assert any(isinstance(block, Bullets) and told in block.items for block in page)


def test_without_a_driver_the_files_tell(root: Path) -> None:
    found = status_json(read_status(root))
    assert found["cells"] == {"planned": 5, "done": 2, "failed": 2, "open": 1, "unscored": 0}
    assert (found["state"], found["driver"], found["workers"], found["seconds_left"]) == ("no driver", None, [], None)
    models: Any = found["models"]
    (model,) = models
    assert (model["model"], model["cells"], model["open"]) == ("smollm2", 5, 1)
    assert found["recent_failures"] == [CELLS[3].id, CELLS[2].id]
    lines = status_lines(read_status(root))
    assert lines[1] == "no driver has run here"
    assert lines[2].split() == ["model", "cells", "done", "failed", "open"]
    assert f"  2 x job: no such (smollm2 refusal layer 12 x8, {CELLS[2].id})" in lines
    assert any(line.endswith("ago  smollm2 refusal layer 15 x2: job: no such") for line in lines)


@pytest.mark.parametrize("state", ["running", "interrupted"])
def test_cells_that_are_still_to_be_scored_are_told_and_are_no_damage(root: Path, state: Any) -> None:
    (scores,) = (root / "scores").glob("refusal@*")
    (scores / f"{CELLS[1].id}.parquet").unlink()
    Folder(root).driver.write_bytes(encode_beat(replace(BEAT, state=state)))
    status = read_status(root)
    assert (status.unscored, status.damages) == (1, ())
    assert any("1 done cells are to be scored" in line for line in status_lines(status))
    assert status_json(status)["cells"] == {"planned": 5, "done": 2, "failed": 2, "open": 1, "unscored": 1}


def test_a_driver_that_runs_tells_rates_and_what_its_workers_do(root: Path) -> None:
    variant = variant_id(MODEL)
    workers = (
        WorkerNow("w1", "generate", variant, 2, CELLS[4].id, 31.0, "node-7"),
        WorkerNow("w2", "load", variant, 1, variant, 12.0),
        WorkerNow("w3", "idle", variant, 0, "", 5.0),
        WorkerNow("w4", "extract", variant, 1, "dir-1", 1.0),
        WorkerNow("w5", "generate", variant, 0, "", 8.0),
    )
    beat = replace(BEAT, rates=(Rate(variant, 123.4, 200.0),), workers=workers)
    Folder(root).driver.write_bytes(encode_beat(beat))
    told = "\n".join(status_lines(read_status(root)))
    assert "running: process 1 on another-host" in told
    assert "123  3 min" in told
    assert "about 3 min left; 3 attempts repeated in this run; last answer of a worker 7 s ago" in told
    assert "w1 (node-7): generating with smollm2: 2 cells left, next smollm2 refusal layer 15 x8, for 31 s" in told
    assert "w2: loading smollm2, for 12 s" in told
    assert "w3: idle, holds smollm2, for 5 s" in told
    assert "w4: extracting from smollm2, for 1 s" in told
    assert "w5: generating with smollm2: 0 cells left, for 8 s" in told
    found = status_json(read_status(root))
    assert (found["state"], found["retries"], found["seconds_left"]) == ("running", 3, 200.0)
    assert [one["model"] for one in found["workers"]] == ["smollm2"] * 5  # type: ignore[attr-defined]


def test_what_is_said_of_a_run_is_true_of_its_state(root: Path) -> None:
    def told(**state: Any) -> str:
        Folder(root).driver.write_bytes(encode_beat(replace(BEAT, **state)))
        return "\n".join(status_lines(read_status(root)))

    assert "about 3 min left; 3 attempts repeated in this run" in told()
    assert "about 3 min left once it goes on; " in told(state="paused")
    ended = told(state="interrupted")
    assert "3 attempts repeated in the last run" in ended
    assert "min left" not in ended


def test_what_driver_and_workers_use_is_told(root: Path) -> None:
    on_gpu = Use(int(1.2 * 2**30), 9 * 2**30, 14 * 2**30, 13 * 2**30, 80 * 2**30, 0.87)
    workers = (
        WorkerNow("w1", "idle", "", 0, "", 5.0, use=on_gpu),
        WorkerNow("w2", "idle", "", 0, "", 5.0, use=Use(3 * 2**30)),
        WorkerNow("w3", "idle", "", 0, "", 5.0),
    )
    Folder(root).driver.write_bytes(encode_beat(replace(BEAT, workers=workers, memory=210 * 2**20)))
    lines = status_lines(read_status(root))
    assert "  w1: idle, for 5 s; 1.2 GiB; GPU 14.0 of 80.0 GiB, tensors at most 13.0, 87 % busy" in lines
    assert "  w2: idle, for 5 s; 3.0 GiB" in lines
    assert "  w3: idle, for 5 s" in lines
    assert any(line.endswith("the driver holds 210 MiB") for line in lines)
    found: Any = status_json(read_status(root))
    assert [one["use"] and one["use"]["gpu_busy"] for one in found["workers"]] == [0.87, None, None]
    assert found["driver"]["memory"] == 210 * 2**20


def test_a_stale_beat_is_told_as_such_and_its_rates_are_not_shown(root: Path) -> None:
    old = replace(BEAT, time=NOW - 900, rates=(Rate(variant_id(MODEL), 123.4, 200.0),))
    Folder(root).driver.write_bytes(encode_beat(old))
    found = read_status(root)
    assert status_json(found)["state"] == "silent"
    told = "\n".join(status_lines(found))
    assert "silent: process 1 on another-host was running, heard of 15 min ago" in told
    assert "tokens/s" not in told


def test_it_writes_nothing_even_when_files_are_damaged(root: Path) -> None:
    Folder(root).path("failures", CELLS[2].id).write_bytes(b"{")
    (root / "responses" / f"{CELLS[0].id}.parquet").write_bytes(b"no parquet")
    Folder(root).driver.write_bytes(b"half a be")
    before = files(root)
    for path in (root, *root.iterdir()):
        if path.is_dir():
            path.chmod(0o555)
    try:
        found = status_json(read_status(root))
    finally:
        for path in (root, *root.iterdir()):
            if path.is_dir():
                path.chmod(0o755)
    assert files(root) == before
    assert [one["kind"] for one in found["failures"]] == ["unreadable", "job"]  # type: ignore[attr-defined]


def test_copies_that_other_programs_left_are_no_items(root: Path) -> None:
    part = root / "responses" / f"{CELLS[0].id}.parquet"
    for kind, ending in (("responses", ".parquet"), ("failures", ".json"), ("directions", ".safetensors")):
        for name in (f"{CELLS[0].id} (1){ending}", f"copy of x{ending}", f"{CELLS[0].id} (Anna's conflicted copy){ending}"):
            (root / kind / name).write_bytes(part.read_bytes())
    status = read_status(root)
    assert (status.damages, status_json(status)["cells"]["done"]) == ((), 2)  # type: ignore[index]
    assert Store(root).done_cells() == {one.id for one in CELLS[:2]}


def test_what_no_run_would_make_anew_is_no_damage(root: Path) -> None:
    for victim in (root / "responses" / f"{CELLS[0].id}.parquet", *(root / "directions").glob("*.safetensors")):
        victim.with_stem(f"{victim.stem}-copy").write_bytes(victim.read_bytes()[:200])
    status = read_status(root)
    assert (status.damages, status_json(status)["cells"]["done"]) == ((), 2)  # type: ignore[index]


def test_why_a_file_is_damaged_is_told_whole(root: Path) -> None:
    (victim,) = (root / "directions").glob("*.safetensors")
    victim.write_bytes(victim.read_bytes()[:200])
    (damage,) = read_status(root).damages
    assert damage.reason.startswith("its header is damaged: ")


def test_done_cells_and_cells_that_are_no_longer_planned_have_not_failed(root: Path) -> None:
    store = Store(root)
    store.write_failure(Failure(CELLS[0].id, "job", "earlier", ""))
    store.write_failure(Failure("cell-of-an-earlier-plan", "job", "earlier", ""))
    assert [one.id for one in read_status(root).failures] == [CELLS[2].id, CELLS[3].id]


def test_a_plan_that_grew_is_read_anew(root: Path) -> None:
    assert len(read_status(root).planned.cells) == 5
    Store(root).write_plan(plan_of(grid((12, 15, 18))))
    assert len(read_status(root).planned.cells) == 7


def test_what_is_no_results_folder_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no plan"):
        read_status(tmp_path)
