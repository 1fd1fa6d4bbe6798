"""The soak's arithmetic on made-up readings, and its sweep; the soak itself is run by hand."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from benchmarks.soak import SHARES, Soak, document, table
from benchmarks.soak_memory import MEBIBYTE, REST, Reading, Series, Use, series_of, slope, uses_of
from benchmarks.soak_sweep import LAYERS, MODELS, write_sweep
from orchestrator.run import prepare

CELLS = 20_000


def series(own: Callable[[int], float], name: str = "driver", step: int = 100) -> Series:
    cells = tuple(range(step, CELLS + 1, step))
    return Series(name, cells, tuple(own(n) for n in cells), tuple(own(n) + 80 for n in cells))


def readings(own: Callable[[int], float], count: int = 201) -> list[Reading]:
    """A second each; the first before any cell, the last ones after all of them."""
    all_cells = [*(number * CELLS // (count - 1) for number in range(count)), CELLS, CELLS]
    return [reading(second, cells, own(cells)) for second, cells in enumerate(all_cells)]


def reading(second: float, cells: int, mib: float) -> Reading:
    use = Use(int((mib + 80) * MEBIBYTE), int(mib * MEBIBYTE))
    return Reading(second, cells, {"driver": use, "worker 7": use, REST: use})


def test_the_slope_of_a_line_is_exact() -> None:
    found = slope([(cells, 100 + 0.002 * cells) for cells in range(0, 10_000, 50)])
    assert found.per_thousand == pytest.approx(2.0)
    assert found.plus_minus == pytest.approx(0.0, abs=1e-9)


def test_the_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    """Readings that swing by several MiB, as a process does that now and then gives memory back."""
    draw, held = random.Random(5), 0
    for _ in range(300):
        found = slope([(cells, 100 + 0.0005 * cells + draw.gauss(0, 5)) for cells in range(0, 10_000, 20)])
        held += abs(found.per_thousand - 0.5) <= found.plus_minus
    assert 0.9 * 300 <= held <= 0.99 * 300


def test_too_few_readings_say_nothing() -> None:
    assert slope([(1, 10.0), (2, 20.0)]).high == math.inf
    assert slope([(5, 10.0)]).high == math.inf


def test_memory_at_a_share_is_the_median_near_it() -> None:
    found = series(lambda cells: 500.0 if cells == CELLS // 2 else cells / 1000)
    assert found.at(0.5) == pytest.approx(10.0, abs=0.11), "one odd reading among eight"
    assert found.at(1.0) == pytest.approx(19.8, abs=0.11)
    assert found.at(1.0, resident=True) == pytest.approx(99.8, abs=0.11)
    sparse = Series("driver", (100, 1000), (1.0, 2.0), (1.0, 2.0))
    assert sparse.at(0.3) == 1.0, "the nearest, where none is near"


@pytest.mark.parametrize(
    ("own", "verdict"),
    [
        (lambda cells: 200.0, "flat"),
        (lambda cells: 200.0 + 30 * min(1.0, cells / 4000), "flat"),  # warming up is no leak
        (lambda cells: 200.0 + 0.0015 * cells, "not flat"),
        (lambda cells: 200.0 + (20.0 if cells > 8000 else 0.0), "not flat"),  # a step: no slope, but growth
        (lambda cells: 200.0 - 0.0015 * cells, "flat"),
    ],
)
def test_verdicts(own: Callable[[int], float], verdict: str) -> None:
    assert series(own).verdict == verdict


def test_a_slope_that_is_not_known_well_enough_is_not_flat() -> None:
    draw = random.Random(1)
    assert series(lambda cells: 2000.0 + draw.gauss(0, 30), step=400).verdict == "not flat"


def test_only_the_time_between_the_first_cell_and_the_last_counts() -> None:
    found = {one.name: one for one in series_of(readings(lambda cells: 900.0 if cells in (0,) else 100.0))}
    assert list(found) == ["driver", "worker 7", REST]
    assert (found["driver"].cells[0], found["driver"].cells[-1], len(found["driver"].cells)) == (100, CELLS, 200)
    assert set(found["driver"].own) == {100.0}


def test_a_process_that_was_there_for_a_moment_has_no_series() -> None:
    some = readings(lambda cells: 100.0)
    late = [
        one if n < 150 else Reading(one.seconds, one.cells, {**one.uses, "worker 9": Use(1, 1)}) for n, one in enumerate(some)
    ]
    assert "worker 9" not in {one.name for one in series_of(late)}


def test_uses_are_those_of_the_processes() -> None:
    program = "import time; held = bytearray(50 << 20); print(1, flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = uses_of(psutil.Process(process.pid))
        for child in psutil.Process(process.pid).children():
            child.kill()
    assert set(found) == {"driver", REST}
    assert found["driver"].own < 50 * MEBIBYTE < found[REST].own <= found[REST].resident


def test_the_whole_is_flat_when_driver_and_workers_are_and_all_is_done() -> None:
    calm, leaking = readings(lambda cells: 100.0), readings(lambda cells: 100.0 + cells / 500)
    assert Soak(CELLS, CELLS, 0, 200.0, calm).verdict == "flat"
    assert Soak(CELLS, CELLS - 1, 1, 200.0, calm).verdict == "not flat"
    assert Soak(CELLS, CELLS, 0, 200.0, leaking).verdict == "not flat"
    no_worker = [Reading(one.seconds, one.cells, {"driver": one.uses["driver"]}) for one in calm]
    assert Soak(CELLS, CELLS, 0, 200.0, no_worker).verdict == "not flat", "nobody was watched"


def test_the_table_and_the_document_hold_the_same_figures() -> None:
    found = Soak(CELLS, CELLS, 0, 200.0, readings(lambda cells: 100.0 + cells / 10_000))
    console = Console(record=True, width=140)
    console.print(table(found))
    told = console.export_text()
    assert "20000 of 20000 cells in 200 s, 100 cells/s: flat" in told
    written = json.loads(json.dumps(document(found, {"cells": CELLS})))
    driver = written["processes"]["driver"]
    assert list(driver["own_mib"]) == [f"{share:g}" for share in SHARES]
    assert driver["slope_mib_per_1000_cells"]["per_thousand"] == pytest.approx(0.1, abs=0.002)
    assert f"{driver['own_mib']['1']:.1f}" in told
    assert len(written["readings"]) == 203


@pytest.mark.parametrize("cells", [300, 1000])
def test_the_sweep_has_the_cells_asked_for_and_hardly_more(tmp_path: Path, cells: int) -> None:
    plan = prepare(write_sweep(tmp_path, cells)).plan
    assert cells <= len(plan.cells) < cells + len(MODELS) * LAYERS * 3
    assert len({cell.id for cell in plan.cells}) == len(plan.cells)
    assert len(plan.models) == len(MODELS)
    assert {len(cell.prompts) for cell in plan.cells} == {2}
