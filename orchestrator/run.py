"""One sweep from its file to its tables: load, plan, lock the results folder, run what is missing, compact, report.

The parts know nothing of each other; this is where they meet.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console

from actors.gpus import why_no_gpu
from actors.types import Failure
from orchestrator.branches import Commits, commits_in
from orchestrator.completion import NO_ANALYSES, AnalysesState, Progress
from orchestrator.control.driver import Driver
from orchestrator.errors import InputError, Problem
from orchestrator.interrupts import EXIT_INTERRUPTED, EXIT_MACHINE, Interrupts
from orchestrator.logs import Journal, LogCopies
from orchestrator.news import Listener, Noted, Tell, told_to
from orchestrator.outlets import losses_told
from orchestrator.paths import require_cache
from orchestrator.plan import Plan
from orchestrator.plan_with_results import plan_with_results
from orchestrator.planning.choices import Choice
from orchestrator.planning.costs import DEFAULT_COSTS, Costs
from orchestrator.planning.grids import Deferred
from orchestrator.pool import POOLS, Pool, PoolLostError, PoolOptions
from orchestrator.progress import Display, make_display
from orchestrator.recorder import Recorder
from orchestrator.report import write_report
from orchestrator.report.exported import heat_maps
from orchestrator.results.folder import Folder
from orchestrator.results.store import PageState, Store
from orchestrator.retrying import ORIGIN
from orchestrator.scheduler import Scheduler, Settings, TooManyFailuresError
from orchestrator.scheduling.attempts import MaxFailures
from orchestrator.scheduling.board import Board, State
from orchestrator.scheduling.kinds import item_folders
from orchestrator.scorekeeper import Scorekeeper, require_scorers
from orchestrator.storage import Place
from orchestrator.sweep import Sweep, load_sweep
from orchestrator.tracking import RunIdentity, Tracker, WandbTracker, live_rates, run_config, tags_of, use_points
from orchestrator.wordings import Wordings

Ended = Literal["finished", "interrupted", "too many failures", "cluster lost", "damaged"]

EXIT_DONE, EXIT_SOME_FAILED = 0, 1


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
        return Board(self.plan, self.store.done(item_folders()), self.store.failures())


@dataclass(frozen=True)
class RunSummary:
    """What a run left behind. ``ran``: cells finished by this run; ``scored``: others that it gave scores which they lacked;
    ``done`` and ``failed``: cells of the plan, now; ``page``: how the report stands to the tables. ``ended``: ``damaged`` when
    the results on the disk are not what was written there, however often. ``twins``: as in the plan."""

    sweep: str
    results: Place
    planned: int
    done: int
    failed: int
    ran: int
    seconds: float
    ended: Ended
    failures: tuple[Failure, ...]
    message: str = ""
    choices: tuple[Choice, ...] = ()
    deferred: tuple[Deferred, ...] = ()
    page: PageState = "current"
    scored: int = 0
    analyses: AnalysesState = NO_ANALYSES
    twins: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some failed, 3 the disk does not keep what is written, 130 interrupted."""
        if self.ended in ("interrupted", "damaged"):
            return EXIT_INTERRUPTED if self.ended == "interrupted" else EXIT_MACHINE
        return EXIT_SOME_FAILED if self.failures or self.ended != "finished" else EXIT_DONE

    def as_json(self) -> dict[str, object]:
        """For programs: stable keys, no objects."""
        return {
            "sweep": self.sweep,
            "results": str(self.results),
            "ended": self.ended,
            "exit_code": self.exit_code,
            "cells": {"planned": self.planned, "done": self.done, "failed": self.failed, "ran": self.ran},
            "scored": self.scored,
            "analyses": {**asdict(self.analyses), "tables": list(self.analyses.tables)},
            "seconds": round(self.seconds, 3),
            "failures": [{key: value for key, value in asdict(one).items() if key != "traceback"} for one in self.failures],
            "choices": [asdict(one) for one in self.choices],
            "deferred": [asdict(one) for one in self.deferred],
            "twins": dict(self.twins),
        }


def prepare(path: Path, results: Place | None = None, costs: Costs = DEFAULT_COSTS) -> Prepared:
    """Load and plan the sweep at ``path``; InputError when it cannot be run. Writes nothing."""
    sweep = load_sweep(path)
    store = Store(results or sweep.results)
    plan = plan_with_results(sweep, store, costs)
    store.folder.check_free()
    return Prepared(path, sweep, plan, store)


def _gpu_problems(sweep: Sweep) -> list[Problem]:
    """A problem for every model that asks for a GPU, where this machine has none that could be used."""
    asking = {model.key: model.resources.gpus for model in sweep.models if model.resources.gpus}
    why = why_no_gpu() if asking else ""
    said = f"asks for a GPU, and on this machine no GPU can be used: {why}"
    return [
        sweep.problem("models", key, "gpus", message=f"model {key} {said}", value=gpus, allowed="gpus: 0")
        for key, gpus in asking.items()
        if why
    ]


def run_sweep(prepared: Prepared, options: RunOptions, console: Console) -> RunSummary:
    """Run what is missing of a sweep; InputError and StoreLockedError before anything is started."""
    started = time.monotonic()
    store = prepared.store
    with store.lock(), ExitStack() as ending:
        counted = [(cell.id, cell.labels.behavior) for cell in prepared.plan.counted]
        require_scorers(store, prepared.plan.scoring, counted)
        session = _session(prepared, options, console, ending)
        if left_out := _left_out(store, prepared.plan):
            console.print(left_out)
        store.write_sweep(f"{ORIGIN}{prepared.path.absolute()}\n{prepared.sweep.text}")
        store.write_plan(prepared.plan)
        behind = store.unscored()
        ended, message, progress = _run(prepared, session, behind)
        session.driver.ended(ended, message)
        if ended != "interrupted":
            session.interrupts.wait_no_more()
        changed = progress.compact()
        page = "behind" if changed else store.page()
        if ended != "interrupted" and page != "current":
            write_report(store)
            page = "current"
        elif changed:
            page = store.page()
        done, ran, analyses = progress.done(), progress.ran(), progress.analyses()
        session.interrupts.hold()
    board, plan = progress.board, progress.plan
    return RunSummary(
        sweep=plan.name,
        results=store.place,
        planned=len(plan.cells),
        done=done,
        failed=_count(board, State.FAILED),
        ran=ran,
        seconds=time.monotonic() - started,
        ended=ended,
        failures=tuple({one.item_id: one for one in (*board.failures(), *store.scoring_failures())}.values()),
        message=message,
        choices=plan.choices,
        deferred=plan.deferred,
        page=page,
        scored=_scored(store, behind),
        analyses=analyses,
        twins=plan.twins,
    )


def _left_out(store: Store, plan: Plan) -> str:
    """What to say of finished cells that the tables, which hold those of one plan, will lose; empty where there are none.
    InputError where they are those of a sweep by another name."""
    try:
        there = store.planned()
    except InputError:  # no plan, or a damaged one: the tables are no other sweep's
        return ""
    hidden = len(store.done_cells() & there.by_id().keys() - {cell.id for cell in plan.cells})
    if hidden and there.name != plan.name:
        message = f"it holds {hidden} finished cells of the sweep {there.name!r} that are not in the sweep {plan.name!r}"
        allowed = "another folder (--results FOLDER), or in the sweep file the same `name`, to replace that sweep"
        raise InputError.because(f"{message}: its tables would lose them", "results", str(store.place), allowed)
    left = f"{hidden} finished cells of the folder are no longer in the sweep: they are kept, and the tables leave them out"
    return left if hidden else ""


def _scored(store: Store, behind: Collection[tuple[str, str]]) -> int:
    """The cells of ``behind``, ids of scorer and cell that lacked scores, which have them now."""
    there = {scorer: store.scored_cells(scorer) for scorer in {scorer for scorer, _ in behind}}
    return len({cell_id for scorer, cell_id in behind if cell_id in there[scorer]})


@dataclass(frozen=True)
class _Session:
    """What surrounds the items of a run: its options, who is told, how it is stopped, and what happens at its end."""

    options: RunOptions
    console: Console
    ending: ExitStack
    journal: Journal
    interrupts: Interrupts
    driver: Driver


def _session(prepared: Prepared, options: RunOptions, console: Console, ending: ExitStack) -> _Session:
    """From now on the run can be followed, paused and cancelled from elsewhere. Needs the lock."""
    interrupts = ending.enter_context(Interrupts())
    folder = Folder(prepared.store.place)  # one that does not wait when the network is away
    copies = ending.enter_context(LogCopies(folder))
    journal = ending.enter_context(Journal(folder.logs, copies.fresh))
    ending.enter_context(losses_told(lambda text: journal.hear(Noted(text))))
    driver = ending.enter_context(Driver(folder, prepared.plan.name, journal, interrupts.ask))
    ending.callback(interrupts.hold)  # the driver's last words are whole, however the run ends
    return _Session(options, console, ending, journal, interrupts, driver)


def _run(prepared: Prepared, session: _Session, behind: Collection[tuple[str, str]]) -> tuple[Ended, str, Progress]:
    """Score what is ``behind``, ids of scorer and cell, run and score what is ready, then what follows from its results, until
    nothing is left and all of it is on the disk."""
    plan, store, board = prepared.plan, prepared.store, prepared.board()
    display = make_display(plan, board, session.console, session.options.quiet)
    listeners: list[Listener] = [session.journal, display]
    tell = told_to(listeners)
    scores = Scorekeeper(store, plan.scoring, tell, store.writers or 1, session.interrupts.waiting)
    progress = Progress(prepared.sweep, store, plan, board, scores)
    ended: Ended = "finished"
    message = ""
    try:
        with scores:
            scores.ask(behind)
            if board.unfinished() or progress.grow():
                tracker = _tracker(prepared, progress, session.driver)
                session.ending.callback(lambda: tracker.finish(_totals(progress.board), store))
                listeners += [tracker, Wordings(store, tell), scores]
                _run_items(prepared, progress, session, display, tell)
            if short := progress.shortfall():
                ended, message = "damaged", f"not whole: {short}; see whether the disk is well, then run the same command again"
    except KeyboardInterrupt:
        ended, message = "interrupted", session.driver.why_cancelled
    except TooManyFailuresError as error:
        ended, message = "too many failures", str(error)
    except PoolLostError as error:
        ended, message = "cluster lost", f"{error}; what has arrived is kept: the same `run` continues the sweep"
    return ended, message, progress


def _run_items(prepared: Prepared, progress: Progress, session: _Session, display: Display, tell: Tell) -> None:
    """Run what the board has, and what it grows by; ``tell``: who hears of it."""
    plan, store, options = prepared.plan, prepared.store, session.options
    if not options.quiet:
        session.console.print(f"starting workers ({options.pool or prepared.sweep.pool.kind})")
    pool = _open_pool(prepared, session)
    with Recorder(store, store.writers) as recorder, closing(pool), display:
        session.driver.watch(progress, display.hear)
        settings = Settings(
            MaxFailures(prepared.sweep.max_failures),
            session.interrupts.waiting,
            paused=session.driver.paused,
            tell=tell,
            commits=Commits(commits_in(plan, store)),
        )
        scheduler = Scheduler(plan, progress.board, pool, recorder, settings)
        scheduler.run()
        while progress.grow():
            scheduler.run()


def _open_pool(prepared: Prepared, session: _Session) -> Pool:
    """Takes seconds where Ray has to start."""
    asked, options = prepared.sweep.pool, session.options
    if (options.pool or asked.kind) == "local" and (problems := _gpu_problems(prepared.sweep)):
        raise InputError(*problems)
    resources = tuple(dict.fromkeys(model.resources for model in prepared.plan.models))
    if any(model.spec.adapter or model.spec.source == "embedded" for model in prepared.plan.models):
        require_cache(options.pool or asked.kind)
    make = POOLS[options.pool or asked.kind]
    try:
        with session.interrupts.waiting():
            return make(PoolOptions(options.workers or asked.workers, resources, environment=asked.env or ()))
    except SystemExit:  # how Ray, once it has begun to start, takes SIGTERM
        raise KeyboardInterrupt from None
    finally:
        session.interrupts.again()


def _tracker(prepared: Prepared, progress: Progress, driver: Driver) -> Tracker:
    asked = prepared.sweep.tracking
    if asked.tool != "wandb" or asked.project is None:
        return Tracker()
    done, plan, store = _count(progress.board, State.DONE), prepared.plan, prepared.store
    identity = RunIdentity(
        project=asked.project,
        sweep=plan.name,
        results=store.root,
        cells_before=done,
        config=run_config(prepared.sweep.text, plan),
        entity=asked.entity,
        group=asked.group,
        place=str(store.place),
        tags=tags_of(plan, asked.tags or ()),
        names={model.variant: model.name for model in plan.models},
    )
    return WandbTracker(identity, lambda: {**live_rates(progress.plan, progress.board), **use_points(driver.uses())}, heat_maps)


def _totals(board: Board) -> dict[str, float]:
    return {"cells_done": _count(board, State.DONE), "cells_failed": _count(board, State.FAILED)}


def _count(board: Board, state: State) -> int:
    return board.cells(state)
