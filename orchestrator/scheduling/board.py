"""The state of every work item of a sweep, and everything that follows from it: what is ready, what is left, what failed.

Progress lives here once. An item is done when its file exists and ready when the items that it needs are done. The board does
no I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from actors.errors import MachineLostError, ModelLoadError, WorkerDiedError
from actors.types import CellResult, Failure
from orchestrator.plan import Plan
from orchestrator.scheduling.attempts import MAX_MACHINES, UPSTREAM, attempts_allowed, must_run_alone, runs_again, verdict
from orchestrator.scheduling.backlog import Backlog, PieceSize
from orchestrator.scheduling.items import Item, State, items_of
from orchestrator.scheduling.ledger import Ledger
from orchestrator.scheduling.slots import WorkerSlot

__all__ = ["Board", "Item", "State", "WorkerSlot"]


class Board:
    """All items of a plan. ``done``: ids whose files exist; ``failures``: what earlier runs recorded."""

    def __init__(self, plan: Plan, done: Collection[str] = (), failures: Iterable[Failure] = ()) -> None:
        self._ledger = Ledger()
        self.slots: dict[str, WorkerSlot] = {}
        """Every worker by its name: who runs what is written down here and nowhere else."""
        self.found_failed: Sequence[Failure] = self.grow(plan, done, failures)
        """Failures that follow from recorded ones, found when the board was made or last grew."""

    @property
    def items(self) -> Mapping[str, Item]:
        """Every item by its id."""
        return self._ledger.items

    def __getitem__(self, item_id: str) -> Item:
        return self.items[item_id]

    # ---- questions ---------------------------------------------------------------------------------------------

    def unfinished(self) -> bool:
        """Whether any item is neither done nor failed."""
        return self._ledger.unfinished > 0

    def cells(self, state: State) -> int:
        """How many cells stand there."""
        return self._ledger.cells[state]

    def readied(self) -> int:
        """Grows whenever an item becomes ready: idle workers may then find something new."""
        return self._ledger.readied

    def of(self, variant: str | None) -> Sequence[Item]:
        """The items of a variant, in the plan's order; None: all."""
        return list(self.items.values()) if variant is None else self.backlog(variant).items

    def variants(self) -> tuple[str, ...]:
        """The variants that have items."""
        return tuple(self._ledger.backlogs)

    def backlog(self, variant: str) -> Backlog:
        """What a variant still has to do, and its sums: to read, not to change."""
        return self._ledger.backlogs.get(variant) or Backlog()

    def expects(self, variant: str) -> bool:
        """Whether some worker now makes what pending items of ``variant`` may be waiting for."""
        backlog = self.backlog(variant)
        return backlog.coming > 0 and backlog.needs_own.items + backlog.needs_other.items > 0

    def rows_per_second(self, variant: str) -> float | None:
        """What one worker does with ``variant``, from the cells of this run; None before the first."""
        measured = self.backlog(variant).measured
        return measured.rows / measured.seconds if measured.seconds else None

    def running_on(self, worker: str) -> list[Item]:
        """What ``worker`` is busy with, in the order in which it was handed out."""
        return list(self.slots[worker].items.values()) if worker in self.slots else []

    def workers(self, variant: str | None = None) -> int:
        """How many workers run items of ``variant``; None: of any. May be asked by any thread."""
        busy = [one.works_on for one in list(self.slots.values())]
        return sum(one is not None and variant in (None, one) for one in busy)

    def failures(self) -> list[Failure]:
        """The failures of all items that failed for good; their tracebacks are in the results folder only."""
        return [item.failure for item in self.items.values() if item.failure is not None]

    # ---- changes -----------------------------------------------------------------------------------------------

    def grow(self, plan: Plan, done: Collection[str] = (), failures: Iterable[Failure] = ()) -> Sequence[Failure]:
        """Take in what ``plan`` has and the board has not, where it stands by its file or its recorded failure. Returns the
        failures that follow from recorded ones."""
        new = {item.id: item for item in items_of(plan) if item.id not in self.items}
        for item_id in new.keys() & done:
            new[item_id].state = State.DONE
        for failure in failures:
            recorded = new.get(failure.item_id)
            if recorded is not None and not recorded.finished and not runs_again(failure):
                recorded.state, recorded.failure = State.FAILED, replace(failure, traceback="")
        self._ledger.add(list(new.values()))
        needed = {one for item in new.values() for one in item.needs}
        self.found_failed = [failure for one in sorted(needed) for failure in self._fail_what_needs(self.items[one])]
        return self.found_failed

    def take(self, variant: str, worker: str, size: PieceSize, elsewhere: bool = False) -> list[Item]:
        """Start the next piece of ``variant`` on ``worker``; empty when nothing is ready for it.

        ``elsewhere``: other workers hold the variant too, so what failed on this one is left to them.
        """
        items = self.backlog(variant).piece(size, self._ledger.is_ready, worker if elsewhere else None)
        self.start(items, worker)
        return items

    def start(self, items: Iterable[Item], worker: str) -> None:
        """``items`` are now with ``worker``; those that run already run twice from now on, and the first result counts."""
        slot = self.slots.setdefault(worker, WorkerSlot(worker))
        for item in items:
            item.workers = (*item.workers, worker) if item.state is State.RUNNING else (worker,)
            slot.items[item.id] = item
            self._ledger.move(item, State.RUNNING)

    def finish(self, item_id: str, result: CellResult | None = None) -> None:
        """The item's file is written."""
        item = self.items[item_id]
        self._stop(item)
        self._ledger.move(item, State.DONE)
        if result is not None:
            self.backlog(item.variant).measured.add(item, result)

    def reopen(self, item_id: str) -> None:
        """The item's file is gone or damaged, or it was not started after all."""
        self._stop(self.items[item_id])
        self._ledger.move(self.items[item_id], State.PENDING)

    def lose(self, item_ids: Collection[str]) -> list[Failure]:
        """The files of these finished items are gone or were damaged: they run anew. Returns the failures to record: of those
        that need what has failed."""
        lost = sorted((self.items[one] for one in item_ids), key=lambda item: bool(item.needs))
        for item in lost:
            self._ledger.move(item, State.PENDING)
        return [failure for item in lost for failure in self._fail_with_what_it_needs(item)]

    def finished_ids(self) -> set[str]:
        """The ids of the items that are done."""
        return {item.id for item in self.items.values() if item.state is State.DONE}

    def fail(self, failure: Failure) -> list[Failure]:
        """Note a failed attempt. Returns the failures to record: none while the item may still succeed,
        otherwise the item's own and those of the cells that need it."""
        item = self.items[failure.item_id]
        item.attempt += 1
        if failure.kind == MachineLostError.kind:
            if item.losses < MAX_MACHINES:
                item.losses += 1
                return [] if self._runs_elsewhere(item, failure.worker) else self._try_again(item, failure)
            failure = replace(failure, kind=WorkerDiedError.kind)
        died = failure.kind == WorkerDiedError.kind
        item.deaths += died
        attempts = item.deaths if died else item.attempt - item.deaths - item.losses
        allowed = attempts_allowed(failure)
        if allowed > 1 and self._runs_elsewhere(item, failure.worker):
            return []
        if attempts >= allowed and (item.alone or allowed == 1):  # what may be another item's fault is nobody's
            return self._fail_for_good(item, verdict(failure, item.attempt))
        item.alone = item.alone or must_run_alone(failure, attempts)
        return self._try_again(item, failure)

    def fail_variant(self, failure: Failure) -> list[Failure]:
        """The model cannot be loaded: fail all that is left of it. Returns the failures to record."""
        kind = ModelLoadError.kind
        left = sorted((item for item in self.of(failure.item_id) if not item.finished), key=lambda item: not item.needs)
        return [one for item in left for one in self._fail_for_good(item, replace(failure, item_id=item.id, kind=kind))]

    # ---- detail ------------------------------------------------------------------------------------------------

    def _stop(self, item: Item) -> None:
        """Nobody runs ``item`` any more, as far as the board is concerned; it still tells who did."""
        for worker in item.workers:
            self._drop(item, worker)

    def _drop(self, item: Item, worker: str) -> None:
        if worker in self.slots:
            self.slots[worker].items.pop(item.id, None)

    def _try_again(self, item: Item, failure: Failure) -> list[Failure]:
        """The item waits for another attempt, unless what it needs has failed meanwhile."""
        self._stop(item)
        item.workers = (failure.worker,) if failure.worker else ()
        self._ledger.move(item, State.PENDING)
        return self._fail_with_what_it_needs(item)

    def _runs_elsewhere(self, item: Item, failed_on: str) -> bool:
        """Whether a second worker still runs ``item``; the one where it failed is forgotten."""
        others = tuple(worker for worker in item.workers if worker != failed_on)
        if item.state is not State.RUNNING or not others or failed_on not in item.workers:
            return False
        self._drop(item, failed_on)
        item.workers = others
        return True

    def _fail_for_good(self, item: Item, failure: Failure) -> list[Failure]:
        self._stop(item)
        item.failure = replace(failure, traceback="")
        self._ledger.move(item, State.FAILED)
        return [failure, *self._fail_what_needs(item)]

    def _fail_with_what_it_needs(self, item: Item) -> list[Failure]:
        return [failure for one in item.needs for failure in self._fail_what_needs(self.items[one])]

    def _fail_what_needs(self, needed: Item) -> list[Failure]:
        """The failures of the pending items that need ``needed``, when it failed. What runs already has its copy."""
        if needed.state is not State.FAILED:
            return []
        cause = needed.failure
        reason = "" if cause is None else f" ({cause.kind}: {cause.message})"
        message = f"needs {needed.id.partition('-')[0]} {needed.id}, which failed{reason}"
        waiting = [item for item in self._ledger.needing(needed.id) if item.state is State.PENDING]
        return [one for item in waiting for one in self._fail_for_good(item, Failure(item.id, UPSTREAM, message, traceback=""))]
