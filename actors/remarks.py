"""What the code beside a model logs while a task runs, caught so that it can travel to the driver with the outcomes."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

LOGGER = "actors"
KEPT = 100
"""Remarks between two outcomes; of more only the last are kept."""

CHARACTERS = 2_000


@dataclass(frozen=True)
class Remark:
    """One log record of a worker: ``level`` by name, ``source`` the logger, ``seconds`` since the epoch on the worker's clock."""

    level: str
    source: str
    text: str
    seconds: float


class Remarks(logging.Handler):
    """While entered, holds back what is logged under ``actors`` at WARNING and above until it is ``taken``."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._waiting: deque[Remark] = deque(maxlen=KEPT)

    def __enter__(self) -> Remarks:
        logging.getLogger(LOGGER).addHandler(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        logging.getLogger(LOGGER).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self._waiting.append(Remark(record.levelname, record.name, record.getMessage()[:CHARACTERS], record.created))

    def taken(self) -> Iterator[Remark]:
        """What was logged since the last time, oldest first."""
        while self._waiting:
            yield self._waiting.popleft()
