"""What a kind of work items knows: all that the driver knows of directions, cells and whatever else takes a model.

A new kind is a file with its items and its ``WorkKind``, and a line in ``kinds.KINDS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from actors.boundary import Job, Task
from actors.types import CellResult, DirectionSet, Failure, Response
from orchestrator.cells import Cell, DirectionSpec
from orchestrator.news import News
from orchestrator.scoring.score import Kept


class Records(Protocol):
    """Where what the workers return is kept (``orchestrator.recorder``). ``threads``: how many store what was begun; 0: none."""

    threads: int

    def direction(self, spec: DirectionSpec, found: DirectionSet) -> None:
        """Store a direction set; ValueError when it cannot be right."""
        ...

    def read_direction(self, direction_id: str) -> DirectionSet | None:
        """A direction set that was stored before, in this run or an earlier one; None when it is lost."""
        ...

    def begin(self, cell: Cell, result: CellResult, attempt: int) -> Future[Any]:
        """Start to store a cell, finished at its ``attempt``-th try; ``cell`` then waits for the end."""
        ...

    def cell(self, cell: Cell, result: CellResult, attempt: int) -> None:
        """Store a cell. ValueError when the result cannot be right."""
        ...

    def read_cell(self, cell_id: str) -> Sequence[Response] | None:
        """The responses of a stored cell; None when they are lost."""
        ...

    def analysis(self, kind: str, item_id: str, content: bytes) -> None:
        """Store the file of any other item."""
        ...

    def read_analysis(self, kind: str, item_id: str) -> bytes | None:
        """The content of such a file; None when it is lost."""
        ...

    def judgements(self, scorer: str) -> Kept:
        """What a judge replied so far, by its id."""
        ...

    def failure(self, failure: Failure) -> None:
        """Store a failure."""
        ...


class WorkKind(Protocol):
    """A kind of work items. ``does``: what a worker is said to do; ``folder``: where its files lie; ``several``: a task takes
    many of them, else one; ``counted``: they are what the progress counts, the cells."""

    does: str
    folder: str
    several: bool
    counted: bool

    def job(self, item: Any, needed: Mapping[str, Any], shared: dict[object, Any]) -> Job:
        """What it asks of a worker. ``needed``: what was read of ``item.needs``; ``shared``: what the jobs of one task have in
        common, the records under ``Records``. JobError when it cannot be run."""
        ...

    def task(self, jobs: Sequence[Any]) -> Task:
        """The task that gives these jobs to a worker."""
        ...

    def begin(self, records: Records, item: Any, result: Any, attempt: int) -> Future[Any] | None:
        """Start to store a result beside the scheduler; None where that is not worth it."""
        ...

    def store(self, records: Records, item: Any, result: Any, worker: str, attempt: int) -> News:
        """Store a result, or wait until what was begun is stored; what there is to tell. ValueError when it cannot be right,
        JobError when it is not whole."""
        ...

    def read(self, records: Records, item_id: str) -> Any | None:
        """What lies in the file of an item, for those that need it; None when it is lost."""
        ...
