"""A recorder with a scorekeeper behind it, as a run has them."""

from __future__ import annotations

from types import TracebackType

from actors.types import CellResult
from orchestrator.cells import Cell
from orchestrator.recorder import Recorder
from orchestrator.results.store import Store
from orchestrator.scorekeeper import Scorekeeper
from orchestrator.scoring.uses import Scoring


class Recording(Recorder):
    """Whoever leaves it has all scores on the disk."""

    def __init__(self, store: Store, threads: int = 0, scoring: Scoring | None = None) -> None:
        self.scores = Scorekeeper(store, scoring or Scoring(), threads=threads or 1)
        super().__init__(store, threads)

    def _write(self, cell: Cell, result: CellResult, attempt: int) -> None:
        super()._write(cell, result, attempt)
        self.scores.score(cell.id, result.responses)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self.scores.__exit__(kind, error, trace)
