"""``load_results``: frames of a finished folder, one in progress and one of an earlier version."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from actors.types import Direction
from orchestrator import load_results
from orchestrator.errors import InputError
from orchestrator.results.schema import CELLS, RESPONSES
from tests.orchestrator.samples import MODEL, cell, direction_set, filled, grid, plan_of, result_of
from tests.orchestrator.test_v0_1_0 import AT, WRITTEN


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_finished_folder(tmp_path: Path) -> None:
    filled(tmp_path, grid(), {(15, 8.0): (9, 1)}).compact()
    pq.write_table(pq.read_table(tmp_path / "cells.parquet").select(["cell_id"]), tmp_path / "mine.parquet")
    before = files(tmp_path)
    found = load_results(tmp_path)
    assert found.cells.columns == [*CELLS.schema.names, "layer"]
    assert found.cells["layer"].to_list() == [layers and layers[0] for layers in found.cells["layers"].to_list()]
    assert found.responses.columns == RESPONSES.schema.names
    best = found.cells.sort("success_rate", nulls_last=True).row(-1, named=True)
    assert (best["multiplier"], best["success_n"], best["layers"]) == (8.0, 9, list(range(15, 30)))
    counted = found.responses.group_by("cell_id").agg((pl.col("label") == "coherent_refusal").sum().alias("refusals"), pl.len())
    joined = found.cells.join(counted, on="cell_id")
    assert joined["refusals"].to_list() == joined["success_n"].to_list()
    assert set(joined["len"]) == {10}
    assert found.directions["vector"].dtype == pl.Array(pl.Float32, 4)
    assert np.array_equal(found.directions["vector"].to_numpy(), np.tile(np.eye(1, 4, dtype=np.float32), (30, 1)))
    assert found.transfer.is_empty()
    assert found.others["mine"].height == 5
    assert set(found.rates.group_by("cell_id", "scorer").agg(pl.col("k").sum())["k"]) == {10}
    assert found.scores.height == 2 * found.responses.height
    assert files(tmp_path) == before


def test_a_folder_in_progress_says_what_is_finished_and_is_left_as_it_is(tmp_path: Path) -> None:
    store = filled(tmp_path, grid()[:2])
    store.write_plan(plan_of(grid()))
    before = files(tmp_path)
    assert load_results(str(tmp_path)).cells["cell_id"].to_list() == [one.id for one in grid()[:2]]
    assert files(tmp_path) == before
    store.compact()
    later = grid()[2]
    store.write_responses(later, result_of(later), 1)
    before = files(tmp_path)
    found = load_results(tmp_path)
    assert found.cells.height == 3
    assert found.cells["success_n"].to_list() == [0, 0, None]
    assert found.responses.filter(cell_id=later.id)["label"].null_count() == 10
    assert files(tmp_path) == before


def test_a_damaged_part_is_left_out_and_left_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, grid())
    (tmp_path / "responses" / f"{grid()[1].id}.parquet").write_bytes(b"no parquet")
    before = files(tmp_path)
    assert load_results(tmp_path).cells["cell_id"].to_list() == [grid()[0].id, *(one.id for one in grid()[2:])]
    assert "damaged, left out" in caplog.text
    assert files(tmp_path) == before


def test_models_of_several_widths_have_their_directions_in_lists(tmp_path: Path) -> None:
    store = filled(tmp_path, [cell(15, 8.0), other := cell(15, 8.0, replace(MODEL, fingerprint="e" * 20), "wider")])
    assert other.steering is not None
    wide = replace(direction_set(), directions=tuple(Direction(n, np.full(16, 0.25, np.float32), 1.0) for n in range(30)))
    (tmp_path / "directions" / f"{other.steering.direction.id}.safetensors").unlink()
    store.write_direction(other.steering.direction, wide)
    vectors = load_results(tmp_path).directions["vector"]
    assert vectors.dtype == pl.List(pl.Float32)
    assert vectors.list.len().unique().sort().to_list() == [4, 16]


def test_a_folder_of_the_first_version(tmp_path: Path) -> None:
    shutil.copytree(WRITTEN / "out", tmp_path, dirs_exist_ok=True)
    before = files(tmp_path)
    found = load_results(tmp_path)
    layers = found.cells.select(pl.col("layers").list.first(), "multiplier").rows()
    assert layers == AT
    assert found.responses.height == 15
    assert found.directions["vector"].to_numpy().shape == (30, 576)
    assert np.linalg.norm(found.directions["vector"].to_numpy(), axis=1) == pytest.approx(1, abs=1e-5)
    assert files(tmp_path) == before


def test_what_is_no_results_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there are no such results"):
        load_results(tmp_path / "nothing")
    with pytest.raises(InputError, match="holds no plan"):
        load_results(tmp_path)


def test_importing_the_package_imports_no_polars() -> None:
    code = (
        "import sys, orchestrator; assert 'polars' not in sys.modules; orchestrator.load_results; assert 'polars' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


WAITING = """
import os, signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from orchestrator.results import frames
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
ended = threading.Timer(5, os._exit, (9,))
ended.daemon = True
ended.start()
threading.Event().wait()
"""


def test_ctrl_c_ends_a_wait_after_polars_was_imported() -> None:
    ended = subprocess.run([sys.executable, "-c", WAITING], stderr=subprocess.PIPE, text=True, check=False)
    assert "KeyboardInterrupt" in ended.stderr
