"""Runs the items of a plan on the workers of a pool.

A worker keeps its model while that model has ready work; otherwise it loads the variant with the most ready work; a
worker with nothing left loads a replica when the remaining work outlasts a load. What comes back is recorded at once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

from actors.boundary import as_failure
from actors.errors import JobError, WorkerDiedError
from actors.types import CellResult, DirectionSet, Failure, FloatArray, GenerationJob, ModelInfo
from orchestrator import placement
from orchestrator.board import Board, Item, State, attempts_allowed
from orchestrator.cells import Cell, DirectionSpec
from orchestrator.jobs import extraction_job, generation_job, steering_vectors
from orchestrator.plan import Plan
from orchestrator.pool import (
    CellDone,
    Event,
    Extract,
    Extracted,
    Failed,
    Generate,
    Load,
    Loaded,
    Pool,
    TaskDone,
    WorkerLost,
)

TICK_SECONDS = 2.0
"""How long to wait for an event before looking again for new workers."""


class TooManyFailuresError(Exception):
    """More than ``max_failures`` items failed: the sweep was stopped."""


class Recorder(Protocol):
    """Who writes down what the workers return (``orchestrator.recorder``)."""

    def loaded(self, variant: str, worker: str, info: ModelInfo) -> None:
        """A worker holds a model."""
        ...

    def direction(self, spec: DirectionSpec, found: DirectionSet) -> None:
        """A direction set was extracted; ValueError when it cannot be right."""
        ...

    def read_direction(self, direction_id: str) -> DirectionSet | None:
        """A direction set that was recorded before, in this run or an earlier one; None when it is lost."""
        ...

    def cell(self, cell: Cell, result: CellResult, attempt: int) -> None:
        """A cell was generated, at its ``attempt``-th try; ValueError when the result cannot be right."""
        ...

    def failure(self, failure: Failure) -> None:
        """An item failed for good."""
        ...

    def note(self, text: str) -> None:
        """Something a person should know: a worker died, a cell is tried again."""
        ...


@dataclass
class Place:
    """A worker as the scheduler sees it: the variant that it holds or loads, and whether it has a task."""

    name: str
    variant: str | None = None
    info: ModelInfo | None = None
    busy: bool = False
    since: float = 0.0


@dataclass(frozen=True)
class Settings:
    """``max_failures``: stop when more items than that have failed (None: never). ``waiting``: entered around every wait, so that
    a signal may interrupt waiting but never writing. ``clock``: seconds."""

    max_failures: int | None = None
    waiting: Callable[[], AbstractContextManager[object]] = nullcontext
    clock: Callable[[], float] = time.monotonic


class Scheduler:
    """Brings every item of ``board`` to done or failed. Owns no results: ``recorder`` writes them."""

    def __init__(self, plan: Plan, board: Board, pool: Pool, recorder: Recorder, settings: Settings | None = None) -> None:
        self._plan, self._board, self._pool, self._recorder = plan, board, pool, recorder
        self._settings = settings or Settings()
        self._places: dict[str, Place] = {}
        self._load_failures: Counter[str] = Counter()
        self._load_seconds: dict[str, float] = {}
        self._failed_now = 0

    def run(self) -> None:
        """Run to the end. Raises ``TooManyFailuresError``, and KeyboardInterrupt after writing what has arrived."""
        for failure in self._board.found_failed:
            self._recorder.failure(failure)
        try:
            while self._board.unfinished():
                self._hand_out_work()
                event = self._next_event()
                if event is not None:
                    self._handle(event)
                self._stop_when_hopeless()
        except KeyboardInterrupt:
            self._handle_what_has_arrived()
            raise

    # ---- handing out -------------------------------------------------------------------------------------------

    def _hand_out_work(self) -> None:
        self._meet_new_workers()
        for place in self._idle():
            if place.info is not None:
                self._continue_with_its_model(place)
        for place in sorted(self._idle(), key=lambda place: place.variant is not None):
            variant = self._variant_to_load(place)
            if variant is not None:
                self._load(place, variant)
            elif self._room_is_wanted(place):
                self._pool.release(place.name)
                place.variant = place.info = None
        if not any(place.busy for place in self._places.values()) and self._board.unfinished():
            raise RuntimeError("the scheduler has open items but nothing to run; please report this")

    def _meet_new_workers(self) -> None:
        names = self._pool.workers()
        for name in names:
            self._places.setdefault(name, Place(name))
        for name in self._places.keys() - set(names):
            if not self._places[name].busy:
                del self._places[name]

    def _idle(self) -> list[Place]:
        return [place for place in self._places.values() if not place.busy]

    def _continue_with_its_model(self, place: Place) -> None:
        ready = self._board.ready(place.variant or "")
        while ready and not place.busy:
            if isinstance(ready[0].spec, DirectionSpec):
                self._extract(place, ready[0])
            else:
                self._generate(place, self._batch(place, ready))
            ready = self._board.ready(place.variant or "")

    def _batch(self, place: Place, ready: list[Item]) -> list[Item]:
        assert place.info is not None  # only a loaded worker gets a batch
        assert place.variant is not None
        if ready[0].suspect:
            return ready[:1]
        rate = self._board.rows_per_second(place.variant)
        total = sum(item.rows for item in ready)
        wanted = placement.batch_rows(place.info.slots, rate, total, len(self._holders(place.variant)))
        batch: list[Item] = []
        for item in ready:
            if item.suspect or sum(taken.rows for taken in batch) >= wanted:
                break
            batch.append(item)
        return batch

    def _extract(self, place: Place, item: Item) -> None:
        assert isinstance(item.spec, DirectionSpec)
        self._board.start([item], place.name)
        self._submit(place, Extract(extraction_job(item.spec)))

    def _generate(self, place: Place, items: list[Item]) -> None:
        self._board.start(items, place.name)
        shared: dict[object, FloatArray] = {}  # equal vectors are one array, so they cross the wire once
        jobs = [job for item in items if (job := self._job(item, shared)) is not None]
        if jobs:
            self._submit(place, Generate(tuple(jobs)))

    def _job(self, item: Item, shared: dict[object, FloatArray]) -> GenerationJob | None:
        assert isinstance(item.spec, Cell)
        steering = item.spec.steering
        if steering is None:
            return generation_job(item.spec, None)
        key = (steering.direction.id, steering.source_layer, steering.layers)
        if key not in shared:
            found = self._recorder.read_direction(steering.direction.id)
            if found is None:
                self._extract_again(item, steering.direction.id)
                return None
            try:
                shared[key] = steering_vectors(steering, found)
            except JobError as error:
                self._item_failed(as_failure(item.id, error))
                return None
        return generation_job(item.spec, shared[key])

    def _extract_again(self, item: Item, direction_id: str) -> None:
        self._recorder.note(f"{direction_id} is lost or damaged: extracting it again")
        self._board.reopen(direction_id)
        self._board.reopen(item.id)

    def _submit(self, place: Place, task: Extract | Generate | Load) -> None:
        place.busy, place.since = True, self._settings.clock()
        self._pool.submit(place.name, task)

    # ---- which model where -------------------------------------------------------------------------------------

    def _variant_to_load(self, place: Place) -> str | None:
        variants = self._board.variants()
        unheld = [variant for variant in variants if self._board.reachable_rows(variant) and not self._holders(variant)]
        if unheld:
            return max(unheld, key=self._board.reachable_rows)
        replicas = [variant for variant in variants if variant != place.variant and self._worth_a_replica(variant)]
        return max(replicas, key=self._remaining_seconds, default=None)

    def _worth_a_replica(self, variant: str) -> bool:
        if not self._board.open_rows(variant) or self._load_failures[variant]:
            return False
        if len(self._holders(variant)) >= self._pool.capacity(self._plan.model(variant).resources):
            return False
        return placement.outlasts_a_load(self._remaining_seconds(variant), self._load_seconds.get(variant))

    def _remaining_seconds(self, variant: str) -> float:
        board = self._board
        holders = len(self._holders(variant))
        return placement.remaining_seconds(board.open_rows(variant), board.rows_per_second(variant), holders)

    def _holders(self, variant: str) -> list[Place]:
        patience_ended = self._settings.clock() - placement.LOAD_PATIENCE_SECONDS
        return [
            place
            for place in self._places.values()
            if place.variant == variant and (place.info is not None or place.since > patience_ended)
        ]

    def _room_is_wanted(self, place: Place) -> bool:
        """An idle worker makes room when another one waits for resources of another size."""
        if place.variant is None:
            return False
        own = self._plan.model(place.variant).resources
        loading = [other.variant for other in self._places.values() if other.busy and other.info is None and other.variant]
        return any(self._plan.model(variant).resources != own for variant in loading)

    def _load(self, place: Place, variant: str) -> None:
        model = self._plan.model(variant)
        place.variant, place.info = variant, None
        self._submit(place, Load(variant, model.spec, self._plan.engine, model.resources))

    # ---- what comes back ---------------------------------------------------------------------------------------

    def _next_event(self) -> Event | None:
        with self._settings.waiting():
            return self._pool.next_event(TICK_SECONDS)

    def _handle_what_has_arrived(self) -> None:
        while (event := self._pool.next_event(0)) is not None:
            self._handle(event)

    def _handle(self, event: Event) -> None:
        place = self._places[event.worker]
        match event:
            case Loaded():
                self._loaded(place, event.info)
            case Extracted():
                self._extracted(event)
            case CellDone():
                self._cell_done(event)
            case Failed() if place.info is None:
                self._load_failed(place, event.failure)
            case Failed():
                self._item_failed(event.failure)
            case TaskDone():
                place.busy = False
            case WorkerLost():
                self._worker_lost(place, event.message)

    def _loaded(self, place: Place, info: ModelInfo) -> None:
        assert place.variant is not None
        place.info = info
        self._load_seconds[place.variant] = info.load_seconds
        self._recorder.loaded(place.variant, place.name, info)

    def _extracted(self, event: Extracted) -> None:
        item = self._board[event.job_id]
        assert isinstance(item.spec, DirectionSpec)
        try:
            self._recorder.direction(item.spec, event.found)
        except ValueError as error:
            self._item_failed(as_failure(item.id, error))
        else:
            self._board.finish(item.id)

    def _cell_done(self, event: CellDone) -> None:
        result = replace(event.result, provenance={**event.result.provenance, "worker": event.worker})
        item = self._board[result.cell_id]
        if item.state is not State.RUNNING or not isinstance(item.spec, Cell):
            return
        self._board.finish(item.id, result)
        try:
            self._recorder.cell(item.spec, result, item.attempt + 1)
        except ValueError as error:
            self._item_failed(as_failure(item.id, error))

    def _item_failed(self, failure: Failure) -> None:
        self._record(self._board.fail(failure), failure)

    def _load_failed(self, place: Place, failure: Failure) -> None:
        variant = place.variant or ""
        place.variant = None
        self._load_failures[variant] += 1
        attempt = self._load_failures[variant]
        if self._holders(variant):  # a replica: the work goes on where the model did load
            self._recorder.note(f"{place.name}: no replica of {self._plan.model(variant).name}: {failure.message}")
        elif attempt < attempts_allowed(failure):
            self._recorder.note(f"{place.name}: loading {self._plan.model(variant).name} again: {failure.message}")
        else:
            self._record(self._board.fail_variant(replace(failure, item_id=variant, attempt=attempt)), failure)

    def _worker_lost(self, place: Place, message: str) -> None:
        lost, loading = self._board.running_on(place.name), place.info is None and place.variant is not None
        place.busy, place.info = False, None
        self._recorder.note(f"{place.name} died, a new worker takes its place: {message}")
        failure = as_failure("", WorkerDiedError(message))
        if loading:
            self._load_failed(place, replace(failure, worker=place.name))
        place.variant = None
        for item in lost:
            self._item_failed(replace(failure, item_id=item.id, worker=place.name))

    def _record(self, failures: list[Failure], attempted: Failure) -> None:
        if not failures:
            self._recorder.note(f"{attempted.item_id} is tried again: {attempted.kind}: {attempted.message}")
            return
        self._failed_now += 1
        for failure in failures:
            self._recorder.failure(failure)

    def _stop_when_hopeless(self) -> None:
        limit = self._settings.max_failures
        if limit is not None and self._failed_now > limit:
            self._handle_what_has_arrived()
            raise TooManyFailuresError(f"stopped: {self._failed_now} failures are more than max_failures: {limit}")
