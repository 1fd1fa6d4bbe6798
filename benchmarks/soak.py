"""Does a long run keep its memory? As many tiny cells as a day of real ones, through the real command, Ray and worker.

``python -m benchmarks.soak --cells 20000 --json soak.json``. The models are random and tiny: what is measured is all that is
around them: driver, pool, store, journal, engine, caches.
"""

from __future__ import annotations

import json as as_json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from benchmarks.soak_memory import Reading, Series, series_of, uses_of
from benchmarks.soak_sweep import write_sweep

SCHEMA_VERSION = 1
SECONDS = 1.0
"""Between two readings."""

SHARES = (0.1, 0.25, 0.5, 1.0)
QUIET = {"RAY_ADDRESS": "local", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "WANDB_MODE": "offline"}
COLUMNS = ("process", *(f"MiB at {share:.0%}" for share in SHARES), "resident at 100%", "MiB / 1,000 cells", "growth", "verdict")


@dataclass(frozen=True)
class Soak:
    """What a run came to. ``seconds``: from its first cell to its last; ``readings``: of all processes, once a second."""

    planned: int
    done: int
    failed: int
    seconds: float
    readings: Sequence[Reading]

    @property
    def series(self) -> list[Series]:
        """The processes that were there throughout."""
        return series_of(self.readings)

    @property
    def verdict(self) -> str:
        """``flat`` when all cells are done and driver and workers are flat."""
        ours = [one.verdict for one in self.series if one.name.startswith(("driver", "worker"))]
        return "flat" if self.done == self.planned and len(ours) > 1 and set(ours) == {"flat"} else "not flat"


def soak(folder: Path, cells: int, workers: int, tracked: bool, console: Console) -> Soak:
    """Run the sweep in ``folder`` and watch it; RuntimeError when the command does not end with a summary."""
    sweep = write_sweep(folder, cells, tracked)
    command = [sys.executable, "-m", "orchestrator", "run", str(sweep), "--pool", "ray", "--workers", str(workers)]
    environment = {**os.environ, **QUIET, "RAY_TMPDIR": str(folder)}
    with (folder / "summary.json").open("wb") as out, (folder / "log.txt").open("wb") as log:
        run = subprocess.Popen([*command, "--quiet", "--json"], stdout=out, stderr=log, env=environment)
        with _ended(run):
            readings = list(_readings(run, folder / "results" / "responses", console))
    try:
        summary = as_json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise RuntimeError(f"the run ended with {run.returncode}: {(folder / 'log.txt').read_text()[-2000:]}") from error
    steady = [one.seconds for one in readings if 0 < one.cells < readings[-1].cells]
    planned, done, failed = (summary["cells"][key] for key in ("planned", "done", "failed"))
    return Soak(planned, done, failed, steady[-1] - steady[0] if steady else 0.0, readings)


def _readings(run: subprocess.Popen[bytes], labels: Path, console: Console) -> Iterator[Reading]:
    started, told, driver = time.monotonic(), 0.0, psutil.Process(run.pid)
    while run.poll() is None:
        now = time.monotonic()
        cells = sum(not one.name.startswith(".") for one in os.scandir(labels)) if labels.is_dir() else 0
        reading = Reading(now - started, cells, uses_of(driver))
        if "driver" in reading.uses:
            yield reading
        if now - told > 30:
            told = now
            console.print(f"{now - started:5.0f} s  {cells} cells", highlight=False)
        time.sleep(max(0.0, SECONDS - (time.monotonic() - now)))


@contextmanager
def _ended(run: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens here, the run is told to stop, and is waited for."""
    try:
        yield
    finally:
        if run.poll() is None:
            run.terminate()
            run.wait()


def table(found: Soak) -> Table:
    """One line per process: memory of its own at shares of the cells, and how it grows."""
    speed = found.done / found.seconds if found.seconds else 0.0
    shown = Table(
        title=f"soak: {found.done} of {found.planned} cells in {found.seconds:.0f} s, {speed:.0f} cells/s: {found.verdict}"
    )
    for name in COLUMNS:
        shown.add_column(name, justify="left" if name in ("process", "verdict") else "right")
    for one in found.series:
        shares = (f"{one.at(share):.1f}" for share in SHARES)
        slope = f"{one.slope.per_thousand:+.3f} ± {one.slope.plus_minus:.3f}"
        shown.add_row(one.name, *shares, f"{one.at(1.0, resident=True):.0f}", slope, f"{one.growth:+.1%}", one.verdict)
    return shown


def document(found: Soak, settings: dict[str, Any]) -> dict[str, Any]:
    """The JSON document; plain values only, every reading included."""
    return {
        "schema": SCHEMA_VERSION,
        "benchmark": "soak",
        "machine": describe(),
        "settings": settings,
        "cells": {"planned": found.planned, "done": found.done, "failed": found.failed},
        "seconds": found.seconds,
        "verdict": found.verdict,
        "processes": {
            one.name: {
                "own_mib": {f"{share:g}": one.at(share) for share in SHARES},
                "resident_mib": {f"{share:g}": one.at(share, resident=True) for share in SHARES},
                "slope_mib_per_1000_cells": asdict(one.slope),
                "growth_25_to_100": one.growth,
                "verdict": one.verdict,
            }
            for one in found.series
        },
        "readings": [asdict(one) for one in found.readings],
    }


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def main(
    cells: Annotated[int, typer.Option(min=300, help="At least so many cells.")] = 20_000,
    workers: Annotated[int, typer.Option(min=1, help="Workers, of one thread each.")] = 2,
    tracked: Annotated[bool, typer.Option("--tracked", help="With a W&B run on disk.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write the document here.")] = None,
) -> None:
    """Run the soak, print one table; exit code 1 when memory is not flat."""
    console = Console(width=max(130, Console().width))
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        found = soak(Path(folder), cells, workers, tracked, console)
    console.print(table(found))
    if json is not None:
        settings = {"cells": cells, "workers": workers, "tracked": tracked}
        json.write_text(as_json.dumps(document(found, settings), indent=1) + "\n", encoding="utf-8")
    raise typer.Exit(0 if found.verdict == "flat" else 1)


if __name__ == "__main__":
    app()
