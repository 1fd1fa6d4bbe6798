"""The W&B tracker, offline: what it writes is read back from the file itself; a missing server never stops a sweep."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from actors.types import CellResult, Decoding, FiredCheck, ModelSpec, Prompt
from orchestrator.cells import Cell, CellLabels, DirectionSpec, SteeringSpec
from orchestrator.classifiers import Label
from orchestrator.tracking import NullTracker, RunIdentity, WandbTracker, axes, metrics

PROMPTS = (Prompt("p1", "one"), Prompt("p2", "two"))
SPEC = ModelSpec("hub", "some/model", revision="main")
DIRECTION = DirectionSpec(SPEC, PROMPTS, PROMPTS, "dim")
STEERED = Cell(
    SPEC,
    PROMPTS,
    Decoding(8),
    SteeringSpec(DIRECTION, 15, (15, 16), 8.0),
    CellLabels("small", "refusal", scope="from_layer", depth=0.5),
)
RESULT = CellResult(STEERED.id, (), FiredCheck(True), 3.0, seconds=2.5, new_tokens=40)
LABELS = [Label("p1", "coherent_refusal", "{}", "text@1"), Label("p2", "garbled", "{}", "text@1")]


@pytest.fixture(autouse=True)
def no_wandb_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No key, no settings and no home of whoever runs the tests; the environment is read anew for every test."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    yield
    import wandb

    wandb.teardown()


def identity(tmp_path: Path, cells_before: int = 0) -> RunIdentity:
    return RunIdentity("steering", "my sweep", tmp_path / "results", cells_before, {"cells": 3})


def track_a_cell(tmp_path: Path, cells_before: int = 0) -> None:
    tracker = WandbTracker(identity(tmp_path, cells_before))
    tracker.cell_done(STEERED, RESULT, LABELS)
    tracker.finish({"cells_done": 1.0})


def read_rows(tmp_path: Path) -> list[dict[str, object]]:
    """The history rows of the last offline run, and its summary values, each as name -> value."""
    import wandb

    wandb.teardown()  # as at the end of a process: the service writes the last records after `finish` has returned
    files = sorted((tmp_path / "results" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert files, "no offline run was written"
    assert files[-1].stem == f"run-{identity(tmp_path).id}"
    return [row for record in records(files[-1].read_bytes()) for row in rows_of(record)]


def records(data: bytes) -> Iterator[bytes]:
    """The protobuf records of a LevelDB-framed log, checksums verified."""
    assert data[:4] == b":W&B"
    at, parts = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # the rest of a block too short for a header is padding
            at += 32768 - at % 32768
            continue
        checksum, length, kind = struct.unpack("<IHB", data[at : at + 7])
        body = data[at + 7 : at + 7 + length]
        assert zlib.crc32(bytes([kind]) + body) == checksum
        parts, at = parts + body, at + 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            yield parts
            parts = b""


def rows_of(record: bytes) -> Iterator[dict[str, object]]:
    from wandb.proto import wandb_internal_pb2

    parsed = wandb_internal_pb2.Record()
    parsed.ParseFromString(record)
    for items in (parsed.history.item, parsed.summary.update):
        row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
        if row:
            yield row


def assert_holds(rows: list[dict[str, object]], expected: Mapping[str, object]) -> None:
    assert any(expected.items() <= row.items() for row in rows), rows


POINT = {
    "cell_number": 1,
    "model": "small",
    "behavior": "refusal",
    "method": "dim",
    "layer": 15,
    "depth": 0.5,
    "scope": "from_layer",
    "multiplier": 8.0,
    "coherent_refusal_rate": 0.5,
    "garbled_rate": 0.5,
    "normal_rate": 0.0,
    "n": 2,
    "new_tokens": 40,
    "seconds": 2.5,
}


def test_a_cell_is_written_with_its_axes_and_the_totals_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    track_a_cell(tmp_path)
    rows = read_rows(tmp_path)
    assert_holds(rows, POINT)
    assert_holds(rows, {"cells_done": 1.0})


def test_a_resumed_sweep_goes_on_with_the_same_run_and_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    track_a_cell(tmp_path, cells_before=7)
    assert_holds(read_rows(tmp_path), {"cell_number": 8})
    assert identity(tmp_path).id == identity(tmp_path, 7).id


def test_without_a_key_it_tracks_offline(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    track_a_cell(tmp_path)
    assert_holds(read_rows(tmp_path), POINT)
    assert "tracking offline" in caplog.text


def test_an_unreachable_server_falls_back_to_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0123456789" * 4)
    monkeypatch.setattr("orchestrator.tracking.INIT_TIMEOUT_SECONDS", 3)
    track_a_cell(tmp_path)
    assert_holds(read_rows(tmp_path), POINT)
    assert "tracking offline" in caplog.text
    assert "0123456789" not in caplog.text


def test_a_folder_that_cannot_be_written_means_no_tracking_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "results").write_text("a file where the folder should be")
    track_a_cell(tmp_path)
    assert "no tracking" in caplog.text


def test_the_null_tracker_takes_everything(tmp_path: Path) -> None:
    tracker = NullTracker()
    tracker.cell_done(STEERED, RESULT, LABELS)
    tracker.noted("x")
    tracker.finish({})


def test_axes_and_metrics_of_a_baseline() -> None:
    baseline = Cell(SPEC, PROMPTS, Decoding(8), None, CellLabels("small", "refusal"))
    assert axes(baseline) == {"model": "small", "behavior": "refusal", "multiplier": 0.0}
    assert metrics(RESULT, [])["coherent_refusal_rate"] == 0.0
