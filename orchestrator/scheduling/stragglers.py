"""What a worker with nothing else to do runs a second time, because the worker that has it is far behind, or hangs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.scheduling.board import Board, Item
from orchestrator.scheduling.fleet import Fleet, WorkerSlot
from orchestrator.scheduling.pace import Pace

BEHIND = 1.3
"""Items run again elsewhere when where they are they would take this many times longer,"""

WORTH_SECONDS = 10.0
"""and when at least so much time is gained."""

PATIENCE_SECONDS = 300.0
"""A task whose length cannot be foretold (an extraction, the first cells of a model) is run again elsewhere after that."""

LOOK_SECONDS = 30.0
"""How often an idle worker looks for one that hangs and is alone with its model."""


class Stragglers:
    """Finds the worker that will be last and takes what it has not finished. The first result of an item counts.

    ``has_room``: whether a worker may load a variant.
    """

    def __init__(self, board: Board, fleet: Fleet, pace: Pace, has_room: Callable[[WorkerSlot, str], bool]) -> None:
        self._board, self._fleet, self._pace, self._has_room = board, fleet, pace, has_room
        self._looked: dict[str, float] = {}

    def items_for(self, slot: WorkerSlot) -> Sequence[Item]:
        """What ``slot``, idle with its model, should run although another worker has it; mostly nothing."""
        if slot.variant is None or slot.info is None:
            return ()
        others = [other for other in self._fleet.with_model(slot.variant) if self._only_there(other)]
        last = max(others, key=self._seconds_left, default=None)
        if last is None:
            return ()
        items = _last_fill(self._only_there(last), slot.info.slots)
        return items if self._gains(slot, last, items) > WORTH_SECONDS else ()

    def variant_for(self, slot: WorkerSlot) -> str | None:
        """The model that ``slot``, idle, should load to help a worker that is alone with it; looked for now and then."""
        if self._fleet.now() - self._looked.setdefault(slot.name, self._fleet.now()) < LOOK_SECONDS:
            return None
        self._looked[slot.name] = self._fleet.now()
        alone = {variant for variant in self._board.variants() if self._may_help(slot, variant)}
        gains = {
            other.variant: self._gains(slot, other, items) - self._pace.load_seconds(other.variant)
            for other in (self._fleet.slots.values() if alone else ())
            if other.variant in alone and (items := self._only_there(other))
        }
        best = max(gains, key=gains.__getitem__, default=None)
        return best if best is not None and gains[best] > WORTH_SECONDS else None

    def _may_help(self, slot: WorkerSlot, variant: str) -> bool:
        return self._fleet.holders(variant) == 1 and self._fleet.may_replicate(slot, variant) and self._has_room(slot, variant)

    def _gains(self, slot: WorkerSlot, other: WorkerSlot, items: Sequence[Item]) -> float:
        """Seconds gained if ``slot`` runs the last ``items`` of ``other`` too; less than none when it is not that far behind."""
        if not self._can_foretell(items[0]):
            return self._fleet.seconds_since(other) - PATIENCE_SECONDS
        here = self._usual_seconds(items) * self._pace.slowness(slot.name)
        return self._seconds_left(other) - BEHIND * here

    def _seconds_left(self, slot: WorkerSlot) -> float:
        """How long ``slot`` will go on, judged by its cells so far and by how long it has been silent."""
        items, silent = self._board.running_on(slot.name), self._fleet.seconds_since(slot)
        if slot.info is None or not items or not self._can_foretell(items[0]):
            return silent
        seconds = self._usual_seconds(items) * self._pace.slowness(slot.name)
        # a full engine finishes several cells at once
        until_next = seconds / sum(item.rows for item in items) * max(items[0].rows, slot.info.slots)
        if silent <= until_next:
            return max(0.0, seconds - silent)
        return max(0.0, seconds - until_next) + silent  # what is overdue will be so for as long again

    def _can_foretell(self, item: Item) -> bool:
        return item.counted and self._pace.is_measured(item.variant)

    def _usual_seconds(self, items: Sequence[Item]) -> float:
        return self._pace.seconds(items[0].variant, sum(item.budget for item in items))

    def _only_there(self, slot: WorkerSlot) -> list[Item]:
        """What ``slot`` and nobody else runs. What has failed before is left alone: it may do the same to the helper."""
        return [item for item in self._board.running_on(slot.name) if len(item.workers) == 1 and not item.suspect]


def _last_fill(items: Sequence[Item], slots: int) -> Sequence[Item]:
    """The last of ``items`` that fill the slots once: what the one that is behind will come to last."""
    rows = 0
    for number in range(len(items) - 1, -1, -1):
        rows += items[number].rows
        if rows >= slots:
            return items[number:]
    return items
