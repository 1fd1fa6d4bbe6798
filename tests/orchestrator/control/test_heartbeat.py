"""What a reader concludes from ``driver.json``, whatever state its driver was left in."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from actors.use import Use
from orchestrator.control.heartbeat import (
    SILENT_SECONDS,
    Beat,
    Rate,
    WorkerNow,
    condition,
    encode_beat,
    process_start,
    read_beat,
    told,
)

NOW = time.time()
HERE = Beat(os.getpid(), socket.gethostname(), NOW - 100, NOW, "running", "tiny", process_started=process_start(os.getpid()))
ELSEWHERE = replace(HERE, host="another-host", pid=1)


def test_a_beat_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "driver.json"
    use = Use(2**30, gpu_allocated=5, gpu_reserved=6, gpu_peak=7, gpu_total=80, gpu_busy=0.875)
    workers = (
        WorkerNow("w1", "generate", "model-1", 3, "cell-1", 4.5, "node-7"),
        WorkerNow("w2", "load", "model-1", 1, "", 4.5, use=use),
        WorkerNow("w3", "idle", "model-1", 0, "", 4.5, use=Use(10)),
    )
    beat = replace(
        HERE, heard=NOW, memory=2**28, retries=2, seconds_left=9.5, rates=(Rate("model-1", 100.0, None),), workers=workers
    )
    path.write_bytes(encode_beat(beat))
    assert read_beat(path) == beat


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 99}', b'{"version": 1}', b"\xff\xfe"])
def test_what_cannot_be_read_is_no_beat(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "driver.json"
    assert read_beat(path) is None
    path.write_bytes(content)
    assert read_beat(path) is None
    assert condition(None) == "no driver"


def test_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "driver.json"
    path.write_bytes(encode_beat(HERE).replace(b'"pid"', b'"colour": "blue", "pid"'))
    assert read_beat(path) == HERE
    busy = replace(HERE, workers=(WorkerNow("w1", "idle", "model-1", 0, "", 4.5, use=Use(10)),))
    later = encode_beat(busy).replace(b'"does"', b'"mood": "good", "does"').replace(b'"resident"', b'"swap": 3, "resident"')
    path.write_bytes(later)
    assert read_beat(path) == busy


def test_a_worker_of_an_earlier_version_says_nothing_of_its_memory(tmp_path: Path) -> None:
    path = tmp_path / "driver.json"
    content = json.loads(encode_beat(replace(HERE, workers=(WorkerNow("w1", "idle", "model-1", 0, "", 4.5),))))
    del content["workers"][0]["use"], content["memory"]
    path.write_text(json.dumps(content))
    beat = read_beat(path)
    assert beat is not None
    assert (beat.memory, beat.workers[0].use) == (None, None)


def test_a_process_that_runs_is_running_and_one_that_is_gone_is_dead() -> None:
    assert condition(HERE, NOW) == "running"
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    gone = replace(HERE, pid=process.pid)
    assert condition(gone, NOW) == "dead"
    assert "has ended without a word" in told(gone, NOW)


def test_another_process_with_the_same_number_is_not_the_driver() -> None:
    assert condition(replace(HERE, process_started=HERE.process_started - 500), NOW) == "dead"


def test_a_killed_driver_that_nobody_has_waited_for_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    beat = replace(HERE, pid=process.pid, process_started=process_start(process.pid))
    assert condition(beat, NOW) == "running"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended and is a zombie now
    assert condition(beat, NOW) == "dead"
    process.wait()


def test_of_another_machine_only_the_beats_are_known() -> None:
    assert condition(ELSEWHERE, NOW + 5) == "running"
    assert condition(ELSEWHERE, NOW + SILENT_SECONDS + 1) == "silent"
    assert "it may be dead, or cut off" in told(ELSEWHERE, NOW + 600)
    assert condition(ELSEWHERE, NOW - 3600) == "running", "a clock that is behind"


@pytest.mark.parametrize("state", ["finished", "interrupted", "too many failures", "refused", "stopped", "crashed"])
def test_a_driver_that_said_goodbye_has_ended(state: str) -> None:
    beat = replace(HERE, state=state, message="a reason")  # type: ignore[arg-type]
    assert condition(beat, NOW + 10_000) == "ended"
    assert told(beat, NOW).startswith(f"{state} (a reason): no driver is running")
