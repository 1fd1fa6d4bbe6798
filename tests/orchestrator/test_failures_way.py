"""Which files take a failure in hand between the worker that raises and ``failures/``: so few, and no other ones."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import FrameType

from actors.types import Failure, Prompt
from orchestrator.cells import Cell
from orchestrator.news import News
from orchestrator.pool import POOLS, PoolOptions
from orchestrator.recorder import Recorder
from orchestrator.results.store import Store
from orchestrator.scheduler import Scheduler, Settings
from orchestrator.scheduling.board import Board
from orchestrator.scheduling.items import Item
from tests.orchestrator.samples import cell, plan_of

ROOT = Path(__file__).parents[2]
PACKAGES = tuple(f"{ROOT / name}/" for name in ("orchestrator", "actors"))
WAY = {
    "actors/boundary.py",  # an error becomes a failure
    "orchestrator/pool/local.py",  # (or pool/ray_actor.py, for pool/ray.py:) it gets its worker's name
    "orchestrator/scheduling/intake.py",  # secrets go
    "orchestrator/scheduling/outcomes.py",  # an item's, or a model's?
    "orchestrator/scheduling/board.py",  # what it takes along
    "orchestrator/scheduling/attempts.py",  # once more?
    "orchestrator/results/store.py",
}
"""In the order in which it goes; before them the worker, where it fails one cell of several."""


class Watch:
    """As a profiler: ``seen`` are the files of the product with a function that has a failure among its values, as it is or as a
    field of another value; what the board keeps of failed items and what listeners are told is not the way."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, frame: FrameType, event: str, given: object) -> None:
        file = frame.f_code.co_filename
        if event not in ("call", "return") or not file.startswith(PACKAGES) or file.endswith("orchestrator/news.py"):
            return
        if any(_holds(value) for value in (*frame.f_locals.values(), given)):
            self.seen.add(str(Path(file).relative_to(ROOT)))


def _holds(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(isinstance(one, Failure) for one in value)
    if isinstance(value, type | Item) or not is_dataclass(value):
        return False
    return isinstance(value, Failure) or any(isinstance(getattr(value, one.name, None), Failure) for one in fields(value))


def test_a_failure_passes_seven_files(tmp_path: Path) -> None:
    failing, fails_alone = (replace(cell(None), prompts=(Prompt("p", cue),)) for cue in ("[raise]", "[job error]"))
    watch, told = Watch(), list[News]()
    store, failed = run_of([failing, fails_alone], tmp_path, watch, told)
    assert {one.item_id for one in store.failures()} == failed == {failing.id, fails_alone.id}
    assert watch.seen == WAY


def run_of(cells: list[Cell], folder: Path, watch: Watch, told: list[News]) -> tuple[Store, set[str]]:
    """Run them under ``watch``; the store, and the ids of what has failed by the board."""
    plan, store = plan_of(cells), Store(folder / "results")
    pool, board = POOLS["local"](PoolOptions(worker="tests.fakes:FakeWorker")), Board(plan)
    with store.lock(), Recorder(store) as records:
        store.write_plan(plan)
        scheduler = Scheduler(plan, board, pool, records, Settings(tell=told.append))
        before = sys.getprofile()
        sys.setprofile(watch)
        try:
            scheduler.run()
        finally:
            sys.setprofile(before)
    pool.close()
    return store, {one.item_id for one in board.failures()}
