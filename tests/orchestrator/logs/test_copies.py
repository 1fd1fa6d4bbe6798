"""Logs beside results in object storage: copied while a driver runs, within bounds, and continued on another machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.logs import EntryReader, Journal, LogCopies, LogEntry, copies
from orchestrator.logs import journal as journal_module
from orchestrator.logs.showing import Feed
from orchestrator.results.folder import Folder
from orchestrator.results.store import Store
from orchestrator.storage import S3Url, StorageError
from tests.orchestrator.samples import grid, plan_of
from tests.orchestrator.storage.conftest import bucket, server  # noqa: F401
from tests.orchestrator.storage.s3_server import objects, wait_until

Machine = Callable[[str], Folder]


@pytest.fixture
def machine(bucket: S3Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:  # noqa: F811
    """The folder as a machine of that name sees it: each has a cache of its own."""

    def on(name: str) -> Folder:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return Folder(bucket)

    return on


def texts(folder: Folder) -> list[str]:
    return [entry.text for entry in EntryReader(folder.fetched_logs()).new()]


def drive(folder: Folder, *said: str) -> None:
    with LogCopies(folder) as kept, Journal(folder.logs, kept.fresh) as journal:
        for text in said:
            journal.write(LogEntry("note", text))


def test_a_run_is_seen_from_elsewhere_while_it_runs(machine: Machine, bucket: S3Url, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(copies, "EVERY_SECONDS", 0.05)
    Store(bucket).write_plan(plan_of(grid()))
    here, there = machine("here"), machine("there")
    with LogCopies(here) as kept, Journal(here.logs, kept.fresh) as journal:
        journal.write(LogEntry("note", "one"))
        wait_until(lambda: texts(there) == ["one"])
        monkeypatch.setattr("orchestrator.logs.showing.FETCH_SECONDS", 0.0)
        machine("there")
        feed = Feed(bucket, None, None, as_json=False)
        assert [line.split()[-1] for line in feed.last(5)] == ["one"]
        journal.write(LogEntry("note", "two"))
        found: list[str] = []

        def more() -> list[str]:
            found.extend(feed.more())
            return found

        wait_until(more)
        assert [line.split()[-1] for line in found] == ["two"]
    assert texts(there) == ["one", "two"]
    assert texts(here) == ["one", "two"]


def test_another_machine_continues_the_log_and_loses_none_of_it(machine: Machine) -> None:
    first, second = machine("first"), machine("second")
    drive(first, "1")
    drive(first, "2")
    drive(second, "3")
    drive(second, "4")
    drive(first, "5")
    assert texts(machine("third")) == texts(first) == ["1", "2", "3", "4", "5"]
    assert sorted(path.name for path in first.logs.iterdir()) == [f"events-{number:06d}.jsonl" for number in (1, 2, 3)]


def test_what_a_killed_driver_had_not_copied_is_not_lost(machine: Machine) -> None:
    first, second = machine("first"), machine("second")
    drive(first, "1")
    with Journal(first.logs) as journal:
        journal.write(LogEntry("note", "not copied"))
    drive(second, "3")
    drive(first, "4")
    assert texts(machine("third")) == ["1", "not copied", "3", "4"]


def test_old_files_go_there_as_here(machine: Machine, server: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(journal_module, "FILE_BYTES", 200)
    monkeypatch.setattr(journal_module, "FILES_KEPT", 3)
    folder = machine("here")
    with LogCopies(folder) as kept, Journal(folder.logs, kept.fresh) as journal:
        for number in range(12):
            journal.write(LogEntry("note", f"line {number} of some length that fills the file"))
            kept.copy()
    mine = sorted(path.name for path in folder.logs.iterdir())
    names = [name.rsplit("/", 1)[-1] for name in objects(server, f"{folder.place.prefix}/logs/")]  # type: ignore[union-attr]
    assert sorted(names) == mine
    assert len(mine) == 3


def test_only_what_changed_goes_up_and_not_too_often(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = machine("here")
    with LogCopies(folder) as kept:
        folder.logs.mkdir(parents=True)
        (folder.logs / "events-000001.jsonl").write_bytes(b"x" * 1000)
        (folder.logs / "driver.log").write_bytes(b"y" * 10)
        assert [kept.copy(), kept.copy()] == [1010, 0]
        (folder.logs / "driver.log").write_bytes(b"y" * 20)
        assert kept.copy() == 20
    waited: list[float] = []

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            return len(waited) > 2

    monkeypatch.setattr(kept, "_over", Clock())
    monkeypatch.setattr(kept, "copy", lambda: 16 * 2**20)
    kept._run()
    assert waited == [30.0, 64.0, 64.0], "16 MiB at a quarter of a MiB a second"


def test_a_network_that_is_away_ends_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(copies, "EVERY_SECONDS", 0.01)
    folder = machine("here")
    tried = threading.Event()

    def away(*_: object) -> None:
        tried.set()
        raise StorageError.of(ConnectionError("nobody answers"), "write", "there")

    with LogCopies(folder) as kept, Journal(folder.logs, kept.fresh) as journal:
        monkeypatch.setattr(folder.files, "write", away)
        journal.write(LogEntry("note", "kept here"))
        assert tried.wait(60)
    assert f"the logs stay in {folder.logs}" in caplog.text
    assert texts(folder) == ["kept here"]


def test_a_folder_on_a_disk_needs_no_copies(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    drive(folder, "one")
    assert [path.name for path in folder.logs.iterdir()] == ["events-000001.jsonl"]
    assert texts(folder) == ["one"]
