"""How far a run is: its plan and its board, which grow when finished cells decide later settings, and are mended when what was
finished turns out to be damaged or gone. A run is over when its tables hold every finished cell, counted on the disk."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from actors.types import Failure
from orchestrator.plan import Plan
from orchestrator.plan_with_results import plan_with_results
from orchestrator.planning.choices import encode_choices
from orchestrator.results.store import Lacking, Store
from orchestrator.scheduling.board import Board, State
from orchestrator.scheduling.kinds import item_folders
from orchestrator.scorekeeper import Scorekeeper
from orchestrator.sweep import Sweep

MOST_LOSSES = 3
"""An item whose file was lost or damaged so often in one run is not made once more: the disk keeps nothing."""

ROUNDS = 3
"""How often tables and labels are made anew in a row before the disk is taken not to keep them."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnalysesState:
    """How far the analyses of a plan are: how many are ``planned``, are ``done`` (have rows in ``tables``) and ``failed``."""

    planned: int = 0
    done: int = 0
    failed: int = 0
    tables: tuple[str, ...] = ()


NO_ANALYSES = AnalysesState()


class Progress:
    """The plan and the board of a run of ``sweep``, whose results lie in ``store``; needs the lock."""

    def __init__(self, sweep: Sweep, store: Store, plan: Plan, board: Board, scores: Scorekeeper) -> None:
        self._sweep, self._store, self._scores = sweep, store, scores
        self.plan, self.board = plan, board
        self._before = board.finished_ids()
        self._losses: Counter[str] = Counter()
        self._lost: tuple[str, ...] = ()
        self._lacking = Lacking()
        self._changed = False
        self._record(board.found_failed)

    def compact(self) -> bool:
        """Bring the tables up to date; whether any of them changed during the run."""
        self._changed |= self._store.compact().changed
        return self._changed

    def grow(self) -> bool:
        """Mend what was found damaged and plan what follows from the results; whether there is something to run.

        What follows waits for no scores but those that decide; all others are waited for before a run is over.
        """
        if self._sweep.chooses and self._scores.wait(for_all=False):
            self.compact()
            if self._plan_more() and self.board.unfinished():
                return True
        self._mend()
        while self._sweep.chooses and self._plan_more() and not self.board.unfinished():
            self._mend()  # what was planned is finished already: what follows from it may be known too
        return self.board.unfinished()

    def done(self) -> int:
        """Cells of the plan whose files are there, as the tables have them."""
        return len(self._store.done_cells() & {cell.id for cell in self.plan.cells})

    def ran(self) -> int:
        """Cells that were finished by this run."""
        return len((self.board.finished_ids() - self._before) & self._store.done_cells())

    def analyses(self) -> AnalysesState:
        """The analyses of the plan, as the tables have them."""
        asked = [one for number, one in enumerate(self.plan.analyses) if one not in self.plan.analyses[:number]]
        found = {name: self._store.analysis_rows(name) for name in dict.fromkeys(one.name for one in asked)}
        done = {(row.analysis_id, row.model, row.behavior) for rows in found.values() for row in rows}
        failed = sum(any(self.board[need].state is State.FAILED for need in one.needs.values()) for one in asked)
        return AnalysesState(len(asked), len(done), failed, tuple(f"{name}.parquet" for name, rows in found.items() if rows))

    def shortfall(self) -> str:
        """What is not there after all, in words; empty when the tables hold all that is finished.

        Counts once more on the disk where anything has changed since the last time.
        """
        if self._store.compact().changed or self._missing():
            self._mend(to_run=False)
        parts = [f"{len(self._lost)} finished items are damaged or gone ({', '.join(self._lost[:3])})"] if self._lost else []
        return "; ".join([*parts, *([str(self._lacking)] if self._lacking else [])])

    def _mend(self, to_run: bool = True) -> None:
        """Tables and scores are made anew until they are whole; what has lost its file waits to run again, with ``to_run``."""
        for _ in range(ROUNDS):
            self._scores.wait()
            self._store.clear_the_way()
            self.compact()
            self._lacking = self._store.lacking()
            if not self._lacking:
                break
            self._scores.ask(self._store.unscored())
            if self._lacking.tables:
                _LOG.warning("tables are made anew: %s", self._lacking)
                self._store.forget_tables()
        missing = self._missing()
        again = {one for one in missing if to_run and self._losses[one] < MOST_LOSSES}
        self._lost = tuple(sorted(missing - again))
        self._losses.update(again)
        self._before -= again
        if again:
            _LOG.warning("%d finished items were damaged or gone: they run anew", len(again))
            self._record(self.board.lose(again))

    def _plan_more(self) -> bool:
        """Plan what follows from the results; whether that is more than before."""
        known = len(self.board.items)
        self.plan = plan_with_results(self._sweep, self._store)
        self._store.write_plan(self.plan)
        self._store.write_choices(encode_choices(self.plan.choices, self.plan.arms, self.plan.matches))
        self._record(self.board.grow(self.plan, self._stored(), self._store.failures()))
        return len(self.board.items) > known

    def _missing(self) -> set[str]:
        """Items that are done and have no file."""
        return self.board.finished_ids() - self._stored()

    def _stored(self) -> set[str]:
        return self._store.done(item_folders())

    def _record(self, failures: Iterable[Failure]) -> None:
        for failure in failures:
            self._store.write_failure(failure)
