"""What the code beside a model logs while a task runs, caught so that it can travel to the driver with the outcomes."""

from __future__ import annotations

import logging
import re
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

LOGGER = "actors"
LIBRARIES = ("transformers", "peft", "bitsandbytes", "accelerate", "huggingface_hub", "safetensors", "tokenizers", "nnsight")
"""Loggers of the libraries beside a model: what they say belongs to the model's user, and never straight onto a terminal."""
WARNINGS = "warnings"
"""Source of a remark that was a Python warning."""
KEPT = 100
"""Remarks between two outcomes; of more only the last are kept."""

CHARACTERS = 2_000
FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Remark:
    """One log record of a worker: ``level`` by name, ``source`` the logger, ``seconds`` since the epoch on the worker's clock."""

    level: str
    source: str
    text: str
    seconds: float


class Remarks(logging.Handler):
    """While entered, holds back what is logged under ``actors`` and by ``LIBRARIES`` at WARNING and above, and Python's warnings,
    until it is ``taken``. What a library says again in the same words is kept once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._waiting: deque[Remark] = deque(maxlen=KEPT)
        self._said: set[str] = set()
        self._silenced: list[tuple[logging.Logger, logging.Handler]] = []
        self._show_before = warnings.showwarning

    def __enter__(self) -> Remarks:
        logging.getLogger(LOGGER).addHandler(self)
        for name in LIBRARIES:
            library = logging.getLogger(name)
            for handler in library.handlers[:]:
                if type(handler) is logging.StreamHandler:  # its own way to the terminal
                    library.removeHandler(handler)
                    self._silenced.append((library, handler))
            library.addHandler(self)
        self._show_before = warnings.showwarning
        warnings.showwarning = self._warned
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if warnings.showwarning == self._warned:
            warnings.showwarning = self._show_before
        for name in (LOGGER, *LIBRARIES):
            logging.getLogger(name).removeHandler(self)
        for library, handler in self._silenced:
            library.addHandler(handler)
        self._silenced.clear()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        text = record.getMessage()
        if record.name.partition(".")[0] != LOGGER:
            text = " ".join(_COLOURS.sub("", text).split())
            if text in self._said:
                return
            self._said.add(text)
        self._waiting.append(Remark(record.levelname, record.name, text[:CHARACTERS], record.created))

    def taken(self) -> Iterator[Remark]:
        """What was logged since the last time, oldest first."""
        while self._waiting:
            yield self._waiting.popleft()

    def _warned(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """In place of ``warnings.showwarning``: the words without the place in a library's source."""
        if not issubclass(category, FOR_DEVELOPERS):
            self.handle(
                logging.makeLogRecord({"name": WARNINGS, "levelno": logging.WARNING, "levelname": "WARNING", "msg": str(message)})
            )


@contextmanager
def every_warning() -> Iterator[None]:
    """Warnings for users are given each time, not once in the life of a process: each model that is loaded gets its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("always", RuntimeWarning)
        yield
