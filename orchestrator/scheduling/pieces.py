"""From items to the task that a worker is sent: reads what they need, and asks their kind what they ask of a worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.boundary import Job, Task, as_failure
from actors.errors import JobError
from orchestrator.scheduling.board import Board, Item, State
from orchestrator.scheduling.kinds import KINDS
from orchestrator.scheduling.outcomes import Outcomes
from orchestrator.scheduling.work import Records


class Pieces:
    """Makes tasks of items that were started, with what lies in ``records``. One that cannot be run goes to ``outcomes``."""

    def __init__(self, board: Board, records: Records, outcomes: Outcomes) -> None:
        self._board, self._records, self._outcomes = board, records, outcomes

    def task(self, items: Sequence[Item]) -> Task | None:
        """The task that runs ``items``, all of one kind; None when none of them can be run."""
        shared: dict[object, Any] = {Records: self._records}
        jobs = [job for item in items if (job := self._job(item, shared)) is not None]
        return KINDS[items[0].spec.kind].task(jobs) if jobs else None

    def _job(self, item: Item, shared: dict[object, Any]) -> Job | None:
        needed = {one: KINDS[self._board[one].spec.kind].read(self._records, one) for one in item.needs}
        lost = [one for one, found in needed.items() if found is None]
        if lost:
            self._make_again(item, lost)
            return None
        try:
            return KINDS[item.spec.kind].job(item.spec, needed, shared)
        except JobError as error:
            self._outcomes.item_failed(as_failure(item.id, error))
            return None

    def _make_again(self, item: Item, lost: Sequence[str]) -> None:
        for one in lost:
            if self._board[one].state is State.DONE:
                self._outcomes.note(f"{one} is lost or damaged: it is made again")
                self._board.reopen(one)
        self._board.reopen(item.id)
