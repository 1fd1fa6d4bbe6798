"""What a tracker is, which is one that tracks nothing, and which run a sweep writes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.cells import content_id
from orchestrator.news import News
from orchestrator.results.store import Store


class Tracker:
    """A listener with an end. This one tracks nothing."""

    def hear(self, news: News) -> None:
        """This has happened."""

    def finish(self, totals: Mapping[str, float], results: Store | None = None) -> None:
        """The run has ended with these totals; its tables and report are read from ``results``."""


@dataclass(frozen=True)
class RunIdentity:
    """Which W&B run a sweep writes to: always the same one for the same sweep name and results folder.

    ``results``: the folder on this machine; ``place``: the URL of results in object storage, the same on every machine.
    ``cells_before``: cells that earlier runs finished, so that the step goes on counting. ``names``: of the model variants, as
    the sweep calls them, by their ids.
    """

    project: str
    sweep: str
    results: Path
    cells_before: int = 0
    config: Mapping[str, object] = field(default_factory=dict)
    entity: str | None = None
    group: str | None = None
    place: str = ""
    tags: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The run id."""
        place = self.place if "://" in self.place else str(self.results.resolve())
        return content_id("run", {"sweep": self.sweep, "results": place})
