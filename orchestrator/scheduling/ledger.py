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
        known = [self.items[one] for one in {item.needs for item in items} if one in self.items]
        for direction in known:
            self._count(direction, -1)
        for item in items:
            self.items[item.id] = item
            self.backlogs.setdefault(item.variant, Backlog()).items.append(item)
            if item.needs is not None:
                self._needed_by[item.needs].append(item)
        for needed in {item.needs for item in items if item.needs is not None}:
            self._feeds[needed] = frozenset(cell.variant for cell in self._needed_by[needed])
        for item in (*known, *items):
            self._count(item, 1)
        for item in items:
            self._queue(item)

    def needing(self, direction_id: str) -> Sequence[Item]:
        """The cells that need a direction."""
        return self._needed_by.get(direction_id, ())

    def is_ready(self, item: Item) -> bool:
        """Whether an item can run now."""
        return item.state is State.PENDING and (item.needs is None or self.items[item.needs].state is State.DONE)

    def move(self, item: Item, state: State) -> None:
        """The only way from one state to another. With a direction, the cells that wait for it change their standing."""
        concerned = [item]
        if not item.is_cell and State.DONE in (item.state, state):
            concerned += [one for one in self.needing(item.id) if one.state is State.PENDING]
        for one in concerned:
            self._count(one, -1)
        item.state = state
        for one in concerned:
            self._count(one, 1)
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
            self._amount_of(item, backlog).add(item, sign)
        if item.is_cell:
            self.cells[item.state] += sign
            backlog.cells[item.state] += sign
        else:
            self._count_direction(item, sign)

    def _amount_of(self, item: Item, backlog: Backlog) -> Amount:
        """Which sum of its backlog a pending item belongs to."""
        needed = None if item.needs is None else self.items[item.needs]
        if needed is None or needed.state is State.DONE:
            return backlog.ready
        return backlog.needs_own if needed.variant == item.variant else backlog.needs_other

    def _count_direction(self, item: Item, sign: int) -> None:
        fed = self._feeds.get(item.id, frozenset())
        if item.state is State.RUNNING:
            for variant in fed:
                self.backlogs[variant].coming += sign
        elif item.state is State.PENDING and fed - {item.variant}:
            self.backlogs[item.variant].wanted_elsewhere += sign
