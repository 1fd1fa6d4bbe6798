"""Runs the items of a plan on the workers of a pool.

A worker keeps its model while that model has ready work; otherwise it loads the variant that has most of it; a worker with
nothing left loads a replica when the remaining work outlasts a load, else it helps a worker that is far behind. What comes
back is recorded at once and dropped.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from actors.boundary import Load, Task, item_ids
from orchestrator.branches import Commits
from orchestrator.news import Submitted, Tell, nobody
from orchestrator.plan import Plan
from orchestrator.pool import Pool, PoolLostError
from orchestrator.scheduling.attempts import NEVER, MaxFailures
from orchestrator.scheduling.board import Board, Item, State
from orchestrator.scheduling.fleet import Fleet, WorkerSlot
from orchestrator.scheduling.intake import Intake
from orchestrator.scheduling.kinds import KINDS
from orchestrator.scheduling.outcomes import Desk, Outcomes
from orchestrator.scheduling.pace import Pace
from orchestrator.scheduling.pieces import Pieces
from orchestrator.scheduling.placement import Placement
from orchestrator.scheduling.stragglers import Stragglers
from orchestrator.scheduling.work import Records

TICK_SECONDS = 2.0
"""How often to look for workers that have come or gone and for something that idle ones could do."""

LOOK_FOR_CIRCLES = 50_000
"""New objects after which Python looks for circles among them: its usual 700 or 2,000 take a tenth of the driver's time."""

ASK_SECONDS = 10.0
"""How often to tell the pool how many workers the open work could use."""


class TooManyFailuresError(Exception):
    """More failures than ``max_failures``: the sweep was stopped."""


@dataclass(frozen=True)
class Settings:
    """``max_failures``: when to give up. ``waiting``: entered around every wait, so that a signal may interrupt waiting but
    never writing. ``clock``: seconds. ``paused``: while true, nothing new is handed out. ``tell``: who hears what happens.
    ``commits``: the commits at which branches of the hub are loaded."""

    max_failures: MaxFailures = NEVER
    waiting: Callable[[], AbstractContextManager[object]] = nullcontext
    clock: Callable[[], float] = time.monotonic
    paused: Callable[[], bool] = bool
    tell: Tell = nobody
    commits: Commits = field(default_factory=Commits)


class Scheduler:
    """Brings every item of ``board`` to done or failed. Owns no results: ``records`` keeps them."""

    def __init__(self, plan: Plan, board: Board, pool: Pool, records: Records, settings: Settings | None = None) -> None:
        self._plan, self._board, self._pool = plan, board, pool
        self._settings = settings or Settings()
        tell = self._settings.tell
        needs = {model.variant: model.resources for model in plan.models}
        self._fleet, self._pace = Fleet(board.slots, needs.__getitem__, self._settings.clock), Pace(plan, board)
        self._placement = Placement(board, self._fleet, self._pace, needs.__getitem__, pool.capacity)
        self._stragglers = Stragglers(board, self._fleet, self._pace, self._placement.has_room)
        state, intake = (board, self._fleet, self._pace), Intake(pool, board, records, tell)
        desk = Desk(*state, self._placement.has_machine, intake, records, tell, self._settings.commits)
        self._outcomes = Outcomes(plan, desk)
        self._pieces = Pieces(board, records, self._outcomes)
        self._looked = self._asked = float("-inf")
        self._readied = -1
        self._cells = 0
        self._failed_before = board.cells(State.FAILED)

    def run(self) -> None:
        """Run to the end; again, with the models that are loaded, after the board has grown by cells of the same models.

        Raises ``TooManyFailuresError``, and KeyboardInterrupt and ``PoolLostError`` after writing what has arrived.
        """
        self._cells += self._board.cells(State.PENDING)
        self._outcomes.record(self._board.found_failed)
        often = gc.get_threshold()
        gc.freeze()  # plan and board are many objects that stay: to look for circles among them would take a tenth of all time
        gc.set_threshold(LOOK_FOR_CIRCLES, *often[1:])
        try:
            while self._board.unfinished():
                if not self._settings.paused():
                    self._hand_out_work()
                self._outcomes.take_in(TICK_SECONDS, self._settings.waiting)
                self._stop_when_hopeless()
        except (KeyboardInterrupt, PoolLostError):
            self._take_in_what_has_arrived()
            raise
        finally:
            gc.set_threshold(*often)
            gc.unfreeze()

    # ---- handing out -------------------------------------------------------------------------------------------

    def _hand_out_work(self) -> None:
        slots, self._outcomes.freed = self._outcomes.freed, []
        if self._time_to_look_around():
            self._look_around()
            slots = self._fleet.idle()
        for slot in slots:
            self._go_where_more_useful(slot)
            self._continue_with_its_model(slot)
        self._change_models([slot for slot in slots if not slot.busy])
        if not self._fleet.any_busy and self._fleet.slots and self._board.unfinished():
            self._start_anything()

    def _time_to_look_around(self) -> bool:
        something_new = self._board.readied() != self._readied or not self._fleet.any_busy
        return something_new or self._settings.clock() - self._looked >= TICK_SECONDS

    def _look_around(self) -> None:
        self._looked, self._readied = self._settings.clock(), self._board.readied()
        self._placement.look_again()
        if self._looked - self._asked >= ASK_SECONDS:
            self._asked = self._looked
            self._pool.wants(self._placement.demand())
        for slot in self._fleet.meet(self._pool.workers()):
            self._pool.release(slot.name)

    def _go_where_more_useful(self, slot: WorkerSlot) -> None:
        variant = self._placement.more_useful_elsewhere(slot)
        if variant is not None:
            self._load(slot, variant)

    def _continue_with_its_model(self, slot: WorkerSlot) -> None:
        while not slot.busy and (items := self._next_piece(slot)):
            self._run(slot, items)

    def _next_piece(self, slot: WorkerSlot) -> Sequence[Item]:
        if slot.variant is None or slot.info is None or self._placement.better_left_to_others(slot):
            return ()
        shared = self._fleet.holders(slot.variant) > 1
        return self._board.take(slot.variant, slot.name, self._placement.size_for(slot), elsewhere=shared)

    def _change_models(self, slots: Sequence[WorkerSlot]) -> None:
        without_use: set[str | None] = set()
        for slot in slots:
            if slot.variant not in without_use and not self._use_otherwise(slot) and self._placement.speaks_for_all(slot):
                without_use.add(slot.variant)

    def _use_otherwise(self, slot: WorkerSlot) -> bool:
        """Find a use for a worker whose model has nothing ready; whether there is one."""
        variant = self._placement.variant_for(slot)
        if variant is not None:
            self._load(slot, variant)
        elif items := self._stragglers.items_for(slot):
            self._board.start(items, slot.name)
            self._run(slot, items)
        elif (variant := self._stragglers.variant_for(slot)) is not None:
            self._load(slot, variant)
        elif self._placement.must_make_room(slot) or self._placement.is_of_no_use(slot):
            self._pool.release(slot.name)
            self._fleet.assign(slot, None)
        else:
            return False
        return True

    def _start_anything(self) -> None:
        """Nothing runs: a model that needs more than there is may still wait for machines to join."""
        for slot in self._fleet.idle():
            variant = self._placement.variant_for(slot, even_without_room=True)
            if variant is not None:
                self._load(slot, variant)
                return
        raise RuntimeError("the scheduler has open items but nothing to run; please report this")

    def _run(self, slot: WorkerSlot, items: Sequence[Item]) -> None:
        task = self._pieces.task(items)
        if task is not None:
            self._submit(slot, task, KINDS[items[0].spec.kind].does)

    def _load(self, slot: WorkerSlot, variant: str) -> None:
        model = self._plan.model(variant)
        self._fleet.assign(slot, variant)
        avoid = self._placement.to_avoid(variant)
        spec = self._settings.commits.pinned(model.spec)
        self._submit(slot, Load(variant, spec, self._plan.engine, model.resources, avoid), "load")

    def _submit(self, slot: WorkerSlot, task: Task, what: str) -> None:
        self._fleet.start(slot, what)
        self._settings.tell(Submitted(slot.name, what, item_ids(task)))
        self._pool.submit(slot.name, task)

    # ---- taking in ---------------------------------------------------------------------------------------------

    def _take_in_what_has_arrived(self) -> None:
        while self._outcomes.take_in(0):
            pass

    def _stop_when_hopeless(self) -> None:
        failed = self._board.cells(State.FAILED) - self._failed_before
        reason = self._settings.max_failures.reason(self._outcomes.causes, failed, self._cells)
        if reason is not None:
            self._take_in_what_has_arrived()
            raise TooManyFailuresError(f"stopped: {reason}")
