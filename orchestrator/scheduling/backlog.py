"""What one model variant still has to do, in the order in which to do it, with its sums kept up to date."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from actors.types import CellResult
from orchestrator.scheduling.items import Item, State

Readiness = Callable[[Item], bool]


@dataclass(frozen=True)
class PieceSize:
    """How much to hand out: until there are ``rows`` rows and ``budget`` tokens. ``fill``: rows that the engine runs at once."""

    fill: int
    rows: int
    budget: float


@dataclass
class Measured:
    """What the cells that were done in this run took, added up; ``seconds`` of one worker."""

    rows: int = 0
    budget: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def add(self, item: Item, result: CellResult) -> None:
        """Count a finished cell."""
        self.rows += item.rows
        self.budget += item.budget
        self.tokens += result.new_tokens
        self.seconds += result.seconds


@dataclass(slots=True)
class Amount:
    """An amount of work."""

    items: int = 0
    rows: int = 0
    budget: int = 0

    def add(self, item: Item, sign: int) -> None:
        """Count an item in (1) or out (-1)."""
        self.items += sign
        self.rows += sign * item.rows
        self.budget += sign * item.budget


@dataclass
class Backlog:
    """The items of one variant. Queues may hold items that are no longer ready: whoever takes from them skips those."""

    items: list[Item] = field(default_factory=list)
    cells: Counter[State] = field(default_factory=Counter)
    unfinished: Amount = field(default_factory=Amount)
    ready: Amount = field(default_factory=Amount)
    """What waits for a worker only."""
    needs_own: Amount = field(default_factory=Amount)
    """What waits for an item of this variant,"""
    needs_other: Amount = field(default_factory=Amount)
    """and for one of another variant."""
    measured: Measured = field(default_factory=Measured)
    coming: int = 0
    """Items that run now and that pending ones of this variant may need."""
    wanted_elsewhere: int = 0
    """Items of this variant, not begun yet, that items of other variants need."""
    _single: deque[Item] = field(default_factory=deque)
    _suspects: deque[Item] = field(default_factory=deque)
    _fresh: list[tuple[int, int, Item]] = field(default_factory=list)

    @property
    def reachable(self) -> int:
        """Tokens that workers with this variant could run without the help of others."""
        return self.ready.budget + self.needs_own.budget

    @property
    def running(self) -> int:
        """Tokens of the items that workers have, at most."""
        return self.unfinished.budget - self.ready.budget - self.needs_own.budget - self.needs_other.budget

    def put(self, item: Item) -> None:
        """Queue an item that is ready."""
        if item.queued:
            return
        item.queued = True
        if not item.several:
            self._single.append(item)
        elif item.suspect:
            self._suspects.append(item)
        else:
            heappush(self._fresh, (-item.budget, item.order, item))

    def piece(self, size: PieceSize, is_ready: Readiness, shunned_by: str | None) -> list[Item]:
        """Take what to hand out next, of one kind: an item that has a task of its own, else items that failed before, else the
        largest.

        Items that failed on the worker ``shunned_by`` are left for the others.
        """
        while self._single:
            item = self._single.popleft()
            item.queued = False
            if is_ready(item):
                return [item]
        return self._suspect_piece(size.fill, is_ready, shunned_by) or list(self._fresh_piece(size, is_ready))

    def _suspect_piece(self, fill: int, is_ready: Readiness, shunned_by: str | None) -> list[Item]:
        piece: list[Item] = []
        left: list[Item] = []
        rows = 0
        while self._suspects and rows < fill:
            item = self._suspects.popleft()
            item.queued = False
            if not is_ready(item):
                continue
            if shunned_by in item.workers or (piece and (item.alone or item.spec.kind != piece[0].spec.kind)):
                item.queued = True
                left.append(item)
                continue
            piece.append(item)
            rows = fill if item.alone else rows + item.rows
        self._suspects.extendleft(reversed(left))
        return piece

    def _fresh_piece(self, size: PieceSize, is_ready: Readiness) -> Iterator[Item]:
        rows, budget, kind = 0, 0, ""
        while self._fresh:
            item = self._fresh[0][2]
            ready = is_ready(item)
            if ready and kind and item.spec.kind != kind:
                return
            if ready and rows >= max(1, size.rows) and budget + item.budget / 2 > size.budget:
                return
            heappop(self._fresh)
            item.queued = False
            if ready:
                rows, budget, kind = rows + item.rows, budget + item.budget, item.spec.kind
                yield item
