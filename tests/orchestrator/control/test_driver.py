"""A driver's heartbeat and its obedience, without a sweep: the thread against the files in a folder."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.types import ModelInfo, Resources
from orchestrator.control import driver as module
from orchestrator.control.driver import Driver
from orchestrator.control.heartbeat import Beat, condition, read_beat, told
from orchestrator.control.requests import Requests
from orchestrator.errors import InputError, Problem
from orchestrator.logs import EntryReader, Journal
from orchestrator.news import News, Noted
from orchestrator.plan import Plan
from orchestrator.results.folder import Folder
from orchestrator.scheduling.board import Board
from orchestrator.scheduling.fleet import Fleet
from orchestrator.storage import StoredFile
from tests.orchestrator.samples import grid, plan_of

PATIENCE = 60.0


@dataclass
class Scene:
    folder: Folder
    driver: Driver
    cancelled: threading.Event
    told: list[News]

    def beat(self) -> Beat:
        found = read_beat(self.folder.driver)
        assert found is not None
        return found

    def until(self, reached: Callable[[Beat], bool]) -> Beat:
        deadline = time.monotonic() + PATIENCE
        while not reached(self.beat()):
            assert time.monotonic() < deadline, self.beat()
            time.sleep(0.02)
        return self.beat()

    def events(self) -> list[str]:
        return [entry.event for entry in EntryReader(self.folder.logs).new()]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.02)


@contextmanager
def driving(root: Path) -> Iterator[Scene]:
    folder, cancelled = Folder(root), threading.Event()
    root.mkdir(exist_ok=True)
    with Journal(folder.logs) as journal, Driver(folder, "sample", journal, cancelled.set) as driver:
        yield Scene(folder, driver, cancelled, [])


@dataclass
class Progress:
    plan: Plan
    board: Board


def watched(scene: Scene) -> Board:
    plan = plan_of(grid())
    board = Board(plan)
    scene.driver.watch(Progress(plan, board), scene.told.append)
    return board


def test_it_beats_from_the_start_to_the_end(tmp_path: Path) -> None:
    with driving(tmp_path) as scene:
        first = scene.beat()
        assert (first.state, first.sweep) == ("starting", "sample")
        scene.until(lambda beat: beat.time > first.time)
        assert condition(scene.beat()) == "running"
        watched(scene)
        running = scene.until(lambda beat: beat.state == "running")
        assert [rate.variant for rate in running.rates] == [model.variant for model in plan_of(grid()).models]
    assert scene.beat().state == "finished"
    assert scene.events() == ["started", "ended"]


def test_pause_waits_for_what_runs_and_resume_goes_on(tmp_path: Path) -> None:
    with driving(tmp_path) as scene:
        board = watched(scene)
        cell = board[grid()[0].id]
        fleet = Fleet(board.slots, lambda variant: Resources())
        fleet.meet(["local"])
        (slot,) = fleet.idle()
        fleet.assign(slot, cell.variant)
        fleet.loaded(slot, ModelInfo(8, 4, "fake", "float32", "cpu", 4, 5.0, "template", {"host": "node-1"}))
        board.start([cell], "local")
        fleet.start(slot, "generate")
        requests = Requests(scene.folder.requests)
        requests.ask("pause")
        pausing = scene.until(lambda beat: beat.state == "pausing")
        assert scene.driver.paused()
        (now,) = pausing.workers
        assert (now.worker, now.does, now.model, now.item, now.items) == ("local", "generate", cell.variant, cell.id, 1)
        assert now.host == "node-1"
        assert "pause asked by" in pausing.message
        board.finish(cell.id)
        fleet.free(slot)
        scene.until(lambda beat: beat.state == "paused")
        requests.withdraw("pause")
        scene.until(lambda beat: beat.state == "running")
        assert not scene.driver.paused()
    assert [event for event in scene.events() if event in ("paused", "resumed")] == ["paused", "resumed"]
    assert isinstance(scene.told[0], Noted)
    assert scene.told[0].text.startswith("paused: pause asked by")


def test_cancel_is_obeyed_once_and_its_file_is_gone_at_the_end(tmp_path: Path) -> None:
    with driving(tmp_path) as scene:
        Requests(scene.folder.requests).ask("cancel")
        assert scene.cancelled.wait(PATIENCE)
        assert "cancel asked by" in scene.driver.why_cancelled
        scene.driver.ended("interrupted", scene.driver.why_cancelled)
    last = scene.beat()
    assert last.state == "interrupted"
    assert "cancel asked by" in last.message
    assert scene.events().count("cancelled") == 1
    assert Requests(scene.folder.requests).asked("cancel") is None


def test_requests_of_an_earlier_run_are_withdrawn_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    requests = Requests(Folder(tmp_path).requests)
    requests.ask("pause")
    requests.ask("cancel")
    with driving(tmp_path) as scene:
        scene.until(lambda beat: beat.time > beat.started)
        assert not scene.driver.paused()
        assert not scene.cancelled.is_set()
    assert caplog.text.count("meant for an earlier run") == 2
    assert [entry.event for entry in EntryReader(scene.folder.logs).new()].count("log") == 2


def test_a_crash_is_the_last_word_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-very-secret-token")
    with pytest.raises(RuntimeError), driving(tmp_path):
        raise RuntimeError("refused a-very-secret-token\nsecond line")
    beat = read_beat(Folder(tmp_path).driver)
    assert beat is not None
    assert (beat.state, beat.message) == ("crashed", "RuntimeError: refused [HF_TOKEN]")


NO_GPU = InputError(Problem("models.a.gpus", 1, "no GPU here", "gpus: 0"), Problem("models.b.gpus", 1, "no GPU here", "gpus: 0"))


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (NO_GPU, "refused", "models.a.gpus: no GPU here (got 1); allowed: gpus: 0 (and 1 more)"),
        (InputError.because("no cluster there"), "refused", "no cluster there"),
        (OSError(28, "No space left on device"), "stopped", "No space left on device"),
        (MemoryError(), "stopped", "there is not enough memory; give it more, or raise its limit (ulimit -v)"),
    ],
)
def test_what_cannot_be_run_is_no_crash(tmp_path: Path, error: Exception, state: str, message: str) -> None:
    with pytest.raises(type(error)), driving(tmp_path):
        raise error
    beat = read_beat(Folder(tmp_path).driver)
    assert beat is not None
    assert (beat.state, beat.message) == (state, message)
    assert told(beat).startswith(f"{state} ({message})")
    (ended,) = [entry for entry in EntryReader(Folder(tmp_path).logs).new() if entry.event == "ended"]
    assert bool(ended.details) != isinstance(error, InputError)


def test_a_full_disk_stops_neither_the_thread_nor_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = threading.Event()
    tried = threading.Event()
    real = StoredFile.write_bytes

    def write(file: StoredFile, content: bytes) -> None:
        if full.is_set():
            tried.set()
            raise OSError(28, "No space left on device")
        real(file, content)

    monkeypatch.setattr(StoredFile, "write_bytes", write)
    with driving(tmp_path) as scene:
        full.set()
        assert tried.wait(PATIENCE)
        before = scene.beat()
        full.clear()
        scene.until(lambda beat: beat.time > before.time)
    assert scene.beat().state == "finished"


def test_the_file_is_always_whole(tmp_path: Path) -> None:
    with driving(tmp_path) as scene:
        for _ in range(300):
            assert json.loads(scene.folder.driver.read_bytes())["version"] == 1


def test_cut_off_from_its_folder_a_paused_driver_stays_paused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    def away(self: Requests, name: str) -> None:
        asked.set()
        raise OSError(101, "Network is unreachable")

    with driving(tmp_path) as scene:
        watched(scene)
        Requests(scene.folder.requests).ask("pause")
        scene.until(lambda beat: beat.state == "paused")
        monkeypatch.setattr(Requests, "asked", away)
        assert asked.wait(PATIENCE)
        before = scene.beat()
        scene.until(lambda beat: beat.time > before.time)
        assert scene.driver.paused()
    assert scene.beat().state == "finished"
