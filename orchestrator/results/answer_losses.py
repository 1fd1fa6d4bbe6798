"""The losses of the answers of a cell beside those of the unsteered model's own, where a sweep measures damage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from orchestrator.damage import DamageItem, MeasuredDamage
from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.columns import Axis
from orchestrator.results.conditions import STEERED, condition
from orchestrator.results.folder import Folder
from orchestrator.results.plan_file import PlannedCells
from orchestrator.scoring.score import WorstOf
from orchestrator.storage import UnreadableFileError


class UnmeasuredError(Exception):
    """The losses are not there, and will not be in this run: why, in words."""


@dataclass(frozen=True)
class AnswerLosses:
    """Of each answer of a cell, in the order of its responses, the loss of its ``worst`` tokens (None: it has none), and the
    ``typical`` one of the same model's unsteered answers to the same prompts, their median (None: the plan has none). ``of``:
    which tokens, ``window`` where an earlier version measured one of both and left the span out."""

    worst: tuple[float | None, ...]
    typical: float | None
    of: WorstOf = "span"


class MeasuredLosses:
    """The losses of the cells of a plan, read from its damage items."""

    def __init__(self, folder: Folder, planned: PlannedCells) -> None:
        self._folder = folder
        self._items = {one.cell_id: one.id for one in planned.others if one.kind == DamageItem.kind}
        baselines = {_unsteered(axes): axes.cell_id for axes in planned.cells if axes.multiplier is None}
        self._baselines: Mapping[str, str | None] = {one.cell_id: baselines.get(_unsteered(one)) for one in planned.cells}
        self._waiting: dict[str, list[str]] = {}
        for cell_id, baseline in self._baselines.items():
            for one in {cell_id, baseline or cell_id}:
                self._waiting.setdefault(self._items.get(one, ""), []).append(cell_id)

    def of(self, cell_id: str) -> AnswerLosses | None:
        """Of a cell of the plan; None while they, or its baseline's, are not measured. ``UnmeasuredError`` where that failed."""
        baseline = self._baselines.get(cell_id)
        measured = [self._measured(one) for one in (cell_id, baseline) if one is not None]
        found = [one for one in measured if one is not None]
        if len(found) < len(measured):
            return None
        of: WorstOf = "span" if all(one.spans or not one.losses for one in found) else "window"
        worst, *unsteered = [one.spans if of == "span" else one.windows for one in found]
        known = [one for of_baseline in unsteered for one in of_baseline if one is not None]
        return AnswerLosses(worst, median(known) if known else None, of)

    def items_of(self, cell_id: str) -> set[str]:
        """The items that measure what the scores of a cell are read with: its own, and its baseline's."""
        found = {self._items.get(one, "") for one in (cell_id, self._baselines.get(cell_id)) if one is not None}
        return found - {""}

    def waiting_for(self, item_id: str) -> tuple[str, ...]:
        """The cells whose losses are read with what an item measures; none for one of another kind."""
        return tuple(self._waiting.get(item_id, ()))

    def _measured(self, cell_id: str) -> MeasuredDamage | None:
        item_id = self._items.get(cell_id, "")
        try:
            return self._folder.damage(item_id)
        except (FileNotFoundError, UnreadableFileError):
            if item_id in self._folder.ids("failures"):
                message = (
                    f"the loss of the answers of {cell_id} could not be measured: {item_id} failed, and is retried with this"
                )
                raise UnmeasuredError(message) from None
            return None


def _unsteered(axes: CellAxes) -> tuple[object, ...]:
    return condition(axes, STEERED | {Axis.PROMPTS})
