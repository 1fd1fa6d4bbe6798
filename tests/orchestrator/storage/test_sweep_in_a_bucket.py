"""The command line with results in object storage: everything that works on a folder."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from orchestrator import load_results
from orchestrator.cli import app
from orchestrator.pool import POOLS
from orchestrator.results.store import Store
from orchestrator.storage import S3Url, open_files
from orchestrator.sweep import load_sweep
from orchestrator.tracking.tables import files_of
from tests.fake_cli import with_fake_worker
from tests.orchestrator.cli.test_commands import ROOT, SLOW, no_pool, write_sweep
from tests.orchestrator.samples import filled, grid
from tests.orchestrator.storage.s3_server import BUCKET, KEYS, client, objects


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def sweep(tmp_path: Path, bucket: S3Url) -> Path:
    """A sweep file whose results go to the bucket."""
    path = write_sweep(tmp_path)
    path.write_text(path.read_text().replace("results: out", f"results: {bucket}"))
    return path


def ok(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def test_a_sweep_from_plan_to_report(
    cli: Callable[..., Result], sweep: Path, bucket: S3Url, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_sweep(sweep).results == bucket
    assert f"results in {bucket}" in ok(cli("plan", sweep)).output
    assert objects(server, bucket.prefix) == {}, "planning writes nothing"
    told = ok(cli("run", sweep))
    assert "4 of 4 cells done" in told.output
    assert f"results in {bucket}" in told.output
    found = {name.removeprefix(f"{bucket.prefix}/") for name in objects(server, bucket.prefix)}
    assert {"plan.json", "sweep.yaml", "cells.parquet", "responses.parquet", "report.html", "report.md", "driver.json"} <= found
    assert {name.split("/")[0] for name in found if "/" in name} == {"directions", "responses", "scores", "report", "logs"}
    assert sum(name.startswith("responses/") for name in found) == 4
    body = client(server).get_object(Bucket=BUCKET, Key=f"{bucket.prefix}/cells.parquet")["Body"].read()
    assert pq.read_table(io.BytesIO(body)).num_rows == 4
    status = json.loads(ok(cli("status", bucket, "--json")).stdout)
    assert (status["cells"]["done"], status["state"], status["results"]) == (4, "finished", str(bucket))
    assert "4 cells" in ok(cli("score", bucket)).output
    assert "multiplier" in ok(cli("compare", bucket, "multiplier=8", "baseline")).output
    cell = sorted(Store(bucket).done_cells())[0]
    assert "submitted" in ok(cli("logs", bucket, cell)).output
    monkeypatch.setitem(POOLS, "local", no_pool)
    assert json.loads(ok(cli("run", sweep, "--json")).stdout)["cells"]["ran"] == 0
    assert {path.name for path, _ in files_of(Store(bucket))} >= {"cells.parquet", "report.html"}


def test_the_same_as_in_a_folder(cli: Callable[..., Result], sweep: Path, bucket: S3Url, tmp_path: Path) -> None:
    ok(cli("run", sweep, "--quiet"))
    ok(cli("run", sweep, "--quiet", "--results", tmp_path / "folder"))
    there, here = Store(bucket), Store(tmp_path / "folder")
    assert there.done_cells() == here.done_cells()
    for cell in here.done_cells():
        assert there.read_responses(cell) == here.read_responses(cell)
        assert there.read_labels(cell) == here.read_labels(cell)
    assert [row.cell_id for row in there.cell_rows()] == [row.cell_id for row in here.cell_rows()]
    assert not (tmp_path / "s3:").exists()


def test_load_results_reads_a_bucket_and_writes_nothing_there(bucket: S3Url, server: str, tmp_path: Path) -> None:
    counts: dict[tuple[int, float] | None, tuple[int, int]] = {(15, 8.0): (9, 1)}
    here, there = filled(tmp_path, grid(), counts), filled(bucket, grid(), counts)
    before = objects(server, bucket.prefix)
    behind = load_results(str(bucket))
    assert objects(server, bucket.prefix) == before
    here.compact()
    there.compact()
    wanted, found = load_results(tmp_path), load_results(str(bucket))
    for frames in (behind, found):
        assert frames.responses.equals(wanted.responses)
        assert frames.rates.equals(wanted.rates)
        assert frames.directions.equals(wanted.directions)
        assert frames.cells["success_n"].to_list() == wanted.cells["success_n"].to_list()


def test_failures_are_kept_and_retried(cli: Callable[..., Result], tmp_path: Path, bucket: S3Url) -> None:
    path = write_sweep(tmp_path, texts=("[job error]",))
    assert cli("run", path, "--quiet", "--results", bucket).exit_code == 1
    assert len(Store(bucket).failures()) == 4
    assert "4 x job: this cell fails on cue" in ok(cli("errors", bucket)).output
    again = cli("retry", bucket)
    assert again.exit_code == 1
    assert "4 failures cleared" in again.output
    assert Store(bucket).failures()[0].attempt == 1


def test_no_key_is_written_or_said(cli: Callable[..., Result], sweep: Path, bucket: S3Url, server: str) -> None:
    told = ok(cli("run", sweep))
    kept = [client(server).get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in objects(server, bucket.prefix)]
    local = [path.read_bytes() for path in Store(bucket).root.rglob("*") if path.is_file()]
    for secret in (KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in told.output
        assert not any(secret.encode() in content for content in [*kept, *local])


def test_a_wrong_place_is_bad_input(cli: Callable[..., Result], sweep: Path) -> None:
    for arguments in (("status", "s3://bucket"), ("run", sweep, "--results", "gs://bucket/a"), ("compare", "s3:/b/c", "a", "b")):
        told = cli(*arguments)
        assert told.exit_code == 2
        assert "Traceback" not in told.output
    sweep.write_text(sweep.read_text().replace("results: s3://", "results: s3://key:hunter2@"))
    told = cli("plan", sweep)
    assert told.exit_code == 2
    assert "hunter2" not in told.output + told.stderr


def test_a_bucket_out_of_reach_is_told(cli: Callable[..., Result], sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    told = cli("run", sweep)
    assert told.exit_code == 3
    assert "NETWORK_CONNECTION" in told.stderr
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9")
    assert cli("run", sweep).exit_code == 2


def test_a_killed_driver_s_sweep_goes_on(tmp_path: Path, bucket: S3Url) -> None:
    path = write_sweep(tmp_path, SLOW, texts=("[slow]",))
    command = [sys.executable, "-m", "tests.fake_cli", "run", str(path), "--results", str(bucket), "--quiet"]
    files: Any = open_files(bucket)
    with subprocess.Popen(command, cwd=ROOT, env=dict(os.environ)) as process:
        deadline = time.monotonic() + 60
        while len(files.names("responses")) < 3 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    store = Store(bucket)
    done = store.done_cells()
    before = {cell: store.read_responses(cell) for cell in done}
    assert len(done) >= 3
    assert files.names("quarantine") == set()
    for _ in range(2):  # the next driver starts at once, though the killed one left its claim
        with store.lock():
            assert store.done_cells() == done
    assert {cell: store.read_responses(cell) for cell in done} == before
