"""Who stands where, and the sums that follow, kept up to date: no question about them costs a walk over all items."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from orchestrator.scheduling.backlog import Amount, Backlog
from orchestrator.scheduling.items import Item, State


class Ledger:
    """Changes the state of items, and with it every sum. An item must have its state when it is added."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.backlogs: dict[str, Backlog] = {}
        self.cells: Counter[State] = Counter()
        self.unfinished = 0
        self.readied = 0
        self._needed_by: dict[str, list[Item]] = defaultdict(list)
        self._feeds: dict[str, frozenset[str]] = {}

    def add(self, items: Sequence[Item]) -> None:
        """Take in new items: of a whole plan, or what has become known since."""
        needed = {one for item in items for one in item.needs}
        known = [self.items[one] for one in needed if one in self.items]
        for one in known:
            self._count(one, -1)
        for item in items:
            self.items[item.id] = item
            self.backlogs.setdefault(item.variant, Backlog()).items.append(item)
            for need in item.needs:
                self._needed_by[need].append(item)
        for need in needed:
            self._feeds[need] = frozenset(one.variant for one in self._needed_by[need])
        for item in (*known, *items):
            self._count(item, 1)
        for item in items:
            self._queue(item)

    def needing(self, item_id: str) -> Sequence[Item]:
        """The items that need this one."""
        return self._needed_by.get(item_id, ())

    def is_ready(self, item: Item) -> bool:
        """Whether an item can run now."""
        return item.state is State.PENDING and self._waits_for(item) is None

    def move(self, item: Item, state: State) -> None:
        """The only way from one state to another. What waits for an item changes its standing with it."""
        waiting: list[Item] = []
        if item.id in self._needed_by and State.DONE in (item.state, state):
            waiting = [one for one in self.needing(item.id) if one.state is State.PENDING]
        for one in waiting:
            self._amount_of(one).add(one, -1)
        self._count(item, -1)
        item.state = state
        self._count(item, 1)
        self._queue(item)
        for one in waiting:
            self._amount_of(one).add(one, 1)
            self._queue(one)

    def _queue(self, item: Item) -> None:
        if self.is_ready(item):
            self.readied += 1
            self.backlogs[item.variant].put(item)

    def _count(self, item: Item, sign: int) -> None:
        backlog = self.backlogs[item.variant]
        if not item.finished:
            self.unfinished += sign
            backlog.unfinished.add(item, sign)
        if item.state is State.PENDING:
            self._amount_of(item).add(item, sign)
        if item.counted:
            self.cells[item.state] += sign
            backlog.cells[item.state] += sign
        if item.id in self._feeds:
            self._count_needed(item, sign)

    def _amount_of(self, item: Item) -> Amount:
        """Which sum of its backlog a pending item belongs to."""
        backlog, needed = self.backlogs[item.variant], self._waits_for(item)
        if needed is None:
            return backlog.ready
        return backlog.needs_own if needed.variant == item.variant else backlog.needs_other

    def _waits_for(self, item: Item) -> Item | None:
        """The first of what an item needs that is not done."""
        for one in item.needs:
            if self.items[one].state is not State.DONE:
                return self.items[one]
        return None

    def _count_needed(self, item: Item, sign: int) -> None:
        fed = self._feeds[item.id]
        if item.state is State.RUNNING:
            for variant in fed:
                self.backlogs[variant].coming += sign
        elif item.state is State.PENDING and fed - {item.variant}:
            self.backlogs[item.variant].wanted_elsewhere += sign
