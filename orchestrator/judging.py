"""Judging as work: a model of the sweep is asked about the answers of a cell that is stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from orchestrator.cells import Cell
from orchestrator.scoring.judges.pool_scorer import PoolScorer
from orchestrator.scoring.planned import scoring_item
from orchestrator.scoring.uses import Scoring


@dataclass(frozen=True)
class JudgingItem:
    """The scores that a scorer of the pool gives a cell: done when they are there."""

    cell: Cell
    judge: PoolScorer
    kind: ClassVar[str] = "judging"

    @property
    def id(self) -> str:
        """As of other scores: the cell and the scorer, both named by their content."""
        return scoring_item(self.judge.id, self.cell.id)

    @property
    def variant(self) -> str:
        """The model that judges."""
        return self.judge.variant

    @property
    def needs(self) -> tuple[str, ...]:
        """The answers."""
        return (self.cell.id,)

    @property
    def rows(self) -> int:
        """Answers to judge."""
        return len(self.cell.prompts)

    @property
    def budget(self) -> int:
        """Tokens of work, about."""
        return self.rows * self.judge.work


def judging_items(cells: Iterable[Cell], scoring: Scoring) -> tuple[JudgingItem, ...]:
    """What scorers of the pool are asked of ``cells``, which stand there once for each behavior that asks for them."""
    judges = [one for one in scoring.made.values() if isinstance(one, PoolScorer)]
    found = (JudgingItem(cell, one) for one in judges for cell in cells if one.id in scoring.of(cell.labels.behavior).ids)
    return tuple({one.id: one for one in found}.values()) if judges else ()
