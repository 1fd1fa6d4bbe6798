"""Many finished cells are read by several processes: what comes of it is the same, and damage is moved away here alone."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator.processes import useful_processes
from orchestrator.results import finished_cells
from orchestrator.results.finished_cells import CellBatch, FinishedCells
from orchestrator.results.folder import Folder
from orchestrator.results.store import Store
from tests.orchestrator.samples import filled, grid


def read(root: Path, processes: int) -> list[CellBatch]:
    return list(FinishedCells(Folder(root), Store(root).planned()).batches(processes))


def test_several_processes_read_what_one_reads_and_leave_damage_to_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished_cells, "ROWS_PER_GROUP", 25)
    monkeypatch.setattr(finished_cells, "WORTH_PROCESSES", 1)
    filled(tmp_path, grid(multipliers=(1.0, 2.0, 3.0)))
    alone, beside = read(tmp_path, 1), read(tmp_path, 2)
    assert len(alone) == len(beside) > 1
    for one, other in zip(alone, beside, strict=True):
        assert (one.rows, one.succeeded, one.damaged) == (other.rows, other.succeeded, ())
        assert one.responses.equals(other.responses)
        assert one.scores.equals(other.scores)
        assert one.rates.equals(other.rates)
    victim = tmp_path / "responses" / f"{alone[0].rows[0].cell_id}.parquet"
    victim.write_bytes(b"damaged")
    again = read(tmp_path, 2)
    assert [batch.damaged for batch in again] == [(victim.stem,), *[()] * (len(again) - 1)]
    assert not victim.exists()
    assert [one.name for one in (tmp_path / "quarantine").iterdir() if one.name.startswith("responses")]


def test_a_script_of_somebody_s_own_starts_no_process_that_would_run_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ModuleType("__main__")
    script.__file__ = "mine.py"
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert useful_processes() == 1
    script.__spec__ = ModuleSpec("orchestrator.__main__", None)
    assert useful_processes() == min(os.cpu_count() or 1, 4)
