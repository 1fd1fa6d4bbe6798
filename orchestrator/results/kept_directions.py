"""Direction sets in memory while cells are steered with them: a file is read once for many cells, however many models run."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from actors.types import DirectionSet

KEPT_BYTES = 256 * 2**20
"""About 200 sets of a 32B model (64 layers of width 5,120)."""


class KeptDirections:
    """``read`` by direction id, remembering the sets that were used last as long as their vectors fit into ``most`` bytes.

    May be used by several threads. What ``read`` raises is passed on, and nothing is remembered.
    """

    def __init__(self, read: Callable[[str], DirectionSet], most: int = KEPT_BYTES) -> None:
        self._read, self._most = read, most
        self._guard = threading.Lock()
        self._kept: OrderedDict[str, DirectionSet] = OrderedDict()
        self._bytes = 0

    def __call__(self, direction_id: str) -> DirectionSet:
        """The set, from memory if it is there."""
        with self._guard:
            if direction_id in self._kept:
                self._kept.move_to_end(direction_id)
                return self._kept[direction_id]
        found = self._read(direction_id)
        with self._guard:
            self._keep(direction_id, found)
        return found

    def _keep(self, direction_id: str, found: DirectionSet) -> None:
        if direction_id in self._kept or size_of(found) > self._most:
            return
        self._kept[direction_id] = found
        self._bytes += size_of(found)
        while self._bytes > self._most:
            self._bytes -= size_of(self._kept.popitem(last=False)[1])


def size_of(found: DirectionSet) -> int:
    """Bytes of its vectors."""
    return sum(direction.vector.nbytes for direction in found.directions)
