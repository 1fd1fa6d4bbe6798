"""One sweep from its file to its tables: load, plan, lock the results folder, run what is missing, compact, report.

The parts know nothing of each other; this is where they meet.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from actors.types import Failure
from orchestrator.board import Board, State
from orchestrator.cells import Cell
from orchestrator.classifiers import CLASSIFIERS
from orchestrator.folder import Folder
from orchestrator.interrupts import Interrupts
from orchestrator.plan import Plan, make_plan
from orchestrator.pool import POOLS, Pool, PoolOptions
from orchestrator.progress import make_display
from orchestrator.recorder import Recorder
from orchestrator.report import write_report
from orchestrator.retrying import ORIGIN
from orchestrator.scheduler import Scheduler, Settings, TooManyFailuresError
from orchestrator.scoring import label_what_is_not
from orchestrator.store import Store
from orchestrator.sweep import Sweep, load_sweep
from orchestrator.tracking import NullTracker, RunIdentity, Tracker, WandbTracker

Ended = Literal["finished", "interrupted", "too many failures"]

EXIT_DONE, EXIT_SOME_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class RunOptions:
    """What the command line decides; None leaves it to the sweep file."""

    pool: str | None = None
    workers: int | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Prepared:
    """A sweep that is ready to run: valid, planned, with its results folder (which need not exist yet)."""

    path: Path
    sweep: Sweep
    plan: Plan
    store: Store

    def board(self) -> Board:
        """Where every item stands, from the names of the files."""
        return Board(self.plan, self.store.done_cells() | self.store.done_directions(), self.store.failures())


@dataclass(frozen=True)
class RunSummary:
    """What a run left behind. ``ran``: cells finished by this run; ``done`` and ``failed``: cells of the plan, now."""

    sweep: str
    results: Path
    planned: int
    done: int
    failed: int
    ran: int
    seconds: float
    ended: Ended
    failures: tuple[Failure, ...]
    message: str = ""

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some failed, 130 interrupted."""
        if self.ended == "interrupted":
            return EXIT_INTERRUPTED
        return EXIT_SOME_FAILED if self.failures or self.ended != "finished" else EXIT_DONE

    def as_json(self) -> dict[str, object]:
        """For programs: stable keys, no objects."""
        return {
            "sweep": self.sweep,
            "results": str(self.results),
            "ended": self.ended,
            "exit_code": self.exit_code,
            "cells": {"planned": self.planned, "done": self.done, "failed": self.failed, "ran": self.ran},
            "seconds": round(self.seconds, 3),
            "failures": [{key: value for key, value in asdict(one).items() if key != "traceback"} for one in self.failures],
        }


def prepare(path: Path, results: Path | None = None) -> Prepared:
    """Load and plan the sweep at ``path``; InputError when it cannot be run. Writes nothing."""
    sweep = load_sweep(path)
    return Prepared(path, sweep, make_plan(sweep), Store(results or sweep.results))


def run_sweep(prepared: Prepared, options: RunOptions, console: Console) -> RunSummary:
    """Run what is missing of a sweep; InputError and StoreLockedError before anything is started."""
    started = time.monotonic()
    plan, store = prepared.plan, prepared.store
    with store.lock():
        store.write_sweep(f"{ORIGIN}{prepared.path.absolute()}\n{prepared.sweep.text}")
        store.write_plan(plan)
        label_what_is_not(store, CLASSIFIERS[plan.classifier])
        board = prepared.board()
        before = _count(board, State.DONE)
        ended, message = _run_items(prepared, board, options, console)
        changed = store.compact().changed
        if ended != "interrupted" and (changed or not Folder(store.root).page.exists()):
            write_report(store)
    return RunSummary(
        sweep=plan.name,
        results=store.root,
        planned=len(plan.cells),
        done=_count(board, State.DONE),
        failed=_count(board, State.FAILED),
        ran=_count(board, State.DONE) - before,
        seconds=time.monotonic() - started,
        ended=ended,
        failures=tuple(board.failures()),
        message=message,
    )


def _run_items(prepared: Prepared, board: Board, options: RunOptions, console: Console) -> tuple[Ended, str]:
    plan, store = prepared.plan, prepared.store
    for failure in board.found_failed:
        store.write_failure(failure)
    if not board.unfinished():
        return "finished", ""
    tracker = _tracker(prepared, board)
    display = make_display(plan, board, console, options.quiet)
    recorder = Recorder(store, CLASSIFIERS[plan.classifier], (display, tracker))
    if not options.quiet:
        console.print(f"starting workers ({options.pool or prepared.sweep.pool.kind})")
    ended: Ended = "finished"
    message = ""
    try:
        with closing(_open_pool(prepared, options)) as pool, Interrupts() as interrupts, display:
            settings = Settings(prepared.sweep.max_failures, interrupts.waiting)
            Scheduler(plan, board, pool, recorder, settings).run()
    except KeyboardInterrupt:
        ended = "interrupted"
    except TooManyFailuresError as error:
        ended, message = "too many failures", str(error)
    finally:
        tracker.finish({"cells_done": _count(board, State.DONE), "cells_failed": _count(board, State.FAILED)})
    return ended, message


def _open_pool(prepared: Prepared, options: RunOptions) -> Pool:
    asked = prepared.sweep.pool
    resources = tuple(dict.fromkeys(model.resources for model in prepared.plan.models))
    return POOLS[options.pool or asked.kind](PoolOptions(options.workers or asked.workers, resources))


def _tracker(prepared: Prepared, board: Board) -> Tracker:
    asked = prepared.sweep.tracking
    if asked.tool != "wandb" or asked.project is None:
        return NullTracker()
    done = _count(board, State.DONE)
    config = {"sweep_file": prepared.sweep.text, "cells": len(prepared.plan.cells)}
    return WandbTracker(
        RunIdentity(asked.project, prepared.plan.name, prepared.store.root, done, config, entity=asked.entity, group=asked.group)
    )


def _count(board: Board, state: State) -> int:
    return sum(isinstance(item.spec, Cell) and item.state is state for item in board.of(None))
