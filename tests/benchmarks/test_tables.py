"""The benchmark of the tables: its folder is a finished sweep, and a step's cost is that of its process."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.simulation_workload import Size
from benchmarks.tables import make_folder, measured
from orchestrator.results.store import Store

HERE = Path(__file__).parents[2]


def test_its_folder_is_a_finished_sweep(tmp_path: Path) -> None:
    make_folder(tmp_path / "out", 36, 3, (Size(0.1, 10, 8, "L40S"),))
    summary = Store(tmp_path / "out").compact()
    assert (summary.cells, summary.unlabelled, summary.responses, summary.quarantined) == (36, 0, 108, ())
    assert not Store(tmp_path / "out").lacking()


def test_a_cost_is_that_of_the_process() -> None:
    idle = measured(HERE, "import time; time.sleep(1)")
    busy = measured(HERE, "held = bytearray(b'x') * 300_000_000; sum(range(10_000_000))")
    assert idle.seconds >= 1 > idle.processor
    assert busy.processor > idle.processor
    assert busy.megabytes > idle.megabytes + 250
    with pytest.raises(subprocess.CalledProcessError):
        measured(HERE, "raise SystemExit(3)")
