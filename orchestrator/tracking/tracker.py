"""What a tracker is, the one that tracks nothing, and which run a sweep writes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from actors.types import CellResult, Failure, ModelInfo
from orchestrator.cells import Cell, content_id
from orchestrator.recorder import Listener
from orchestrator.results.store import Store
from orchestrator.scoring import Label


class Tracker(Listener, Protocol):
    """A listener with an end."""

    def finish(self, totals: Mapping[str, float], results: Store | None = None) -> None:
        """The run has ended with these totals; its tables and report are read from ``results``."""
        ...


class NullTracker:
    """Tracks nothing."""

    def loaded(self, variant: str, worker: str, info: ModelInfo) -> None:
        """Nothing."""

    def cell_done(self, cell: Cell, result: CellResult, labels: Sequence[Label]) -> None:
        """Nothing."""

    def failed(self, failure: Failure) -> None:
        """Nothing."""

    def noted(self, text: str) -> None:
        """Nothing."""

    def finish(self, totals: Mapping[str, float], results: Store | None = None) -> None:
        """Nothing."""


@dataclass(frozen=True)
class RunIdentity:
    """Which W&B run a sweep writes to: always the same one for the same sweep name and results folder.

    ``results``: the folder on this machine; ``place``: the URL of results in object storage, the same on every machine.
    ``cells_before``: cells that earlier runs finished, so that the step goes on counting.
    """

    project: str
    sweep: str
    results: Path
    cells_before: int = 0
    config: Mapping[str, object] = field(default_factory=dict)
    entity: str | None = None
    group: str | None = None
    place: str = ""

    @property
    def id(self) -> str:
        """The run id."""
        place = self.place if "://" in self.place else str(self.results.resolve())
        return content_id("run", {"sweep": self.sweep, "results": place})
