"""Following and steering a run from other processes: the command line against a driver that runs."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.control.requests import Requests
from orchestrator.pool import POOLS
from orchestrator.results.folder import Folder
from orchestrator.results.store import Store
from tests.fake_cli import with_fake_worker
from tests.orchestrator.cli.test_commands import SLOW, start, write_sweep
from tests.orchestrator.samples import filled, grid

PATIENCE = 120.0


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in this process; the local pool's worker is a fake."""
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


def as_json(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def until(ask: Callable[[], Any], reached: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not reached(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def cells(root: Path) -> int:
    return len(list(root.glob("responses/*.parquet")))


@pytest.fixture
def detached(tmp_path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Starts a slow sweep in the background; whatever the test does, no driver is left."""
    pids: list[int] = []

    def begin(*more: str) -> dict[str, Any]:
        process = start("run", write_sweep(tmp_path, SLOW, texts=("[slow]",)), "--detach", "--json", *more)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        started: dict[str, Any] = json.loads(out)
        pids.append(started["pid"])
        return started

    yield begin
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.mark.parametrize("command", ["status", "score", "errors", "logs", "pause", "resume", "cancel", "refit"])
def test_a_sweep_file_that_has_not_run_is_bad_input(command: str, cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    told = cli(command, sweep)
    assert told.exit_code == 2
    assert told.stderr.count("error: ") == 1
    assert f"it has no results in {tmp_path / 'out'}: `run` it" in told.stderr
    assert [one.name for one in tmp_path.iterdir() if one.name == "out"] == []


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "words", [("status", "--watch", "--every"), ("logs", "--follow", "--every"), ("pause", "--wait")], ids=lambda words: words[0]
)
def test_seconds_are_finite(words: tuple[str, ...], number: str, cli: Callable[..., Result], tmp_path: Path) -> None:
    root = filled(tmp_path / "out", grid()[:1]).root
    told = cli(words[0], root, *words[1:], number)
    assert (told.exit_code, words[-1] in told.stderr) == (2, True), told.output


def test_a_run_is_detached_paused_resumed_and_cancelled_from_elsewhere(
    cli: Callable[..., Result], tmp_path: Path, detached: Callable[..., dict[str, Any]]
) -> None:
    out = tmp_path / "out"
    started = detached()
    assert started["state"] == "running"
    assert os.getsid(started["pid"]) == started["pid"], "it must outlive the terminal"

    def look() -> Any:
        return as_json(cli("status", out, "--json"))

    running = until(look, lambda found: found["cells"]["done"] >= 2)
    assert (running["state"], running["driver"]["pid"]) == ("running", started["pid"])
    assert [one["worker"] for one in running["workers"]] == ["local"]

    again = cli("run", tmp_path / "tiny.yaml", "--detach")
    assert again.exit_code == 2, "a driver holds the lock"
    assert str(started["pid"]) in again.stderr
    assert "`cancel`" in again.stderr

    asked = as_json(cli("pause", out, "--json"))
    assert (asked["asked"], asked["state"] in ("pausing", "paused")) == (True, True)
    paused = until(look, lambda found: found["state"] == "paused")
    assert paused["workers"][0]["does"] == "idle"
    assert 0 < cells(out) < 61
    assert "paused already" in cli("pause", out).output
    held = cells(out)
    assert "resumed" in cli("resume", out).output
    assert "not paused" in cli("resume", out).output
    until(lambda: cells(out), lambda count: count > held)

    assert "every finished cell is kept" in cli("cancel", out).output
    ended = look()
    assert (ended["state"], ended["workers"]) == ("interrupted", [])
    assert "cancel asked by" in ended["driver"]["message"]
    assert "nothing to cancel" in cli("cancel", out).output
    assert list((out / "control").iterdir()) == []
    log = (out / "logs" / "driver.log").read_text()
    assert "to continue run the same command" in log
    assert "paused: pause asked by" in log

    write_sweep(tmp_path, "[1.0, 1.1, 1.2]", texts=("[slow]",))
    finished = cli("run", tmp_path / "tiny.yaml", "--json")
    assert as_json(finished)["cells"]["done"] == 4
    events = [json.loads(line)["event"] for line in cli("logs", out, "--json", "-n", "10000").stdout.splitlines()]
    for event in ("started", "submitted", "loaded", "extracted", "done", "paused", "resumed", "cancelled", "ended"):
        assert event in events, event


def test_a_killed_driver_is_told_to_be_dead_and_stale_requests_stop_nobody(cli: Callable[..., Result], tmp_path: Path) -> None:
    out, sweep = tmp_path / "out", write_sweep(tmp_path, SLOW, texts=("[slow]",))
    process = start("run", sweep)
    until(lambda: cells(out), lambda count: count >= 2)
    process.kill()
    process.wait(timeout=PATIENCE)
    assert as_json(cli("status", out, "--json"))["state"] == "dead"
    assert "has ended without a word" in cli("status", out).output
    assert "nothing to pause" in cli("pause", out).output
    Requests(Folder(out).requests).ask("pause")
    Requests(Folder(out).requests).ask("cancel")

    write_sweep(tmp_path, "[1.0, 1.1, 1.2]", texts=("[slow]",))
    assert as_json(cli("run", sweep, "--json"))["cells"]["done"] == 4
    logged = [json.loads(line) for line in cli("logs", out, "--json").stdout.splitlines()]
    assert sum("meant for an earlier run" in entry["text"] for entry in logged) == 2


def test_detach_tells_why_a_driver_ended_at_once(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    process = start("run", sweep, "--detach", "--pool", "ray", RAY_ADDRESS="nonsense")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, err
    assert "the driver ended at once" in err
    assert "RAY_ADDRESS=local" in err
    found = as_json(cli("status", tmp_path / "out", "--json"))
    assert (found["state"], "RAY_ADDRESS=local" in found["driver"]["message"]) == ("refused", True)
    assert cli("run", tmp_path / "nowhere.yaml", "--detach").exit_code == 2


def test_watch_shows_it_until_the_driver_has_ended(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, "[1, 2, 4, 8]", texts=("[slow]", "b [slow]", "c [slow]"))
    run = start("run", sweep)
    until(lambda: cells(tmp_path / "out"), lambda count: count >= 1)
    watch = start("status", tmp_path / "out", "--watch", "--json", "--every", "0.2")
    out, err = watch.communicate(timeout=PATIENCE)
    assert watch.returncode == 0, err
    run.communicate(timeout=PATIENCE)
    shown = [json.loads(line) for line in out.splitlines()]
    assert shown[-1]["state"] == "finished"
    assert shown[-1]["cells"]["done"] == 5


def test_follow_goes_on_with_what_happens(tmp_path: Path, cli: Callable[..., Result]) -> None:
    cli("run", write_sweep(tmp_path))
    out = tmp_path / "out"
    follow = start("logs", out, "--follow", "--json", "-n", "1", "--every", "0.2")
    assert follow.stdout is not None
    assert json.loads(follow.stdout.readline())["event"] == "ended", "the last event of the first run"
    cli("run", write_sweep(tmp_path, "[1, 4, 8, 3]"))
    told = [json.loads(follow.stdout.readline())["event"]]
    while told[-1] != "ended":
        told.append(json.loads(follow.stdout.readline())["event"])
    assert told == ["started", "submitted", "loaded", "submitted", "done", "scored", "ended"]
    os.killpg(follow.pid, signal.SIGINT)
    follow.communicate(timeout=PATIENCE)
    assert follow.returncode == 0


def test_errors_and_retry_by_kind(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, texts=("[job error]",))
    assert cli("run", sweep).exit_code == 1
    out = tmp_path / "out"
    listed = cli("errors", out).output
    assert listed.startswith("4 failures:\n  4 x job: this cell fails on cue (small refusal unsteered, cell-")
    found = as_json(cli("errors", out, "--filter", "multiplier=4", "--json"))
    assert (found["total"], [one["name"] for one in found["failures"]]) == (4, ["small refusal layer 3 x4"])
    assert cli("retry", out, "--list", "--kind", "job").output == listed
    assert cli("errors", out, "--kind", "nothing").exit_code == 2

    retried = cli("retry", out, "--failed", "--filter", "multiplier=4", "--json")
    assert retried.exit_code == 1, "it fails again"
    assert "1 failure cleared of 4" in retried.stderr
    assert json.loads(retried.stdout)["cells"]["failed"] == 4

    history = cli("logs", out, "multiplier=4").output
    assert history.count("attempt failed") == 2, "both runs"
    assert "JobError: this cell fails on cue" in history
    assert as_json(cli("logs", out, "multiplier=4", "--json"))["state"] == "failed"
    assert Store(out).failures()[0].kind == "job"


def test_attempts_that_are_repeated_are_counted(cli: Callable[..., Result], tmp_path: Path) -> None:
    cli("run", write_sweep(tmp_path, texts=("[warn short of memory][raise]",)))
    out = tmp_path / "out"
    assert as_json(cli("status", out, "--json"))["retries"] == 4
    history = as_json(cli("logs", out, "multiplier=8", "--json"))
    events = [entry["event"] for entry in history["events"] if entry["event"] != "loaded"]
    assert events[0] == "submitted"
    assert "retried" in events
    assert events[-1] == "failed"
    assert any(entry["event"] == "log" and entry["text"] == "short of memory" for entry in history["events"])


@pytest.mark.parametrize("command", ["status", "errors", "logs", "pause", "resume", "cancel"])
def test_what_is_no_results_folder_is_bad_input(cli: Callable[..., Result], tmp_path: Path, command: str) -> None:
    told = cli(command, tmp_path / "nowhere")
    assert told.exit_code == 2
    assert "there are no such results" in told.stderr
    assert not (tmp_path / "nowhere").exists()
