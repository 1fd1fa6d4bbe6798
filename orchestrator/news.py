"""What happens in a run, for whoever listens: the log, the progress display, the tracker. What is stored is told only then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from actors.remarks import Remark
from actors.types import CellResult, Failure, ModelInfo, Underway
from orchestrator.cells import Cell
from orchestrator.results.cell_axes import CellAxes
from orchestrator.scoring import Label


@dataclass(frozen=True)
class Submitted:
    """``worker`` was given a task, ``what`` is ``load`` or what its kind does, with these items (a load: the variant)."""

    worker: str
    what: str
    items: tuple[str, ...]


@dataclass(frozen=True)
class ModelLoaded:
    """A worker holds a model."""

    variant: str
    worker: str
    info: ModelInfo


@dataclass(frozen=True)
class ItemStored:
    """The file of an item that is no cell is stored; ``event``: what the log calls that."""

    item_id: str
    worker: str
    event: Literal["extracted", "done"]


@dataclass(frozen=True)
class CellStored:
    """A cell is stored."""

    cell: Cell
    result: CellResult


@dataclass(frozen=True)
class CellScored:
    """What the responses of a stored cell count as is known."""

    axes: CellAxes
    labels: Sequence[Label]


@dataclass(frozen=True)
class AttemptFailed:
    """One item of a task failed, or a model was not loaded; it may be tried again."""

    failure: Failure


@dataclass(frozen=True)
class ItemFailed:
    """An item failed for good."""

    failure: Failure


@dataclass(frozen=True)
class WorkerDied:
    """A worker is gone with what it ran (while it loaded: the variant)."""

    worker: str
    message: str
    items: tuple[str, ...]


@dataclass(frozen=True)
class WorkerSaid:
    """A worker logged something."""

    worker: str
    remark: Remark


@dataclass(frozen=True)
class WorkerUnderway:
    """A worker generates, and has said how far it is."""

    worker: str
    underway: Underway


@dataclass(frozen=True)
class Noted:
    """Something a person should know: a cell is tried again, a model has no room."""

    text: str


News = (
    Submitted
    | ModelLoaded
    | ItemStored
    | CellStored
    | CellScored
    | AttemptFailed
    | ItemFailed
    | WorkerDied
    | WorkerSaid
    | WorkerUnderway
    | Noted
)
Tell = Callable[[News], None]


class Listener(Protocol):
    """Who hears of everything. What does not concern it, it passes over."""

    def hear(self, news: News) -> None:
        """This has happened."""
        ...


def nobody(news: News) -> None:
    """Nobody listens."""


def told_to(listeners: Sequence[Listener]) -> Tell:
    """Tells each of ``listeners``, in their order, one thing at a time, whichever thread it comes from."""
    one_at_a_time = threading.RLock()  # one that is told may tell

    def tell(news: News) -> None:
        with one_at_a_time:
            for listener in listeners:
                listener.hear(news)

    return tell
