"""``kill -9`` before and after every system call of a write: a reader finds the old content or the new, never part of one."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.orchestrator.storage.writes import WRITES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs ptrace")

TABLES_EVERY = 37
"""Compacting makes hundreds of calls; a run of all of them is marked slow."""


def report(folder: Path, name: str, every: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.orchestrator.storage.kill_steps", str(folder), name, str(every)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    if "ptrace is not permitted" in done.stderr:
        pytest.skip("this machine does not permit ptrace")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(found: dict[str, Any], least: int) -> None:
    assert found["problems"] == []
    assert found["changed"], "the write changes what a reader sees"
    states = [state for state, _ in itertools.groupby(found["stops"])]
    assert states == ["old", "new"], "at one system call, and no other, the old content gives way to the new"
    assert len(found["stops"]) >= least, "open, write, fsync, rename and fsync of the folder have two stops each"


@pytest.mark.parametrize("name", [name for name in WRITES if name not in ("tables", "clear")])
def test_a_write(tmp_path: Path, name: str) -> None:
    check(report(tmp_path, name, 1), least=20)


def test_a_removal(tmp_path: Path) -> None:
    check(report(tmp_path, "clear", 1), least=2)


def tables(tmp_path: Path, every: int) -> None:
    """Each table is replaced by itself: rows are never fewer than before, and the last call completes them."""
    found = report(tmp_path, "tables", every)
    assert found["problems"] == []
    assert set(found["stops"]) <= {"old", "new", "mixed"}
    assert (found["stops"][0], found["stops"][-1]) == ("old", "new")


def test_tables(tmp_path: Path) -> None:
    tables(tmp_path, TABLES_EVERY)


@pytest.mark.slow
def test_tables_at_every_call(tmp_path: Path) -> None:
    tables(tmp_path, 1)
