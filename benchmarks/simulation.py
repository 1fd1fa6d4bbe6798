"""How well the scheduler uses a cluster, by simulation: the real scheduler, virtual time.

``python -m benchmarks.simulation --json simulation.json``. Nothing is computed: workers only take their time, and die.
"""

from __future__ import annotations

import json as as_json
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console
from rich.table import Table

from actors.boundary import Task
from actors.types import CellResult, DirectionSet, Failure, Resources, Response
from benchmarks.simulation_bound import lower_bound
from benchmarks.simulation_cluster import Cluster, SimulatedPool
from benchmarks.simulation_workload import SIZES, Size, Workload, make_workload
from orchestrator.cells import Cell, DirectionSpec
from orchestrator.pool import Event
from orchestrator.scheduler import Scheduler, Settings
from orchestrator.scheduling.board import Board
from orchestrator.scoring.score import Kept

SCHEMA_VERSION = 1
MEBIBYTE = 2**20
MOST_MS_PER_CELL = 1.0
COLUMNS = (
    *("scenario", "cells", "GPUs", "makespan s", "bound s", "ratio", "verdict"),
    *("loads/variant", "deaths", "driver ms/cell", "MiB"),
)


@dataclass(frozen=True)
class Scenario:
    """One line of the table. ``most``: the ratio of makespan to lower bound that must not be exceeded (None: none is set);
    ``most_loads``: the same for the loads of any variant."""

    name: str
    cells: int
    cluster: Cluster
    transfer: bool = False
    sizes: tuple[Size, ...] = SIZES
    most: float | None = None
    most_loads: int | None = None

    @property
    def gpus(self) -> int:
        """GPUs, those that join later included."""
        return sum(self.cluster.gpus.values()) + sum(self.cluster.joining.values())


@dataclass(frozen=True)
class Outcome:
    """What one scenario came to. Times of the cluster in virtual seconds, of the driver in seconds of its processor; ``memory``:
    resident bytes of this process before the board was made, then after every so many results."""

    makespan: float
    bound: float
    loads: Mapping[str, int]
    deaths: int
    planned: int
    done: int
    failures: int
    written_twice: int
    driver_seconds: float
    memory: tuple[int, ...]

    @property
    def ratio(self) -> float:
        """Makespan over lower bound."""
        return self.makespan / self.bound

    @property
    def growth(self) -> int:
        """Bytes by which the process grew from its first tenth of results to its largest."""
        return max(self.memory) - self.memory[len(self.memory) // 10]


@dataclass
class Meter:
    """Seconds of this thread's processor time spent inside what is not the scheduler."""

    outside: float = 0.0

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Around what does not count."""
        started = time.thread_time()
        try:
            yield
        finally:
            self.outside += time.thread_time() - started


class MeteredPool:
    """A simulated pool whose own time is not counted as the scheduler's."""

    def __init__(self, pool: SimulatedPool, meter: Meter) -> None:
        self._pool, self._meter = pool, meter

    def workers(self) -> tuple[str, ...]:
        """As the pool."""
        with self._meter.pause():
            return self._pool.workers()

    def capacity(self, resources: Resources, avoid: Collection[str] = ()) -> int:
        """As the pool."""
        return self._pool.capacity(resources, avoid)

    def wants(self, demand: Mapping[Resources, int]) -> None:
        """As the pool."""
        self._pool.wants(demand)

    def submit(self, worker: str, task: Task) -> None:
        """As the pool."""
        with self._meter.pause():
            self._pool.submit(worker, task)

    def next_event(self, timeout: float | None) -> Event | None:
        """As the pool."""
        with self._meter.pause():
            return self._pool.next_event(timeout)

    def release(self, worker: str) -> None:
        """As the pool."""
        with self._meter.pause():
            self._pool.release(worker)

    def close(self) -> None:
        """As the pool."""


@dataclass
class Notebook:
    """Records that count and forget. ``written``: how often each item's result was recorded."""

    workload: Workload
    meter: Meter
    written: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Failure] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)
    every: int = 1000
    threads: int = 0

    def direction(self, spec: DirectionSpec, found: DirectionSet) -> None:
        """Count it."""
        self.written[spec.id] += 1

    def read_direction(self, direction_id: str) -> DirectionSet | None:
        """What would lie in the results folder."""
        return self.workload.directions.get(direction_id)

    def begin(self, cell: Cell, result: CellResult, attempt: int) -> Future[Any]:
        """Nothing is begun without threads."""
        raise NotImplementedError

    def cell(self, cell: Cell, result: CellResult, attempt: int) -> None:
        """Count it; look at the memory now and then."""
        with self.meter.pause():
            self.written[cell.id] += 1
            if len(self.written) % self.every == 0:
                self.memory.append(psutil.Process().memory_info().rss)

    def read_cell(self, cell_id: str) -> Sequence[Response] | None:
        """Nobody reads them."""
        return None

    def analysis(self, kind: str, item_id: str, content: bytes) -> None:
        """There are none."""

    def read_analysis(self, kind: str, item_id: str) -> bytes | None:
        """There are none."""
        return None

    def judgements(self, scorer: str) -> Kept:
        """There are none."""
        return {}

    def failure(self, failure: Failure) -> None:
        """Keep it."""
        self.failures[failure.item_id] = failure


def simulate(scenario: Scenario, seed: int = 0) -> Outcome:
    """Run one scenario to its end."""
    workload = make_workload(scenario.cells, seed, scenario.transfer, sizes=scenario.sizes)
    pool, meter = SimulatedPool(workload, scenario.cluster, seed), Meter()
    notebook = Notebook(workload, meter, memory=[psutil.Process().memory_info().rss])
    started = time.thread_time()
    board = Board(workload.plan)
    settings = Settings(clock=lambda: pool.now)
    Scheduler(workload.plan, board, MeteredPool(pool, meter), notebook, settings).run()
    spent = time.thread_time() - started - meter.outside
    power = {kind: pool.power.get(kind, 0) + scenario.cluster.joining.get(kind, 0) for kind in scenario.cluster.gpus}
    return Outcome(
        makespan=pool.now,
        bound=lower_bound(workload, power),
        loads={model.name: pool.loads[model.variant] for model in workload.plan.models},
        deaths=pool.deaths,
        planned=len(board.items),
        done=len(notebook.written),
        failures=len(notebook.failures),
        written_twice=sum(count > 1 for count in notebook.written.values()),
        driver_seconds=spent,
        memory=tuple(notebook.memory),
    )


def scenarios(cells: int, gpus: int) -> tuple[Scenario, ...]:
    """The questions that are asked of a cluster of ``gpus`` (seven tenths of them the larger kind), and of one GPU."""
    large = max(1, round(0.7 * gpus))
    whole = Cluster({"A100-80G": large, "L40S": max(1, gpus - large)}, answer_bytes=20_000)
    half = {kind: count - count // 2 for kind, count in whole.gpus.items()}
    later = {kind: count // 2 for kind, count in whole.gpus.items()}
    one_kind = tuple(size for size in SIZES if size.accelerator == "L40S")
    return (
        Scenario("nothing fails", cells, whole, most=1.05),
        Scenario("1 % of the GPUs die per hour", cells, replace(whole, deaths_per_hour=0.01), most=1.15),
        Scenario("30 % of the GPUs die per hour", cells, replace(whole, deaths_per_hour=0.3)),
        Scenario("half of the GPUs join over 10 min", cells, replace(whole, gpus=half, joining=later)),
        Scenario("a tenth are transfers", cells, whole, transfer=True),
        Scenario("engines run empty: 0.25 fills a task", cells, replace(whole, emptying=0.25)),
        Scenario("one GPU", max(20, cells // 200), Cluster({"L40S": 1}, slow_share=0), sizes=one_kind, most_loads=1),
    )


def document(runs: Sequence[tuple[Scenario, Outcome]], seed: int) -> dict[str, Any]:
    """The JSON document; plain values only."""
    from benchmarks.machine import describe  # imports torch

    return {
        "schema": SCHEMA_VERSION,
        "benchmark": "simulation",
        "machine": describe(),
        "settings": {"seed": seed, "most_driver_ms_per_cell": MOST_MS_PER_CELL},
        "scenarios": [
            {**asdict(scenario), **asdict(outcome), "ratio": outcome.ratio, "driver_ms_per_cell": _ms_per_cell(scenario, outcome)}
            for scenario, outcome in runs
        ],
    }


def table(runs: Sequence[tuple[Scenario, Outcome]]) -> Table:
    """One line per scenario. Verdicts where there is a target."""
    made = Table(title="simulation: the real scheduler in virtual time")
    for column in COLUMNS:
        made.add_column(column, justify="left" if column in ("scenario", "verdict") else "right")
    for scenario, outcome in runs:
        loads = outcome.loads.values()
        made.add_row(
            scenario.name,
            str(scenario.cells),
            str(scenario.gpus),
            f"{outcome.makespan:.0f}",
            f"{outcome.bound:.0f}",
            f"{outcome.ratio:.3f}",
            verdict(scenario, outcome),
            f"{min(loads)}-{max(loads)}",
            str(outcome.deaths),
            f"{_ms_per_cell(scenario, outcome):.2f}",
            f"{outcome.memory[0] / MEBIBYTE:.0f} +{outcome.growth / MEBIBYTE:.0f}",
        )
    return made


def verdict(scenario: Scenario, outcome: Outcome) -> str:
    """What was missed, or that nothing was."""
    missed = []
    if scenario.most is not None and outcome.ratio > scenario.most:
        missed.append(f"> {scenario.most}")
    if scenario.most_loads is not None and max(outcome.loads.values()) > scenario.most_loads:
        missed.append("loads")
    if _ms_per_cell(scenario, outcome) > MOST_MS_PER_CELL:
        missed.append("driver")
    if outcome.done != outcome.planned or outcome.written_twice:
        missed.append("items")
    if missed:
        return f"missed ({', '.join(missed)})"
    return "-" if scenario.most is None and scenario.most_loads is None else f"met (<= {scenario.most or scenario.most_loads})"


app = typer.Typer(add_completion=False)


@app.command()
def main(
    json: Annotated[Path | None, typer.Option(help="write the figures here")] = None,
    cells: Annotated[int, typer.Option(help="cells of the sweep")] = 100_000,
    gpus: Annotated[int, typer.Option(help="GPUs of the cluster")] = 1000,
    seed: Annotated[int, typer.Option(help="of every distribution")] = 0,
    only: Annotated[int | None, typer.Option(help="the number of one scenario, from 1")] = None,
) -> None:
    """Simulate and print."""
    chosen = scenarios(cells, gpus)
    runs = [(scenario, simulate(scenario, seed)) for scenario in (chosen if only is None else chosen[only - 1 : only])]
    Console().print(table(runs))
    if json is not None:
        json.write_text(as_json.dumps(document(runs, seed), indent=1) + "\n", encoding="utf-8")


def _ms_per_cell(scenario: Scenario, outcome: Outcome) -> float:
    return 1000 * outcome.driver_seconds / scenario.cells


if __name__ == "__main__":
    app()
