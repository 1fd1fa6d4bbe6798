"""Workers that die through Ray: killed, out of host memory, by a prompt that kills every worker that gets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.logs import EntryReader
from orchestrator.results.store import Store
from tests.orchestrator.cli.test_commands import ROOT, SWEEP, prompts

pytestmark = pytest.mark.ray


def ray_sweep(folder: Path, questions: dict[str, str]) -> Path:
    """A sweep over two workers of Ray, with a behavior for each question."""
    for name, text in questions.items():
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in prompts(text)))
    data: dict[str, Any] = yaml.safe_load(SWEEP.replace("MULTIPLIERS", "[4]"))
    data["behaviors"] = {name: {"file": f"{name}.jsonl"} for name in questions}
    (folder / "sweep.yaml").write_text(yaml.safe_dump({**data, "pool": {"kind": "ray", "workers": 2}}))
    return folder / "sweep.yaml"


def run(sweep: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The run in a process of its own, over fake workers, with a Ray of its own."""
    command = [sys.executable, "-m", "tests.fake_cli", "run", str(sweep)]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", **environment}
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def test_killed_workers_are_replaced_and_a_poisoned_prompt_fails_alone(tmp_path: Path) -> None:
    questions = {
        "calm": "Why is the sky blue?",
        "killed": f"[kill once {tmp_path / 'killed'}] Why?",
        "hog": f"[hog once {tmp_path / 'hog'}] Why?",
        "poison": "[die] Why?",
    }
    told = run(ray_sweep(tmp_path, questions))
    assert told.returncode == 1, told.stderr
    assert "6 of 8 cells done, 2 failed" in told.stdout
    assert "2 x poison: its worker died 3 times, at last while it ran alone: " in told.stdout
    store = Store(tmp_path / "out")
    assert {(one.kind, one.attempt >= 3, one.retryable) for one in store.failures()} == {("poison", True, False)}
    rows = store.cell_rows()
    assert {row.behavior for row in rows} == {"calm", "killed", "hog"}
    events = list(EntryReader(tmp_path / "out" / "logs").new())
    assert any(entry.event == "lost" for entry in events)
    assert [entry.details["kind"] for entry in events if entry.event == "attempt failed"].count("out_of_memory") >= 1
    retried = {entry.item for entry in events if entry.event == "retried"}
    assert {row.cell_id for row in rows if row.attempt > 1} <= retried, "every retry is in the log"
    assert any(row.attempt > 1 for row in rows), "and in the table"


def test_ray_s_memory_monitor_kills_and_is_quoted(tmp_path: Path) -> None:
    """The threshold is below what the machine uses anyway, so that every worker is killed while its answer waits."""
    calm = tmp_path / "calm"
    sweep = ray_sweep(tmp_path, {"calm": f"[wait {calm}] Why is the sky blue?"})
    told = run(sweep, RAY_memory_usage_threshold="0.001", RAY_memory_monitor_refresh_ms="100")
    assert told.returncode == 1, told.stderr
    assert "due to the node running low on memory" in told.stdout
    failures = Store(tmp_path / "out").failures()
    assert {one.kind for one in failures} <= {"model_load", "poison", "upstream"}
    assert all("running low on memory" in one.message for one in failures)
    calm.touch()
    assert run(sweep).returncode == 0, "a later run tries again by itself"
    assert len(Store(tmp_path / "out").done_cells()) == 2
