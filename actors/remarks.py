"""What the code beside a model logs while a task runs, caught so that it can travel to the driver with the outcomes.

That is this package and every library that it uses: a library's own way to the terminal is closed meanwhile, so that what it says
(a model's name among it, as a stranger wrote it) is shown once and clean, and stands in the log of the sweep.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

LOGGER = ""
"""The logger whose records are caught: the root, which hears of all."""

ELSEWHERE = "orchestrator"
"""What a driver in the same process logs it writes down itself."""

KEPT = 100
"""Remarks between two outcomes; of more only the last are kept."""

CHARACTERS = 2_000

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Remark:
    """One log record of a worker: ``level`` by name, ``source`` the logger, ``seconds`` since the epoch on the worker's clock."""

    level: str
    source: str
    text: str
    seconds: float


class Remarks(logging.Handler):
    """While entered, holds back what is logged at WARNING and above, Python's warnings too, until it is ``taken``. Of what a
    library says again and again only the first is kept."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._waiting: deque[Remark] = deque(maxlen=KEPT)
        self._heard: set[tuple[str, str]] = set()

    def __enter__(self) -> Remarks:
        listen_to_libraries()
        logging.captureWarnings(True)
        logging.getLogger(LOGGER).addHandler(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        logging.getLogger(LOGGER).removeHandler(self)
        logging.captureWarnings(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        owner = record.name.partition(".")[0]
        text = _COLOURS.sub("", record.getMessage()).strip()
        if owner == ELSEWHERE or (owner != "actors" and (record.name, text) in self._heard):
            return
        self._heard.add((record.name, text))
        self._waiting.append(Remark(record.levelname, record.name, text[:CHARACTERS], record.created))

    def taken(self) -> Iterator[Remark]:
        """What was logged since the last time, oldest first."""
        while self._waiting:
            yield self._waiting.popleft()


def listen_to_libraries() -> None:
    """Have every library that has been imported log to the root, not by a handler of its own to the terminal."""
    for logger in list(logging.root.manager.loggerDict.values()):
        if not isinstance(logger, logging.Logger):
            continue
        own = [one for one in logger.handlers if type(one) is logging.StreamHandler]
        for handler in own:
            logger.removeHandler(handler)
        if own:
            logger.propagate = True
