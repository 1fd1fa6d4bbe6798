"""How many cells a second the driver stores in object storage: ``python -m benchmarks.object_storage``.

A server on loopback answers every request after a given time. Cells that are finished at once go through the recorder as in a
run: stored one after the other, or begun where events come in and given on only when they are stored.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from actors.boundary import Answered, Task
from actors.types import CellResult, Decoding, EngineOptions, FiredCheck, ModelSpec, Prompt, Resources, Response
from orchestrator.cells import Cell, CellLabels, variant_id
from orchestrator.models.files import ModelShape
from orchestrator.news import nobody
from orchestrator.plan import Plan, PlannedModel
from orchestrator.planning.estimate import Estimate
from orchestrator.pool import Event, WorkerGave
from orchestrator.recorder import Recorder
from orchestrator.results.store import Store
from orchestrator.scheduling.board import Board
from orchestrator.scheduling.intake import Intake
from orchestrator.scorekeeper import Scorekeeper
from orchestrator.scoring.uses import Scoring
from orchestrator.storage import Place, S3Url

KEYS = {
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
MODEL = ModelSpec("folder", "model")
WORDS = "I can help you bake bread. First mix flour, water, salt and yeast, then let the dough rise for two hours."
WORKERS = 16


class FinishedPool:
    """Gives finished cells as fast as they are taken, from several workers in turn."""

    def __init__(self, cells: list[Cell]) -> None:
        self._left = list(enumerate(cells))[::-1]

    def workers(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(f"worker-{number}" for number in range(WORKERS))

    def capacity(self, resources: Resources, avoid: Collection[str] = ()) -> int:
        """As many."""
        return WORKERS

    def wants(self, demand: Mapping[Resources, int]) -> None:
        """Nothing more."""

    def submit(self, worker: str, task: Task) -> None:
        """Everything is finished already."""

    def next_event(self, timeout: float | None) -> Event | None:
        """The next cell; None when there is none."""
        if not self._left:
            return None
        number, cell = self._left.pop()
        return WorkerGave(f"worker-{number % WORKERS}", Answered(cell.id, _result(cell)))

    def release(self, worker: str) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing runs."""


def _cell(number: int) -> Cell:
    prompts = tuple(Prompt(f"p{one}", f"How do I bake bread number {number} in way {one}?") for one in range(10))
    return Cell(MODEL, prompts, Decoding(100), None, CellLabels("model", "refusal", "family"))


def _result(cell: Cell) -> CellResult:
    answers = tuple(Response(one.id, one.text, WORDS, tuple(range(100)), 20, "length") for one in cell.prompts)
    return CellResult(cell.id, answers, FiredCheck(None), None, 1.0, 1000, {})


def _plan(cells: list[Cell]) -> Plan:
    shape = ModelShape(8, 4, 2, 1, 2, 16, 100, "llama", "family", 1000)
    models = (PlannedModel("model", MODEL, variant_id(MODEL), shape, Resources()),)
    return Plan("stored", tuple(cells), (), models, EngineOptions(), (), (), Estimate(()))


@contextmanager
def server(delay: float) -> Iterator[str]:
    """The URL of a server of its own."""
    command = [sys.executable, "-m", "benchmarks.object_server", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def cells_per_second(place: Place, count: int, threads: int) -> tuple[float, float]:
    """Cells stored in a second, and the driver's processor milliseconds per cell. ``threads``: 0 stores one after the other."""
    cells = [_cell(number) for number in range(count)]
    store, plan = Store(place), _plan(cells)
    board = Board(plan)
    store.write_plan(plan)
    with (
        store.lock(),
        Scorekeeper(store, Scoring(), threads=threads or 1) as scores,
        Recorder(store, threads) as recorder,
    ):
        board.start(board.of(None), "worker-0")
        intake = Intake(FinishedPool(cells), board, recorder, nobody)
        begun, used, attempts = time.monotonic(), time.process_time(), {cell.id: cell for cell in cells}
        while isinstance(event := intake.next(0), WorkerGave) and isinstance(event.outcome, Answered):
            cell_id, result = event.outcome.item_id, event.outcome.content
            recorder.cell(attempts[cell_id], result, 1)
            scores.score(cell_id, result.responses)
            board.finish(cell_id, result)
        scores.wait()
        seconds, used = time.monotonic() - begun, time.process_time() - used
    assert len(Store(place).done_cells()) == len(Store(place).labelled_cells()) == count
    return count / seconds, 1000 * used / count


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.030, help="seconds until each answer")
    parser.add_argument("--cells", type=int, default=400)
    parser.add_argument("--threads", type=int, nargs="+", default=[0, 4, 16])
    parser.add_argument("--disk", type=Path, help="a folder: measure that disk instead of a server")
    options = parser.parse_args()
    where = str(options.disk) if options.disk else f"object storage that answers after {1000 * options.delay:.0f} ms"
    print(f"{where}: cells of 10 prompts x 100 tokens\n\n| threads | cells/s | driver CPU ms per cell |\n|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.disk) as folder, server(options.delay) as url:
        os.environ.update(KEYS, AWS_ENDPOINT_URL=url)
        for threads in options.threads:
            count = options.cells if threads else max(20, options.cells // 10)
            place: Place = Path(folder) / str(threads) if options.disk else S3Url("bucket", f"results/{threads}")
            rate, cost = cells_per_second(place, options.cells if options.disk else count, threads)
            print(f"| {threads or 'none: one after the other'} | {rate:.1f} | {cost:.1f} |", flush=True)


if __name__ == "__main__":
    main()
