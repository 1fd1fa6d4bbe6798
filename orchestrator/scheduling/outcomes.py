"""What comes back from the workers: a result is stored, a failure leads to another attempt or is stored. Then the board changes,
and whoever listens is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from actors.boundary import Answered, as_failure
from actors.errors import JobError, MachineLostError, UnfitDeviceError, WorkerDiedError
from actors.types import Failure, ModelInfo
from orchestrator.branches import Commits
from orchestrator.news import AttemptFailed, ItemFailed, ModelLoaded, Noted, Tell, WorkerDied
from orchestrator.plan import Plan
from orchestrator.pool import Event, TaskDone, WorkerGave, WorkerLost
from orchestrator.scheduling.attempts import BAD_DEVICES, BAD_MACHINES, MAX_ATTEMPTS, attempts_allowed, may_be_the_machines
from orchestrator.scheduling.board import Board, State
from orchestrator.scheduling.fleet import Fleet, WorkerSlot
from orchestrator.scheduling.intake import Intake
from orchestrator.scheduling.kinds import KINDS
from orchestrator.scheduling.pace import Pace
from orchestrator.scheduling.work import Records


@dataclass(frozen=True)
class Desk:
    """Where a run's state lies: the items, the workers, what things take; where events come in, who stores, and who is told.
    ``has_machine``: whether there is a machine for a model besides those on which it could not be loaded; ``commits``: at which
    branches of the hub are loaded."""

    board: Board
    fleet: Fleet
    pace: Pace
    has_machine: Callable[[str], bool]
    intake: Intake
    records: Records
    tell: Tell
    commits: Commits


class Outcomes:
    """Handles one event at a time. ``causes``: failures recorded in this run, not counting those that followed from others;
    ``freed``: workers that have become free, for whoever gives them something new."""

    def __init__(self, plan: Plan, desk: Desk) -> None:
        self._plan, self._board, self._fleet, self._pace = plan, desk.board, desk.fleet, desk.pace
        self._has_machine, self._intake, self._commits = desk.has_machine, desk.intake, desk.commits
        self._records, self._tell = desk.records, desk.tell
        self.causes = 0
        self.freed: list[WorkerSlot] = []

    def take_in(self, timeout: float, waiting: Callable[[], AbstractContextManager[object]] = nullcontext) -> bool:
        """Wait for what happens next, inside ``waiting``, and handle it; whether there was anything."""
        with waiting():
            event = self._intake.next(timeout)
        slot = None if event is None else self._fleet.slots.get(event.worker)
        if event is not None and slot is not None:  # else the last word of a worker that was idle and has left
            slot.since = self._fleet.now()
            self._handle(event, slot)
        return event is not None

    def _handle(self, event: Event, slot: WorkerSlot) -> None:
        match event:
            case WorkerGave(outcome=Answered() as answered):
                self._done(slot, answered)
            case WorkerGave(outcome=ModelInfo() as info):
                self._loaded(slot, info)
            case WorkerGave(outcome=Failure() as failure):
                self._failed(slot, failure, event.machine, event.host)
            case TaskDone():
                self._fleet.free(slot)
                self.freed.append(slot)
            case WorkerLost():
                self._tell(WorkerDied(slot.name, event.message, slot.left))
                if event.placed:
                    self._worker_lost(slot, event)
                else:
                    self._no_room(slot, event.message)
                self.freed.append(slot)

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

    def _loaded(self, slot: WorkerSlot, info: ModelInfo) -> None:
        assert slot.variant is not None
        self._commits.learn(self._plan.model(slot.variant).spec, info)
        self._fleet.loaded(slot, info)
        self._pace.loaded(slot.variant, info.load_seconds)
        self._tell(ModelLoaded(slot.variant, slot.name, info))

    def _done(self, slot: WorkerSlot, answered: Answered) -> None:
        item, result = self._board[answered.item_id], answered.content
        if item.state is not State.RUNNING:
            return  # another worker was first
        try:
            news = KINDS[item.spec.kind].store(self._records, item.spec, result, slot.name, item.attempt + 1)
        except (ValueError, JobError) as error:
            self.item_failed(replace(as_failure(item.id, error), worker=slot.name))
            return
        if item.counted:
            self._pace.cell_done(item.variant, slot.name, item.budget, result.seconds)
        self._board.finish(item.id, result if item.counted else None)
        self._tell(news)

    def _failed(self, slot: WorkerSlot, failure: Failure, machine: str, host: str) -> None:
        """Where the machine may be to blame for a load, the model is loaded on another one first."""
        self._tell(AttemptFailed(failure))
        if slot.info is not None:
            if self._board[failure.item_id].state is State.RUNNING:
                self.item_failed(failure)
        elif machine and may_be_the_machines(failure):
            self._load_failed_on(slot, failure, machine, host)
        else:
            self._load_failed(slot, failure)

    def _load_failed_on(self, slot: WorkerSlot, failure: Failure, machine: str, host: str) -> None:
        variant = slot.variant or ""
        bad, name = self._fleet.count_bad_machine(variant, machine, host), self._plan.model(variant).name
        hosts = ", ".join(self._fleet.bad_machines(variant).values())
        if (bad < BAD_MACHINES or failure.kind == UnfitDeviceError.kind) and self._has_machine(variant):
            self._fleet.assign(slot, None)
            self.note(f"{slot.name}: {name} cannot be loaded on {hosts}, another machine tries: {failure.message}")
        else:
            self._load_failed(slot, replace(failure, message=f"{failure.message} (on {hosts})"))

    def _load_failed(self, slot: WorkerSlot, failure: Failure) -> None:
        variant, name = slot.variant or "", self._plan.model(slot.variant or "").name
        self._fleet.assign(slot, None)
        attempt = self._fleet.count_failed_load(slot, variant)
        if self._fleet.holders(variant):  # a replica: the work goes on where the model did load
            self.note(f"{slot.name}: no replica of {name}: {failure.message}")
        elif attempt < attempts_allowed(failure):
            self.note(f"{slot.name}: loading {name} again: {failure.message}")
        else:
            self._give_up(self._board.fail_variant(replace(failure, item_id=variant, attempt=attempt)))

    def _no_room(self, slot: WorkerSlot, message: str) -> None:
        """Its load was never begun, so nothing has failed; another model may be tried meanwhile."""
        variant = slot.variant
        self._fleet.assign(slot, None)
        self._fleet.free(slot)
        if variant is not None and self._fleet.found_no_room(variant):
            self.note(f"{slot.name}: {message}; {self._plan.model(variant).name} waits for it")

    def _worker_lost(self, slot: WorkerSlot, event: WorkerLost) -> None:
        lost = self._board.running_on(slot.name)
        error = MachineLostError(event.message) if event.machine else WorkerDiedError(event.message)
        failure = replace(as_failure("", error), worker=slot.name)
        again = f"; {len(lost)} items are tried again" if lost else ""
        self.note(f"{slot.name} died, a new worker takes its place{again}: {event.message}")
        if event.device_on and self._fleet.count_failed_device(event.device_on) == BAD_DEVICES:
            bad = f"{BAD_DEVICES} workers have lost their device on {event.host or event.device_on}"
            self.note(f"{bad}: other machines are taken where there are any")
        if slot.loading and event.device_on:
            self._load_failed_on(slot, failure, event.device_on, event.host)
        elif slot.loading and not self._is_the_machines_fault(slot, event.machine):
            self._load_failed(slot, failure)
        self._fleet.assign(slot, None)
        self._fleet.free(slot)
        self._pace.forget(slot.name)
        for item in lost:
            self._give_up(self._board.fail(replace(failure, item_id=item.id)))

    def _is_the_machines_fault(self, slot: WorkerSlot, machine: str) -> bool:
        """Whether a load ended because the worker's whole machine went. A model whose loads take machine after machine with them
        is to blame itself."""
        return bool(machine) and self._fleet.count_lost_machine(slot.variant or "", machine) < MAX_ATTEMPTS

    def _give_up(self, failures: Sequence[Failure]) -> None:
        self.causes += bool(failures)
        self.record(failures)
