"""What comes back from the workers: a result is stored, a failure leads to another attempt or is stored. Then the board changes,
and whoever listens is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Protocol

from actors.boundary import as_failure
from actors.errors import MachineLostError, UnfitDeviceError, WorkerDiedError
from actors.types import CellResult, DirectionSet, Failure, ModelInfo
from orchestrator.cells import Cell, DirectionSpec
from orchestrator.news import AttemptFailed, CellStored, DirectionStored, ItemFailed, ModelLoaded, Noted, Tell, WorkerDied
from orchestrator.plan import Plan
from orchestrator.pool import CellDone, Event, Extracted, Failed, Loaded, TaskDone, WorkerLost
from orchestrator.scheduling.attempts import BAD_DEVICES, BAD_MACHINES, MAX_ATTEMPTS, attempts_allowed, may_be_the_machines
from orchestrator.scheduling.board import Board, State
from orchestrator.scheduling.fleet import Fleet, WorkerSlot
from orchestrator.scheduling.pace import Pace


class Records(Protocol):
    """Where what the workers return is kept (``orchestrator.recorder``). ``threads``: how many store what was begun; 0: none."""

    threads: int

    def direction(self, spec: DirectionSpec, found: DirectionSet) -> None:
        """Store a direction set; ValueError when it cannot be right."""
        ...

    def read_direction(self, direction_id: str) -> DirectionSet | None:
        """A direction set that was stored before, in this run or an earlier one; None when it is lost."""
        ...

    def begin(self, cell: Cell, result: CellResult, attempt: int) -> Future[Any]:
        """Start to store a cell, finished at its ``attempt``-th try; ``cell`` then waits for the end."""
        ...

    def cell(self, cell: Cell, result: CellResult, attempt: int) -> None:
        """Store a cell; its labels. ValueError when the result cannot be right."""
        ...

    def failure(self, failure: Failure) -> None:
        """Store a failure."""
        ...


@dataclass(frozen=True)
class Desk:
    """Where a run's state lies: the items, the workers, what things take; who stores, and who is told. ``has_machine``: whether
    there is a machine for a model besides those on which it could not be loaded."""

    board: Board
    fleet: Fleet
    pace: Pace
    has_machine: Callable[[str], bool]
    records: Records
    tell: Tell


class Outcomes:
    """Handles one event at a time. ``causes``: failures recorded in this run, not counting those that followed from others."""

    def __init__(self, plan: Plan, desk: Desk) -> None:
        self._plan, self._board, self._fleet, self._pace = plan, desk.board, desk.fleet, desk.pace
        self._has_machine, self._records, self._tell = desk.has_machine, desk.records, desk.tell
        self.causes = 0

    def handle(self, event: Event) -> WorkerSlot | None:
        """Take in what happened; returns the worker if it is free now."""
        place = self._fleet.places.get(event.worker)
        if place is None:
            return None  # the last word of a worker that was idle and has left
        place.since = self._fleet.now()
        match event:
            case Loaded():
                self._loaded(place, event.info)
            case Extracted():
                self._extracted(event)
            case CellDone():
                self._cell_done(place, event.result)
            case Failed():
                self._failed(place, event)
            case TaskDone():
                self._fleet.free(place)
                return place
            case WorkerLost():
                self._tell(WorkerDied(place.name, event.message, place.left))
                if event.placed:
                    self._worker_lost(place, event)
                else:
                    self._no_room(place, event.message)
                return place
        return None

    def item_failed(self, failure: Failure) -> None:
        """An attempt failed: note that there will be another, or record the failure and what follows from it."""
        recorded = self._board.fail(failure)
        if not recorded:
            self.note(f"{failure.item_id} is tried again: {failure.kind}: {failure.message}")
        self._give_up(recorded)

    def record(self, failures: Sequence[Failure]) -> None:
        """Store failures that are for good."""
        for failure in failures:
            self._records.failure(failure)
            self._tell(ItemFailed(failure))

    def note(self, text: str) -> None:
        """Tell a person."""
        self._tell(Noted(text))

    def _loaded(self, place: WorkerSlot, info: ModelInfo) -> None:
        assert place.variant is not None
        self._fleet.loaded(place, info)
        self._pace.loaded(place.variant, info.load_seconds)
        self._tell(ModelLoaded(place.variant, place.name, info))

    def _extracted(self, event: Extracted) -> None:
        item = self._board[event.job_id]
        if item.state is not State.RUNNING or not isinstance(item.spec, DirectionSpec):
            return
        try:
            self._records.direction(item.spec, event.found)
        except ValueError as error:
            self.item_failed(replace(as_failure(item.id, error), worker=event.worker))
        else:
            self._board.finish(item.id)
            self._tell(DirectionStored(item.id, event.worker))

    def _cell_done(self, place: WorkerSlot, result: CellResult) -> None:
        item = self._board[result.cell_id]
        if item.state is not State.RUNNING or not isinstance(item.spec, Cell):
            return  # another worker was first
        try:
            self._records.cell(item.spec, result, item.attempt + 1)
        except ValueError as error:
            self.item_failed(replace(as_failure(item.id, error), worker=place.name))
        else:
            self._pace.cell_done(item.variant, place.name, item.budget, result.seconds)
            self._board.finish(item.id, result)
            self._tell(CellStored(item.spec, result))

    def _failed(self, place: WorkerSlot, event: Failed) -> None:
        self._tell(AttemptFailed(event.failure))
        if place.info is None:
            self._load_failed_here(place, event)
        elif self._board[event.failure.item_id].state is State.RUNNING:
            self.item_failed(event.failure)

    def _load_failed_here(self, place: WorkerSlot, event: Failed) -> None:
        """A load failed by itself. Where the machine may be to blame, the model is loaded on another one first."""
        failure = event.failure
        if event.machine and may_be_the_machines(failure):
            self._load_failed_on(place, failure, event.machine, event.host)
        else:
            self._load_failed(place, failure)

    def _load_failed_on(self, place: WorkerSlot, failure: Failure, machine: str, host: str) -> None:
        variant = place.variant or ""
        bad, name = self._fleet.count_bad_machine(variant, machine, host), self._plan.model(variant).name
        hosts = ", ".join(self._fleet.bad_machines(variant).values())
        if (bad < BAD_MACHINES or failure.kind == UnfitDeviceError.kind) and self._has_machine(variant):
            self._fleet.assign(place, None)
            self.note(f"{place.name}: {name} cannot be loaded on {hosts}, another machine tries: {failure.message}")
        else:
            self._load_failed(place, replace(failure, message=f"{failure.message} (on {hosts})"))

    def _load_failed(self, place: WorkerSlot, failure: Failure) -> None:
        variant, name = place.variant or "", self._plan.model(place.variant or "").name
        self._fleet.assign(place, None)
        attempt = self._fleet.count_failed_load(place, variant)
        if self._fleet.holders(variant):  # a replica: the work goes on where the model did load
            self.note(f"{place.name}: no replica of {name}: {failure.message}")
        elif attempt < attempts_allowed(failure):
            self.note(f"{place.name}: loading {name} again: {failure.message}")
        else:
            self._give_up(self._board.fail_variant(replace(failure, item_id=variant, attempt=attempt)))

    def _no_room(self, place: WorkerSlot, message: str) -> None:
        """Its load was never begun, so nothing has failed; another model may be tried meanwhile."""
        variant = place.variant
        self._fleet.assign(place, None)
        self._fleet.free(place)
        if variant is not None and self._fleet.found_no_room(variant):
            self.note(f"{place.name}: {message}; {self._plan.model(variant).name} waits for it")

    def _worker_lost(self, place: WorkerSlot, event: WorkerLost) -> None:
        lost = self._board.running_on(place.name)
        error = MachineLostError(event.message) if event.machine else WorkerDiedError(event.message)
        failure = replace(as_failure("", error), worker=place.name)
        again = f"; {len(lost)} items are tried again" if lost else ""
        self.note(f"{place.name} died, a new worker takes its place{again}: {event.message}")
        if event.device_on and self._fleet.count_failed_device(event.device_on) == BAD_DEVICES:
            bad = f"{BAD_DEVICES} workers have lost their device on {event.host or event.device_on}"
            self.note(f"{bad}: other machines are taken where there are any")
        if place.loading and event.device_on:
            self._load_failed_on(place, failure, event.device_on, event.host)
        elif place.loading and not self._is_the_machines_fault(place, event.machine):
            self._load_failed(place, failure)
        self._fleet.assign(place, None)
        self._fleet.free(place)
        self._pace.forget(place.name)
        for item in lost:
            self._give_up(self._board.fail(replace(failure, item_id=item.id)))

    def _is_the_machines_fault(self, place: WorkerSlot, machine: str) -> bool:
        """Whether a load ended because the worker's whole machine went. A model whose loads take machine after machine with them
        is to blame itself."""
        return bool(machine) and self._fleet.count_lost_machine(place.variant or "", machine) < MAX_ATTEMPTS

    def _give_up(self, failures: Sequence[Failure]) -> None:
        self.causes += bool(failures)
        self.record(failures)
