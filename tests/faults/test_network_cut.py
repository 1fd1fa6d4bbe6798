"""The network to the object storage is cut while a sweep runs: the driver waits and goes on, or stops; nothing is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.pool import POOLS
from orchestrator.results.store import Store
from orchestrator.storage import S3Url, lease, objects
from tests.fake_cli import with_fake_worker
from tests.orchestrator.cli.test_commands import write_sweep
from tests.orchestrator.storage.conftest import bucket, server  # noqa: F401
from tests.orchestrator.storage.s3_server import Fault, Faults, Request, faulty

CELLS = "[" + ", ".join(f"{1 + number / 10:.1f}" for number in range(9)) + "]"


@pytest.fixture
def network(server: str, bucket: S3Url, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:  # noqa: F811
    """What lies between the driver and the storage. A request is tried once, so that the waiting is the driver's own."""
    monkeypatch.setattr(objects, "ATTEMPTS", 1)
    monkeypatch.setattr(objects, "LONGEST_PAUSE", 0.1)
    with faulty(server) as faults:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faults.url)
        yield faults


@pytest.fixture
def run(bucket: S3Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Result]:  # noqa: F811
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
    sweep = write_sweep(tmp_path, CELLS)
    return lambda: CliRunner().invoke(app, ["run", str(sweep), "--results", str(bucket), "--json"])


class Cut:
    """From the n-th response on every connection breaks, until ``heal`` is called."""

    def __init__(self, after: int) -> None:
        self._left = after
        self._healed = threading.Event()
        self.broken = 0

    def heal(self) -> None:
        self._healed.set()

    def __call__(self, request: Request) -> Fault | None:
        self._left -= request[0] == "PUT" and "/responses/" in request[1]
        if self._left >= 0 or self._healed.is_set():
            return None
        self.broken += 1
        if self.broken == 10:
            threading.Timer(0.5, self.heal).start()
        return "drop before"


def test_a_driver_waits_and_goes_on(
    run: Callable[[], Result],
    network: Faults,
    bucket: S3Url,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    network.choose = cut = Cut(after=4)
    told = run()
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["cells"] == {"planned": 10, "done": 10, "failed": 0, "ran": 10}
    assert cut.broken >= 10
    assert "does not answer; asking again" in caplog.text
    store = Store(bucket)
    assert len(store.done_cells()) == len(store.labelled_cells()) == 10


def test_a_network_that_stays_away_ends_the_run_in_words_and_the_next_one_redoes_what_was_not_stored(
    run: Callable[[], Result],
    network: Faults,
    bucket: S3Url,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(objects, "PATIENCE_SECONDS", 0.5)
    network.choose = cut = Cut(after=4)
    monkeypatch.setattr(cut, "heal", lambda: None)
    told = run()
    assert told.exit_code == 3
    assert "cannot write responses/" in told.stderr
    assert "Every finished cell is kept" in told.stderr
    assert "run the same command again" in told.stderr
    network.choose = lambda _: None
    store = Store(bucket)
    kept = {cell: store.read_responses(cell) for cell in store.done_cells()}
    assert 1 <= len(kept) <= 4
    monkeypatch.setattr(lease, "_is_dead", lambda _: True)  # as the driver's process would be: here it is this one
    again = run()
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["cells"] == {"planned": 10, "done": 10, "failed": 0, "ran": 10 - len(kept)}
    assert {cell: store.read_responses(cell) for cell in kept} == kept
    assert len(store.labelled_cells()) == 10
