"""The W&B tracker on disk: what it writes is read back from the file itself, and nothing that fails stops a sweep."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from actors.types import Failure, ModelInfo
from orchestrator.news import CellScored, CellStored, ItemFailed, ModelLoaded, Noted
from orchestrator.report.exported import heat_maps
from orchestrator.results.rows import axes_of
from orchestrator.results.store import Store
from orchestrator.tracking import RunIdentity, Tracker, WandbTracker, axes, metrics, shares
from orchestrator.tracking.offline_run import OfflineRun
from tests.orchestrator import samples
from tests.orchestrator.tracking.offline_files import OfflineFile, offline_files

CELLS = samples.grid()
STEERED = CELLS[-1]
RESULT = samples.result_of(STEERED)
LABELS = samples.labels_of(STEERED, refusals=7)
POINT = {"cell_number": 1, **axes(STEERED), **metrics(RESULT), **shares(LABELS)}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")


def identity(tmp_path: Path, cells_before: int = 0) -> RunIdentity:
    return RunIdentity("steering", "sample", tmp_path / "results", cells_before, {"cells": 3, "sweep_file": "name: sample"})


def track_a_cell(tmp_path: Path, cells_before: int = 0, results: Store | None = None) -> None:
    tracker = WandbTracker(identity(tmp_path, cells_before), lambda: {"tokens_per_second/smollm2": 24.0})
    tracker.hear(CellStored(STEERED, RESULT))
    tracker.hear(CellScored(axes_of(STEERED), LABELS))
    tracker.finish({"cells_done": 1.0}, results)


def fragments(tmp_path: Path) -> list[OfflineFile]:
    import wandb

    wandb.teardown()  # as at the end of a process: the service writes the last records after `finish` has returned
    found = offline_files(tmp_path / "results", identity(tmp_path).id)
    assert found, "no offline run was written"
    return found


def test_a_cell_is_written_with_its_axes_and_the_live_rates(tmp_path: Path) -> None:
    track_a_cell(tmp_path)
    (run,) = fragments(tmp_path)
    (row,) = run.history
    assert POINT.items() <= row.items()
    assert row["tokens_per_second/smollm2"] == 24.0
    assert run.summary["cells_done"] == 1.0
    assert run.config["sweep_file"] == "name: sample"
    assert run.ended


def test_live_rates_come_once_in_a_while(tmp_path: Path) -> None:
    tracker = WandbTracker(identity(tmp_path), lambda: {"tokens_per_second/smollm2": 24.0})
    for _ in range(5):
        tracker.hear(CellStored(STEERED, RESULT))
        tracker.hear(CellScored(axes_of(STEERED), LABELS))
    tracker.finish({})
    (run,) = fragments(tmp_path)
    assert ["tokens_per_second/smollm2" in row for row in run.history] == [True, False, False, False, False]


def test_a_resumed_sweep_goes_on_with_the_same_run_and_growing_steps(tmp_path: Path) -> None:
    store = samples.filled(tmp_path / "results", CELLS)
    store.compact()
    track_a_cell(tmp_path, results=store)
    track_a_cell(tmp_path, cells_before=1, results=store)
    runs = fragments(tmp_path)
    assert len(runs) == 2
    assert [row["cell_number"] for run in runs for row in run.history if "seconds" in row] == [1, 2]
    steps = [row["_step"] for run in runs for row in run.history]
    assert steps == sorted(set(steps)), "W&B would drop rows whose step does not grow"


def test_the_summary_is_of_the_whole_run_and_curves_have_their_own_axes(tmp_path: Path) -> None:
    store = samples.filled(tmp_path / "results", CELLS, {(15, 8.0): (7, 1)})
    store.compact()
    tracker = WandbTracker(replace(identity(tmp_path), tags=("dim", "mine")), pictures=heat_maps)
    tracker.hear(CellStored(STEERED, RESULT))
    tracker.hear(CellScored(axes_of(STEERED), LABELS))
    tracker.finish({"cells_done": 1.0}, store)
    (run,) = fragments(tmp_path)
    assert run.tags == ["dim", "mine"]
    assert (run.summary["best/layer"], run.summary["best/success_rate"], run.summary["baseline/success_rate"]) == (15, 0.7, 0.0)
    assert not {"multiplier", "layer", "success_rate", "seconds", "cell_number"} & run.summary.keys(), "those of one cell"
    assert (run.axes["by_layer/*"], run.axes["by_multiplier/*"], run.axes["*"]) == ("layer", "multiplier", "cell_number")
    curves = [row for row in run.history if any(key.startswith("by_") for key in row)]
    assert [row["layer"] for row in curves if "layer" in row] == [12, 12, 15, 15]
    assert [row["multiplier"] for row in curves if "multiplier" in row] == [2.0, 2.0, 8.0, 8.0]
    (drawn,) = (row for row in run.history if any(key.startswith("heat_maps/01") for key in row))
    assert drawn["heat_maps/01/caption"].startswith("smollm2 · refusal: coherent refusal (%)")
    pictures = sorted((run.path.parent / "files" / "media" / "images").rglob("*.png"))
    assert pictures
    assert all(one.read_bytes().startswith(b"\x89PNG") for one in pictures)


def test_a_load_is_told_under_the_model_s_name(tmp_path: Path) -> None:
    info = ModelInfo(2, 8, "llama", "float32", "cpu", 4, 1.5, "t")
    tracker = WandbTracker(replace(identity(tmp_path), names={"model-1": "small/int8"}))
    tracker.hear(ModelLoaded("model-1", "w", info))
    tracker.finish({})
    (run,) = fragments(tmp_path)
    assert run.summary["load_seconds/small/int8"] == 1.5


def test_the_run_is_named_by_the_sweep_and_its_results_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = RunIdentity("steering", "sample", Path("results"))
    assert here.id == identity(tmp_path, 7).id
    assert here.id != RunIdentity("steering", "sample", Path("elsewhere")).id


def test_failures_are_counted_as_they_come_and_listed_at_the_end(tmp_path: Path) -> None:
    store = samples.filled(tmp_path / "results", CELLS[:2])
    store.compact()
    tracker = WandbTracker(identity(tmp_path))
    for cell, kind in zip(CELLS[2:], ("out_of_memory", "not_fired", "not_fired"), strict=True):
        failure = Failure(cell.id, kind, "no <b>\x1b[31m luck", "trace", attempt=2, worker="worker-1")
        store.write_failure(failure)
        tracker.hear(ItemFailed(failure))
    tracker.finish({"cells_failed": 3.0}, store)
    (run,) = fragments(tmp_path)
    assert (run.summary["failures"], run.summary["failures/not_fired"], run.summary["failures/out_of_memory"]) == (3, 2, 1)
    table = run.table("failures")
    assert table["columns"] == ["item_id", "kind", "message", "attempt", "worker"]
    assert {row[0] for row in table["data"]} == {cell.id for cell in CELLS[2:]}
    assert {row[2] for row in table["data"]} == {"no <b>\\x1b[31m luck"}


def test_tables_and_artifact_at_the_end(tmp_path: Path) -> None:
    store = samples.filled(tmp_path / "results", CELLS, {(15, 8.0): (7, 1)})
    store.compact()
    (store.root / "report.md").write_text("# page\n")
    track_a_cell(tmp_path, results=store)
    (run,) = fragments(tmp_path)
    cells = run.table("cells")
    rows = [dict(zip(cells["columns"], row, strict=True)) for row in cells["data"]]
    assert {(row["layer"], row["multiplier"]) for row in rows} == {(None, None), (12, 2.0), (12, 8.0), (15, 2.0), (15, 8.0)}
    assert max(row["success_rate"] for row in rows) == 0.7
    responses = run.table("responses")
    assert "Answer to p1." in json.dumps(responses["data"])
    assert {"report.md", "cells.parquet", "responses.parquet"} <= set(run.artifacts["sample-results"])


def test_no_secret_is_in_any_file_or_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = {"WANDB_API_KEY": "f" * 40, "HF_TOKEN": "hf_very_secret_token"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    config = {"sweep_file": "models: {a: {hub: hf_very_secret_token}}"}
    tracker = WandbTracker(RunIdentity("steering", "sample", tmp_path / "results", 0, config))
    tracker.hear(ItemFailed(Failure(STEERED.id, "hub", "hf_very_secret_token", "")))
    tracker.finish({})
    fragments(tmp_path)
    written = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert written
    for value in secrets.values():
        assert not [path for path in written if value.encode() in path.read_bytes()]
        assert value not in caplog.text


def test_the_command_that_uploads_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    track_a_cell(tmp_path)
    assert "tracking offline (WANDB_MODE is offline)" in caplog.text
    (command,) = [line for line in caplog.text.splitlines() if "wandb sync" in line]
    pattern = Path(command.split("wandb sync ")[1])
    assert list(pattern.parent.glob(pattern.name)), command


def test_disabled_means_no_file_and_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    track_a_cell(tmp_path)
    assert not (tmp_path / "results").exists()
    assert caplog.text == ""


def test_without_a_key_it_tracks_offline_and_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    track_a_cell(tmp_path)
    assert POINT.items() <= fragments(tmp_path)[0].history[0].items()
    assert "tracking offline (there is no API key)" in caplog.text


def test_a_folder_that_cannot_be_written_means_no_tracking_and_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    track_a_cell(tmp_path)
    assert "no tracking" in caplog.text


def test_a_lost_service_process_costs_no_metric(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """W&B's service is restarted once; the run goes on in a second fragment."""
    import psutil

    tracker = WandbTracker(identity(tmp_path))
    tracker.hear(CellStored(STEERED, RESULT))
    tracker.hear(CellScored(axes_of(STEERED), LABELS))
    _written(tmp_path)
    services = [one for one in psutil.Process().children(recursive=True) if "wandb-core" in one.name()]
    assert services
    for service in services:
        service.kill()
        service.wait(10)
    for _ in range(3):
        tracker.hear(CellStored(STEERED, RESULT))
        tracker.hear(CellScored(axes_of(STEERED), LABELS))
    tracker.finish({"cells_done": 4.0})
    runs = fragments(tmp_path)
    assert [row["cell_number"] for run in runs for row in run.history] == [1, 2, 3, 4]
    assert runs[-1].ended


def test_a_service_that_cannot_be_started_again_ends_the_tracking_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = WandbTracker(identity(tmp_path))

    def lost(*_: object) -> None:
        raise OSError("no service")

    monkeypatch.setattr(OfflineRun, "__init__", lost)
    monkeypatch.setattr(OfflineRun, "log", lost)
    tracker.hear(CellStored(STEERED, RESULT))
    tracker.hear(CellScored(axes_of(STEERED), LABELS))
    tracker.hear(CellStored(STEERED, RESULT))
    tracker.hear(CellScored(axes_of(STEERED), LABELS))
    tracker.finish({})
    assert caplog.text.count("tracking stops") == 1


def test_the_null_tracker_takes_everything(tmp_path: Path) -> None:
    tracker = Tracker()
    tracker.hear(CellStored(STEERED, RESULT))
    tracker.hear(CellScored(axes_of(STEERED), LABELS))
    tracker.hear(Noted("x"))
    tracker.finish({}, Store(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def _written(tmp_path: Path) -> None:
    """Wait until the first point is on disk (the file is flushed every few seconds)."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = offline_files(tmp_path / "results", identity(tmp_path).id)
        if found and found[0].history:
            return
        time.sleep(0.2)
    raise AssertionError("nothing was written")
