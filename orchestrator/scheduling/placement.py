"""Which model a worker loads next, and how much work it gets at once.

A worker keeps its model while that model has ready work; else it loads the variant that nobody holds, those that others wait for
first and then the largest; else a replica of the variant that will take longest, when that outlasts a load.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from actors.types import Resources
from orchestrator.scheduling.backlog import Amount, PieceSize
from orchestrator.scheduling.board import Board
from orchestrator.scheduling.fleet import Fleet, WorkerSlot, room_for, takes_room_of
from orchestrator.scheduling.pace import Pace

PIECE_SECONDS = 60.0
"""A piece of work lasts about a minute: more would unbalance the end, less would let the engine run empty too often."""

PIECE_FILLS = 4
"""A piece has at least this many times the engine's slots in rows, so that freed slots find a row to take."""

SHARES = 2
"""Towards the end a worker gets one of this many fair shares of what is ready, so that all finish together."""

CLEARLY_SLOW = 1.3
"""A worker that takes this many times as long as usual may be left idle at the end."""

CLEARLY = 0.97
"""A worker leaves a model that has work when without it that ends in less than this part of what another model needs with it."""


MACHINE_SECONDS = 300.0
"""What a machine takes to join: one more is asked for only where each worker still has more work than that and a load."""

LET_GO_SECONDS = 300.0
"""A worker that has had no use for so long gives its model back, so that its machine may go."""


Capacity = Callable[[Resources, frozenset[str]], int]
"""How many workers with these resources fit on the machines that are not among those to avoid."""


@dataclass(frozen=True)
class Speed:
    """Of one worker: ``seconds_per_token`` of its model (None until a cell was measured), ``slowness`` against others."""

    seconds_per_token: float | None
    slowness: float = 1.0


def piece_size(slots: int, speed: Speed, ready: Amount, holders: int) -> PieceSize:
    """About ``PIECE_SECONDS`` of work and at least ``PIECE_FILLS`` fills of the slots; towards the end no more than a part of a
    fair share of what is ready, or one fill, if that is less than a whole share. A slow worker's share is smaller. Until a
    cell was measured the fills alone decide."""
    share = ready.rows / max(1, holders) / speed.slowness
    part = share / SHARES if holders > 1 else share
    rows = math.ceil(max(min(slots, share), min(PIECE_FILLS * slots, part)))
    if speed.seconds_per_token is None:
        return PieceSize(slots, rows, 0.0)
    most = PIECE_SECONDS / (speed.seconds_per_token * speed.slowness)
    return PieceSize(slots, rows, min(most, ready.budget * part / max(1, ready.rows)))


class Placement:
    """The choice of a model for an idle worker. ``resources``: what a variant needs; ``capacity``: how many such workers fit."""

    def __init__(self, board: Board, fleet: Fleet, pace: Pace, resources: Callable[[str], Resources], capacity: Capacity) -> None:
        self._board, self._fleet, self._pace, self._resources = board, fleet, pace, resources
        self._count_capacity = capacity
        self.look_again()

    def look_again(self) -> None:
        """Machines may have come or gone since the last look."""
        self._capacity = cache(self._count_capacity)

    def size_for(self, slot: WorkerSlot) -> PieceSize:
        """How much ``slot``, which holds a model, gets at once."""
        assert slot.variant is not None
        assert slot.info is not None  # only a loaded worker gets work
        variant, pace = slot.variant, self._pace
        speed = Speed(pace.seconds(variant, 1) if pace.is_measured(variant) else None, pace.slowness(slot.name))
        ready = self._board.backlog(variant).ready
        return piece_size(slot.info.slots, speed, ready, self._fleet.holders(variant))

    def better_left_to_others(self, slot: WorkerSlot) -> bool:
        """Whether ``slot`` is so slow that the others will have done what is ready sooner than it would do its piece."""
        variant, slowness = slot.variant or "", self._pace.slowness(slot.name)
        if slowness < CLEARLY_SLOW:
            return False
        if not any(other is not slot and other.items for other in self._fleet.with_model(variant)):
            return False
        size, ready = self.size_for(slot), self._board.backlog(variant).ready
        piece = self._pace.seconds(variant, max(size.budget, size.rows * ready.budget / max(1, ready.rows)))
        return slowness * piece > self._seconds_left(variant)

    def variant_for(self, slot: WorkerSlot, even_without_room: bool = False) -> str | None:
        """What ``slot`` should load, as its own model has nothing ready; None: nothing."""
        if slot.variant is not None and self._board.expects(slot.variant):
            return None
        possible = [one for one in self._useful(slot) if even_without_room or self.has_room(slot, one)]
        unheld = [variant for variant in possible if not self._fleet.holders(variant)]
        if unheld:
            return max(unheld, key=self._urgency)
        replicas = (variant for variant in possible if self._worth_a_replica(slot, variant))
        return max(replicas, key=self._seconds_left, default=None)

    def more_useful_elsewhere(self, slot: WorkerSlot) -> str | None:
        """The variant that ``slot`` should go over to although its own has work: one that would otherwise end clearly later."""
        if slot.variant is None or not self._board.backlog(slot.variant).ready.items:
            return None
        if self._fleet.holders(slot.variant) < 2 or not self._pace.is_measured(slot.variant):
            return None
        alone = self._seconds_left(slot.variant, -1)
        ends = {variant: self._seconds_left(variant, 1) for variant in self._useful(slot)}
        later = sorted((one for one, end in ends.items() if alone < CLEARLY * end), key=ends.__getitem__, reverse=True)
        return next((one for one in later if self._worth_a_replica(slot, one) and self.has_room(slot, one)), None)

    def speaks_for_all(self, slot: WorkerSlot) -> bool:
        """Whether what holds for ``slot`` holds for every other idle worker with the same model."""
        return not slot.barred and self._pace.slowness(slot.name) < CLEARLY_SLOW

    def must_make_room(self, slot: WorkerSlot) -> bool:
        """Whether ``slot``, which has nothing to do, keeps a model of another size from being loaded."""
        if slot.variant is None or self._board.expects(slot.variant):
            return False
        own = self._resources(slot.variant)
        unheld = [one for one in self._board.variants() if self._board.backlog(one).reachable and not self._fleet.holders(one)]
        return any(takes_room_of(own, self._resources(variant)) for variant in (*self._fleet.loading(), *unheld))

    def is_of_no_use(self, slot: WorkerSlot) -> bool:
        """Whether ``slot``, which has nothing to do, has had nothing to do for long, and its model has nothing that waits."""
        if slot.variant is None or self._fleet.seconds_since(slot) < LET_GO_SECONDS:
            return False
        backlog = self._board.backlog(slot.variant)
        return not (backlog.ready.items or backlog.needs_own.items or backlog.needs_other.items)

    def demand(self) -> dict[Resources, int]:
        """How many workers with each resources the open work could use: at least one for each model that has any."""
        wanted: dict[Resources, int] = {}
        for variant in self._board.variants():
            if self._board.backlog(variant).unfinished.items:
                resources = self._resources(variant)
                wanted[resources] = wanted.get(resources, 0) + self._useful_workers(variant)
        return wanted

    def _useful_workers(self, variant: str) -> int:
        backlog = self._board.backlog(variant)
        seconds = self._pace.seconds(variant, backlog.unfinished.budget - backlog.running / 2)
        share = self._pace.load_seconds(variant) + MACHINE_SECONDS
        return max(1, min(backlog.unfinished.items, int(seconds / share)))

    def _urgency(self, variant: str) -> tuple[bool, bool, int]:
        """Directions that others wait for come first, models that would have to come back for more directions last."""
        backlog = self._board.backlog(variant)
        return (backlog.wanted_elsewhere > 0, not backlog.needs_other.items, backlog.reachable)

    def _useful(self, slot: WorkerSlot) -> list[str]:
        """Other variants than its own that ``slot`` would have work for."""
        return [one for one in self._board.variants() if one != slot.variant and self._board.backlog(one).reachable]

    def _worth_a_replica(self, slot: WorkerSlot, variant: str) -> bool:
        """Whether its work outlasts a load."""
        load = self._pace.load_seconds(variant) * self._pace.slowness(slot.name)
        return self._seconds_left(variant) > load and self._fleet.may_replicate(slot, variant)

    def _seconds_left(self, variant: str, more: int = 0) -> float:
        """How long the work of ``variant`` that nobody runs yet will take, if so many workers join, after a load, or leave."""
        holders = max(1, self._fleet.holders(variant))
        backlog = self._board.backlog(variant)
        seconds = self._pace.seconds(variant, backlog.reachable + backlog.running / 2)
        if more <= 0:
            return seconds / max(1, holders + more)
        load = self._pace.load_seconds(variant)
        return load + max(0.0, seconds - load * holders) / (holders + more)

    def has_room(self, slot: WorkerSlot, variant: str) -> bool:
        """Whether the machines hold one more worker with ``variant`` beside all but ``slot``."""
        wanted = self._resources(variant)
        if self._fleet.is_crowded(wanted) and (slot.variant is None or self._resources(slot.variant) != wanted):
            return False
        capacity = self._capacity(wanted, self.to_avoid(variant))
        return room_for(wanted, capacity, self._fleet.taken(wanted, besides=slot))

    def has_machine(self, variant: str) -> bool:
        """Whether a machine could hold ``variant`` besides those that are unfit for it."""
        return self._capacity(self._resources(variant), self._fleet.unfit_machines(variant)) > 0

    def to_avoid(self, variant: str) -> frozenset[str]:
        """The machines that are unfit for ``variant``, as long as there are others for it."""
        unfit = self._fleet.unfit_machines(variant)
        return unfit if unfit and self.has_machine(variant) else frozenset()
