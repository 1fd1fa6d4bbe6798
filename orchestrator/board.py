"""The state of every work item of a sweep, and everything that follows from it: what is ready, what is left, what failed.

Progress lives here once. An item is a direction to extract or a cell to generate; it is done when its file exists and
ready when the direction that it needs is done. The board does no I/O.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from actors.errors import ModelLoadError, WorkerDiedError
from actors.types import CellResult, Failure
from orchestrator.cells import Cell, DirectionSpec, variant_id
from orchestrator.plan import Plan

MAX_ATTEMPTS = 3
"""How often an item may take its worker down with it before it is recorded as failed."""

UPSTREAM = "upstream"
"""Kind of the failures of cells whose direction could not be extracted."""


class State(Enum):
    """Where an item stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass
class Item:
    """One work item. ``rows``: prompts to run. ``tokens`` and ``seconds`` are what its result took in this run."""

    spec: Cell | DirectionSpec
    variant: str
    rows: int
    needs: str | None = None
    state: State = State.PENDING
    attempt: int = 0
    worker: str = ""
    failure: Failure | None = None
    tokens: int = 0
    seconds: float = 0.0

    @property
    def id(self) -> str:
        """The content id of the direction or cell."""
        return self.spec.id

    @property
    def suspect(self) -> bool:
        """True after a failed attempt: it then runs alone, so that it takes no other item with it."""
        return self.attempt > 0

    @property
    def finished(self) -> bool:
        """Done or failed for good."""
        return self.state in (State.DONE, State.FAILED)


def attempts_allowed(failure: Failure) -> int:
    """Worker deaths: ``MAX_ATTEMPTS``. Other retryable errors: once more. Deterministic errors: not again."""
    if failure.kind == WorkerDiedError.kind:
        return MAX_ATTEMPTS
    return 2 if failure.retryable else 1


def runs_again(failure: Failure) -> bool:
    """Whether a failure recorded by an earlier run is tried anew without being asked to.

    Yes when the cause lay outside the item: the worker, the memory, the model's files, the direction. A deterministic
    error stays recorded until ``retry`` clears it.
    """
    return failure.retryable or failure.kind in (UPSTREAM, ModelLoadError.kind)


class Board:
    """All items of a plan. ``done``: ids whose files exist; ``failures``: what earlier runs recorded."""

    def __init__(self, plan: Plan, done: Collection[str] = (), failures: Iterable[Failure] = ()) -> None:
        self.items: dict[str, Item] = {item.id: item for item in _items(plan)}
        self._by_variant: dict[str, list[Item]] = defaultdict(list)
        for item in self.items.values():
            self._by_variant[item.variant].append(item)
        for item_id in self.items.keys() & done:
            self.items[item_id].state = State.DONE
        for failure in failures:
            recorded = self.items.get(failure.item_id)
            if recorded is not None and not recorded.finished and not runs_again(failure):
                recorded.state, recorded.failure = State.FAILED, failure
        self.found_failed = tuple(self._fail_dependents())
        """Failures that follow from recorded ones, found when the board was made."""

    def __getitem__(self, item_id: str) -> Item:
        return self.items[item_id]

    def unfinished(self, variant: str | None = None) -> bool:
        """Whether any item (of ``variant``) is neither done nor failed."""
        return any(not item.finished for item in self.of(variant))

    def of(self, variant: str | None) -> Sequence[Item]:
        """The items of a variant, in the plan's order; None: all."""
        return list(self.items.values()) if variant is None else self._by_variant.get(variant, [])

    def variants(self) -> tuple[str, ...]:
        """The variants that have items."""
        return tuple(self._by_variant)

    def ready(self, variant: str) -> list[Item]:
        """What can run now on ``variant``: extraction first, then the largest; items that failed before come last."""
        ready = [item for item in self.of(variant) if self._is_ready(item)]
        return sorted(ready, key=lambda item: (isinstance(item.spec, Cell), item.attempt, -item.rows))

    def reachable_rows(self, variant: str) -> int:
        """Rows that a worker with ``variant`` could run on its own: ready, or waiting for a direction that it would extract."""
        return sum(item.rows for item in self.of(variant) if item.state is State.PENDING and self._is_reachable(item))

    def open_rows(self, variant: str) -> int:
        """Rows that nobody runs yet, those that wait for a direction included."""
        return sum(item.rows for item in self.of(variant) if item.state is State.PENDING)

    def rows_per_second(self, variant: str) -> float | None:
        """What one worker does with ``variant``, from the cells of this run; None before the first."""
        measured = [item for item in self.of(variant) if item.seconds > 0]
        seconds = sum(item.seconds for item in measured)
        return sum(item.rows for item in measured) / seconds if seconds else None

    def start(self, items: Iterable[Item], worker: str) -> None:
        """``items`` are now with ``worker``."""
        for item in items:
            item.state, item.worker = State.RUNNING, worker

    def running_on(self, worker: str) -> list[Item]:
        """What ``worker`` is busy with."""
        return [item for item in self.items.values() if item.state is State.RUNNING and item.worker == worker]

    def finish(self, item_id: str, result: CellResult | None = None) -> None:
        """The item's file is written."""
        item = self.items[item_id]
        item.state = State.DONE
        if result is not None:
            item.tokens, item.seconds = result.new_tokens, result.seconds

    def reopen(self, item_id: str) -> None:
        """The item's file is gone or damaged, or it was not started after all."""
        self.items[item_id].state = State.PENDING

    def fail(self, failure: Failure) -> list[Failure]:
        """Note a failed attempt. Returns the failures to record: none while the item may still be tried again,
        otherwise the item's own and those of the cells that need it."""
        item = self.items[failure.item_id]
        item.attempt += 1
        if item.attempt < attempts_allowed(failure):
            item.state = State.PENDING
            return []
        item.state, item.failure = State.FAILED, replace(failure, attempt=item.attempt)
        return [item.failure, *self._fail_dependents()]

    def fail_variant(self, failure: Failure) -> list[Failure]:
        """The model cannot be loaded: fail all that is left of it. Returns the failures to record."""
        failed = []
        for item in self.of(failure.item_id):
            if not item.finished:
                item.state = State.FAILED
                item.failure = replace(failure, item_id=item.id, kind=ModelLoadError.kind)
                failed.append(item.failure)
        return [*failed, *self._fail_dependents()]

    def failures(self) -> list[Failure]:
        """The failures of all items that failed for good."""
        return [item.failure for item in self.items.values() if item.failure is not None]

    def _is_ready(self, item: Item) -> bool:
        return item.state is State.PENDING and (item.needs is None or self.items[item.needs].state is State.DONE)

    def _is_reachable(self, item: Item) -> bool:
        if self._is_ready(item):
            return True
        needed = self.items[item.needs or ""]
        return needed.variant == item.variant and needed.state is State.PENDING

    def _fail_dependents(self) -> Iterator[Failure]:
        for item in self.items.values():
            if item.needs is None or item.finished or self.items[item.needs].state is not State.FAILED:
                continue
            cause = self.items[item.needs].failure
            reason = "" if cause is None else f" ({cause.kind}: {cause.message})"
            item.state = State.FAILED
            item.failure = Failure(item.id, UPSTREAM, f"needs direction {item.needs}, which failed{reason}", traceback="")
            yield item.failure


def _items(plan: Plan) -> Iterator[Item]:
    for spec in plan.directions:
        yield Item(spec, variant_id(spec.model), rows=len(spec.harmful) + len(spec.harmless))
    for cell in plan.cells:
        needs = None if cell.steering is None else cell.steering.direction.id
        yield Item(cell, variant_id(cell.target), rows=len(cell.prompts), needs=needs)
