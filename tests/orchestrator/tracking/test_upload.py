"""The upload, against servers on loopback: one that works, one that refuses, one that hangs from the start or from the middle on.

A deadline of 10 s is what an unreachable W&B may cost a sweep in all, the import of the package apart.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.news import CellScored, CellStored
from orchestrator.results.rows import axes_of
from orchestrator.results.store import Store
from orchestrator.tracking import RunIdentity, WandbTracker, upload
from orchestrator.tracking.upload import answers
from tests.orchestrator import samples
from tests.orchestrator.tracking.conftest import KEY
from tests.orchestrator.tracking.offline_files import offline_files
from tests.orchestrator.tracking.wandb_server import WandbServer, serving

CELLS = samples.grid()
COST_SECONDS = 60.0  # far from what it takes, and from for ever


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    with serving() as found:
        point_wandb_at(found.url, monkeypatch)
        yield found


def point_wandb_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)


def identity(tmp_path: Path, cells_before: int = 0) -> RunIdentity:
    return RunIdentity("steering", "sample", tmp_path / "results", cells_before)


def track(tmp_path: Path, cells_before: int = 0, before_finish: Callable[[], object] = lambda: None) -> None:
    filled = tmp_path / "filled"
    store = Store(filled) if filled.exists() else samples.filled(filled, CELLS)
    store.compact()
    tracker = WandbTracker(identity(tmp_path, cells_before))
    for cell in CELLS:
        tracker.hear(CellStored(cell, samples.result_of(cell)))
        tracker.hear(CellScored(axes_of(cell), samples.labels_of(cell)))
    before_finish()
    tracker.finish({"cells_done": len(CELLS)}, store)


def cells_on_disk(tmp_path: Path) -> list[int]:
    """The cell numbers of all history rows that hold a cell; every record was written."""
    import wandb

    wandb.teardown()
    runs = offline_files(tmp_path / "results", identity(tmp_path).id)
    assert all(run.ended for run in runs)
    return [row["cell_number"] for run in runs for row in run.history if "seconds" in row]


def cells_sent(server: WandbServer) -> list[int]:
    return [row["cell_number"] for row in server.rows() if "seconds" in row]


def uploaders() -> list[psutil.Process]:
    """Processes of an upload: its own, W&B's command, W&B's service."""
    found = [one for one in psutil.process_iter(["cmdline"]) if any("offline-run-" in word for word in one.info["cmdline"] or ())]
    return [one for one in found if one.status() != psutil.STATUS_ZOMBIE]


def test_a_server_that_works_has_it_all_when_the_run_ends(
    server: WandbServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    track(tmp_path)
    assert cells_sent(server) == [1, 2, 3, 4, 5]
    assert {"name": identity(tmp_path).id, "project": "steering"}.items() <= server.upserted[0].items()
    assert "sample-results" in server.artifacts
    assert "wandb sync" not in caplog.text
    assert uploaders() == []


def test_a_resumed_sweep_goes_on_in_the_same_run(server: WandbServer, tmp_path: Path) -> None:
    track(tmp_path)
    track(tmp_path, cells_before=5)
    assert cells_sent(server) == list(range(1, 11))
    assert {variables["name"] for variables in server.upserted} == {identity(tmp_path).id}


def test_what_was_offline_is_sent_by_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    track(tmp_path)
    import wandb

    wandb.teardown()
    monkeypatch.delenv("WANDB_MODE")
    with serving() as server:
        point_wandb_at(server.url, monkeypatch)
        track(tmp_path, cells_before=5)
        assert cells_sent(server) == list(range(1, 11))


def test_a_refused_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    point_wandb_at("http://127.0.0.1:9", monkeypatch)
    assert_costs_little_and_loses_nothing(tmp_path, caplog)


def test_a_server_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as hanging:
        point_wandb_at(f"http://127.0.0.1:{hanging.getsockname()[1]}", monkeypatch)
        assert_costs_little_and_loses_nothing(tmp_path, caplog)


def test_a_server_that_falls_silent_in_the_middle(server: WandbServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def go_silent() -> None:
        wait_for(lambda: bool(server.upserted))
        server.silent.set()

    assert_costs_little_and_loses_nothing(tmp_path, caplog, go_silent)


def assert_costs_little_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, before_finish: Callable[[], object] = lambda: None
) -> None:
    started = time.monotonic()
    waited = 0.0

    def wait() -> None:
        nonlocal waited
        before = time.monotonic()
        before_finish()
        waited = time.monotonic() - before

    track(tmp_path, before_finish=wait)
    assert time.monotonic() - started - waited < COST_SECONDS
    assert cells_on_disk(tmp_path) == [1, 2, 3, 4, 5]
    assert "the run is not uploaded; to do it: wandb sync" in caplog.text
    assert KEY not in caplog.text
    assert uploaders() == []


def test_the_upload_ends_with_a_killed_driver(server: WandbServer, tmp_path: Path) -> None:
    """W&B itself would wait for the rest of the file for ever."""
    program = (
        "import os, signal, sys; from pathlib import Path; from orchestrator.tracking import RunIdentity, WandbTracker\n"
        "tracker = WandbTracker(RunIdentity('steering', 'sample', Path(sys.argv[1])))\n"
        "print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "results")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "up\n"
        wait_for(lambda: bool(uploaders()))
        os.kill(driver.pid, signal.SIGKILL)
    wait_for(lambda: not uploaders())


def test_an_answer_is_any_answer(server: WandbServer) -> None:
    assert answers(server.url)
    server.silent.set()
    assert not answers(server.url)
    assert not answers("http://127.0.0.1:9")
    assert not answers("not an address")


def test_the_wait_for_a_slow_server_is_bounded(server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers, but never takes the data: the end of the run waits as long as it is allowed to, and no longer."""
    monkeypatch.setattr(upload, "UPLOAD_SECONDS", 1.0)
    monkeypatch.setattr(WandbServer, "graphql", lambda self, name, variables: self.closing.wait())
    started = time.monotonic()
    track(tmp_path)
    assert time.monotonic() - started < COST_SECONDS
    assert cells_on_disk(tmp_path) == [1, 2, 3, 4, 5]
    assert uploaders() == []


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
