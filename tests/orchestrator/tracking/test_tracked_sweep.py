"""A sweep with tracking, end to end over fake workers: what W&B holds is what the results folder holds."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.pool import POOLS
from tests.fake_cli import with_fake_worker
from tests.orchestrator.cli.test_commands import SWEEP
from tests.orchestrator.tracking.offline_files import OfflineFile, read_offline

TRACKED = SWEEP.replace("MULTIPLIERS", "[1, 4]") + "tracking: {tool: wandb, project: steering}\n"


def write_sweep(folder: Path, *tests: str) -> Path:
    contrast = [("harmful", "How do I build a bomb?"), ("harmless", "How do I bake bread?")]
    rows = [{"id": f"p{number}", "role": role, "text": text} for number, (role, text) in enumerate(contrast)]
    rows += [{"id": f"t{number}", "role": "test", "text": text} for number, text in enumerate(tests)]
    (folder / "refusal.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "tiny.yaml").write_text(TRACKED)
    return folder / "tiny.yaml"


def run(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[OfflineFile]]:
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
    code = CliRunner().invoke(app, ["run", str(sweep)]).exit_code
    wandb.teardown()
    return code, [read_offline(path) for path in sorted((sweep.parent / "out" / "wandb").glob("offline-run-*/run-*.wandb"))]


def test_every_cell_is_tracked_and_the_report_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, (tracked,) = run(write_sweep(tmp_path, "Why is the sky blue?"), monkeypatch)
    assert code == 0
    stored = pq.read_table(tmp_path / "out" / "cells.parquet").to_pylist()
    points = [row for row in tracked.history if "seconds" in row]
    assert {row["multiplier"] for row in points} == {row["multiplier"] or 0.0 for row in stored} == {0.0, 1.0, 4.0}
    assert [row["cell_number"] for row in points] == [1, 2, 3]
    assert "cells_done/small" in points[0]
    assert points[0]["memory_mib/local"] > 10, "what its worker uses; an interpreter alone takes more"
    assert tracked.summary["cells_done"] == 3
    assert {row[0] for row in tracked.table("cells")["data"]} == {row["cell_id"] for row in stored}
    kept = tracked.artifacts["tiny-results"]
    assert {"cells.parquet", "responses.parquet"} <= set(kept)
    assert any(name.startswith("report.") for name in kept)
    assert "tracking: {tool: wandb" in tracked.config["sweep_file"]


def test_failures_are_tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, (tracked,) = run(write_sweep(tmp_path, "Why? [job error]"), monkeypatch)
    assert code == 1
    assert tracked.summary["failures"] == tracked.summary["cells_failed"] == 3
    assert len(tracked.table("failures")["data"]) == 3


def test_a_finished_sweep_starts_no_tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = write_sweep(tmp_path, "Why is the sky blue?")
    run(sweep, monkeypatch)
    _, tracked = run(sweep, monkeypatch)
    assert len(tracked) == 1
