"""The pool on real clusters of several nodes, each in a process of its own that tells what it saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


def seen_by(script: str, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """What a script of this folder wrote down."""
    if " " in sys.executable:
        pytest.skip("on the nodes of a cluster Ray starts no worker whose Python lies in a path with a space")
    found = tmp_path / "seen.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-m", f"tests.orchestrator.pool.{script}", str(found), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    seen: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
    return seen


def check_two_kinds_of_machine(seen: dict[str, Any]) -> None:
    assert "_ray_pkg" in seen["actors come from"], "the driver's own package travels, whatever is installed there"
    assert seen["asked for by two drivers"] == [7, 2, 0], "the sum, then of the one that is heard of, then nothing"
    assert seen["a load elsewhere"] == [True, True, "model_load_here", True]
    assert seen["one kind"] == [3, 2, 0, 3], "two on the GPUs, one on the core that they leave"
    assert seen["two kinds"] == [5, 2, 1], "the machine that joined is used, beside the first"
    assert seen["all stand at once"] == [True] * 5
    placed, machine, message = seen["without room"]
    assert (placed, machine) == (False, "")
    assert "no machine had room for 1 CPUs and 1 A100 GPUs" in message
    assert len(seen["lost with the machine"]) == 3
    assert seen["left"] == [2, 0, 1]
    assert seen["the survivor works on"] >= 2
    arrived, in_time, words, nothing_more = seen["a head that hangs"]
    assert (arrived, in_time, nothing_more) == (True, True, True)
    assert "the head of the Ray cluster" in words
    assert "has not answered for" in words


@pytest.mark.ray
def test_machines_of_two_kinds_join_and_one_is_lost(tmp_path: Path) -> None:
    seen = seen_by("on_a_cluster", tmp_path)
    check_two_kinds_of_machine(seen)
    lost = seen["lost with the machine"]
    assert lost["worker-2"], "the one that loaded"
    assert sum(lost.values()) >= 2, "of one that generates Ray may tell before it knows of its machine"


@pytest.mark.slow
@pytest.mark.ray
def test_a_lost_machine_is_known_as_such_by_those_that_loaded_on_it_however_late_ray_finds_out(tmp_path: Path) -> None:
    seen = seen_by("on_a_cluster", tmp_path, "default")
    check_two_kinds_of_machine(seen)
    assert seen["lost with the machine"]["worker-2"], "the one that loaded"


@pytest.mark.slow
@pytest.mark.ray
def test_a_cluster_without_machines_grows_for_a_sweep_and_shrinks_after_it(tmp_path: Path) -> None:
    seen = seen_by("on_a_growing_cluster", tmp_path)
    assert (seen["machines before"], seen["most machines"]) == (0, 2), "one per model: more would not be worth the wait"
    assert (seen["cells"], seen["failures"]) == (300, 0)
    assert len(seen["hosts of models"]) == 2
    assert len(seen["asked for at the end of the work"]) <= 2
    assert seen["asked for after"] == []
    assert seen["seconds until all have gone"] < 120
