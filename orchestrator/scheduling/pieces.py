"""From items to the task that a worker is sent: reads the directions that they need, and sends equal vectors once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actors.boundary import as_failure
from actors.errors import JobError
from actors.types import DirectionSet, GenerationJob
from orchestrator.cells import Cell, DirectionSpec, SteeringSpec
from orchestrator.pool import Extract, Generate
from orchestrator.scheduling.board import Board, Item, State
from orchestrator.scheduling.jobs import Placed, extraction_job, generation_job, placed
from orchestrator.scheduling.outcomes import Outcomes

Shared = dict[tuple[object, ...], Placed]
"""By ``SteeringSpec.where``, the vectors that act: equal ones are one array in a task, so they cross the wire once."""


class Pieces:
    """Makes tasks of items that were started, with the directions that ``read`` gives. An item that cannot be run goes to
    ``outcomes``."""

    def __init__(self, board: Board, read: Callable[[str], DirectionSet | None], outcomes: Outcomes) -> None:
        self._board, self._read, self._outcomes = board, read, outcomes

    def task(self, items: Sequence[Item]) -> Extract | Generate | None:
        """The task that runs ``items``: one extraction, or cells; None when none of them can be run."""
        if isinstance(items[0].spec, DirectionSpec):
            return Extract(extraction_job(items[0].spec))
        shared: Shared = {}
        jobs = [job for item in items if (job := self._job(item, shared)) is not None]
        return Generate(tuple(jobs)) if jobs else None

    def _job(self, item: Item, shared: Shared) -> GenerationJob | None:
        assert isinstance(item.spec, Cell)
        if item.spec.steering is None:
            return generation_job(item.spec, None)
        at = self._placed(item, item.spec.steering, shared)
        return None if at is None else generation_job(item.spec, at)

    def _placed(self, item: Item, steering: SteeringSpec, shared: Shared) -> Placed | None:
        if steering.where in shared:
            return shared[steering.where]
        found = self._read(steering.direction.id)
        if found is None:
            self._extract_again(item, steering.direction.id)
            return None
        try:
            return shared.setdefault(steering.where, placed(steering, found))
        except JobError as error:
            self._outcomes.item_failed(as_failure(item.id, error))
            return None

    def _extract_again(self, item: Item, direction_id: str) -> None:
        if self._board[direction_id].state is State.DONE:
            self._outcomes.note(f"{direction_id} is lost or damaged: extracting it again")
            self._board.reopen(direction_id)
        self._board.reopen(item.id)
