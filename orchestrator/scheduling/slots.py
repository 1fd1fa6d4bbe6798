"""A worker slot: the one place that says what a worker holds, does and runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from actors.types import ModelInfo, Underway
from actors.use import Use
from orchestrator.scheduling.items import Item


@dataclass(eq=False)
class WorkerSlot:
    """One worker.

    ``variant``: the model that it holds (then ``info`` is there) or loads. ``task``: ``idle``, ``load``, or what the kind of its
    items does, ``begun`` by ``time.time``. ``items``: what it runs and has not given yet, in the order of handing out.
    ``since``: when its task began, or last gave a result, by the scheduler's clock; ``heard``: when it last gave anything, by
    ``time.time``. ``use``: what its process uses, and ``underway``: how far its rows are, as it said last. ``barred``: variants
    that it could not load.
    """

    name: str
    variant: str | None = None
    info: ModelInfo | None = None
    task: str = "idle"
    begun: float = field(default_factory=time.time)
    items: dict[str, Item] = field(default_factory=dict)
    since: float = 0.0
    heard: float | None = None
    use: Use | None = None
    underway: Underway | None = None
    barred: set[str] = field(default_factory=set)

    @property
    def busy(self) -> bool:
        """It has a task."""
        return self.task != "idle"

    @property
    def loading(self) -> bool:
        """It has no model yet but is about to."""
        return self.variant is not None and self.info is None

    @property
    def left(self) -> tuple[str, ...]:
        """The ids of what it runs; while it loads, the variant. May be asked by any thread."""
        loads = self.variant if self.loading else None
        return tuple(self.items) if loads is None else (loads,)

    @property
    def works_on(self) -> str | None:
        """The variant whose items it runs. May be asked by any thread."""
        return next((item.variant for item in list(self.items.values())), None)
