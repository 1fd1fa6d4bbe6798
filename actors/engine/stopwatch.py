"""What each row cost: the time of every forward, or of those side by side, shared among the rows that took part."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from actors.engine.rows import Row


class Stopwatch:
    """Runs while the engine works; stands still while the caller has a finished row in hand."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def charge(self, rows: Sequence[Row]) -> None:
        """Share the time since the last charge equally among ``rows`` (``Row.seconds``)."""
        now = time.perf_counter()
        for row in rows:
            row.seconds += (now - self._since) / len(rows)
        self._since = now

    def pausing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """``rows``, with the time that the caller keeps each of them left out."""
        for row in rows:
            given = time.perf_counter()
            yield row
            self._since += time.perf_counter() - given
