"""A watched pool gives the same events as the pool itself, writes them down, and knows what each worker does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from actors.boundary import Extract, Generate, Load, Task
from actors.types import Decoding, EngineOptions, ExtractionJob, GenerationJob, ModelSpec, Prompt, Resources
from actors.use import Use
from orchestrator.logs import EntryReader, Journal, WatchedPool
from orchestrator.pool import CellDone, Event, Failed, Pool, PoolOptions, Remarked, TaskDone, Used, WorkerLost
from orchestrator.pool.local import LocalPool


class Scripted:
    """A pool that gives the events it was made with, whatever it is asked to do."""

    def __init__(self, *events: Event) -> None:
        self.events = list(events)
        self.released: list[str] = []

    def workers(self) -> tuple[str, ...]:
        return ("w1",)

    def capacity(self, resources: Resources, avoid: Collection[str] = ()) -> int:
        return 3

    def wants(self, demand: Mapping[Resources, int]) -> None:
        pass

    def submit(self, worker: str, task: Task) -> None:
        pass

    def next_event(self, timeout: float | None) -> Event | None:
        return self.events.pop(0) if self.events else None

    def release(self, worker: str) -> None:
        self.released.append(worker)

    def close(self) -> None:
        pass


def watched(root: Path, pool: Pool) -> tuple[WatchedPool, list[str]]:
    told: list[str] = []
    return WatchedPool(pool, Journal(root), told.append), told


def load() -> Load:
    return Load("model-a", ModelSpec("folder", "fake"), EngineOptions(), Resources())


def generate(*texts: str) -> Generate:
    jobs = (GenerationJob(f"cell-{number}", (Prompt("p", text),), Decoding(8), None) for number, text in enumerate(texts))
    return Generate(tuple(jobs))


def outcomes(pool: WatchedPool, task: Task) -> Iterator[Event]:
    pool.submit("local", task)
    while not isinstance(event := pool.next_event(60), TaskDone | None):
        yield event


def log(root: Path) -> list[tuple[str, str]]:
    return [(entry.event, entry.item or ",".join(entry.items)) for entry in EntryReader(root).new()]


def test_what_a_worker_uses_is_remembered_and_goes_no_further(tmp_path: Path) -> None:
    scripted = Scripted(Used("w1", Use(100)), Used("w1", Use(200, gpu_allocated=7)), TaskDone("w1"), WorkerLost("w1", "killed"))
    pool, told = watched(tmp_path, scripted)
    pool.submit("w1", generate("hello"))
    seen = [pool.doing["w1"].use]
    assert pool.next_event(1) == TaskDone("w1")
    seen.append(pool.doing["w1"].use)
    pool.submit("w1", generate("again"))
    seen.append(pool.doing["w1"].use)
    assert seen == [None, *[Use(200, gpu_allocated=7)] * 2], "over tasks, until it says something newer"
    assert isinstance(pool.next_event(1), WorkerLost)
    assert "w1" not in pool.doing
    assert told == []
    assert [event for event, _ in log(tmp_path)] == ["submitted", "submitted", "lost"]


def test_what_is_handed_out_and_comes_back_is_written_down(tmp_path: Path) -> None:
    pool, _ = watched(tmp_path, LocalPool(PoolOptions(worker="tests.fakes:FakeWorker")))
    list(outcomes(pool, load()))
    extract = Extract(ExtractionJob("dir-1", (Prompt("h", "bad"),), (Prompt("g", "good"),), "dim"))
    list(outcomes(pool, extract))
    done, failed = outcomes(pool, generate("hello", "[job error]"))
    assert isinstance(done, CellDone)
    assert isinstance(failed, Failed)
    assert log(tmp_path) == [
        ("submitted", "model-a"),
        ("submitted", "dir-1"),
        ("extracted", "dir-1"),
        ("submitted", "cell-0,cell-1"),
        ("attempt failed", "cell-1"),
    ], "loads and cells are written down by the recorder's listener, when they are stored"


def test_it_knows_what_each_worker_does(tmp_path: Path) -> None:
    pool, _ = watched(tmp_path, LocalPool(PoolOptions(worker="tests.fakes:FakeWorker")))
    assert not pool.busy
    pool.submit("local", load())
    assert (pool.doing["local"].what, pool.doing["local"].variant) == ("load", "model-a")
    while not isinstance(pool.next_event(60), TaskDone):
        pass
    now = pool.doing["local"]
    assert (now.what, now.variant, bool(now.where)) == ("idle", "model-a", True)
    pool.submit("local", generate("one", "two"))
    pool.next_event(60)
    now = pool.doing["local"]
    assert (now.what, list(now.left), now.variant) == ("generate", ["cell-1"], "model-a")
    pool.release("local")
    assert pool.doing == {}


def test_what_a_worker_logs_is_told_and_kept_from_the_scheduler(tmp_path: Path) -> None:
    pool, told = watched(tmp_path, LocalPool(PoolOptions(worker="tests.fakes:FakeWorker")))
    list(outcomes(pool, load()))
    events = list(outcomes(pool, generate("[warn out of memory: going on with 16 slots]", "[warn hf_AbCdEfGhIjKl]")))
    assert not any(isinstance(event, Remarked) for event in events)
    assert [event for event in events if isinstance(event, CellDone)] == events
    assert told == ["local: out of memory: going on with 16 slots", "local: [HF_TOKEN]"]
    logged = [entry for entry in EntryReader(tmp_path).new() if entry.event == "log"]
    assert [(entry.worker, entry.text, entry.details["level"]) for entry in logged] == [
        ("local", "out of memory: going on with 16 slots", "WARNING"),
        ("local", "[HF_TOKEN]", "WARNING"),
    ]


def test_a_lost_worker_takes_what_it_had_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret-of-the-node")
    pool, _ = watched(tmp_path, Scripted(WorkerLost("w1", "killed: secret-of-the-node")))
    pool.submit("w1", generate("one", "two"))
    assert pool.next_event(1) == WorkerLost("w1", "killed: [HF_TOKEN]")
    assert log(tmp_path)[-1] == ("lost", "cell-0,cell-1")
    assert not pool.busy
    pool.submit("w1", generate("one"))
    assert ("retried", "cell-0") in log(tmp_path)


def test_no_failure_brings_a_secret_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "job error")
    pool, _ = watched(tmp_path, LocalPool(PoolOptions(worker="tests.fakes:FakeWorker")))
    list(outcomes(pool, load()))
    (failed,) = outcomes(pool, generate("[job error]"))
    assert isinstance(failed, Failed)
    assert failed.failure.message == "this cell fails on cue"
    monkeypatch.setenv("HF_TOKEN", "fails on cue")
    (failed,) = outcomes(pool, generate("[job error]"))
    assert isinstance(failed, Failed)
    assert failed.failure.message == "this cell [HF_TOKEN]"
    assert "fails on cue" not in failed.failure.traceback


def test_with_nothing_to_wait_for_it_does_not_spin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("orchestrator.logs.watched_pool.time.sleep", slept.append)
    pool, _ = watched(tmp_path, Scripted())
    assert pool.next_event(2.0) is None
    assert pool.next_event(0) is None
    pool.submit("w1", load())
    assert pool.next_event(2.0) is None
    assert slept == [1.0]
