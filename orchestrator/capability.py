"""Capability as work: what a model can do under a steering of the sweep, by tasks of lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from orchestrator.cells import Cell, content_id, model_identity

if TYPE_CHECKING:  # the planner and the sweep file, which reading what is planned need not import
    from orchestrator.planning.choices import Choice
    from orchestrator.sweep_file.capability import Capability, CapabilityTask

_DOCUMENTS = 1000
"""Of a task that is run whole, about."""
_TOKENS = 256
"""Read and written for a document, about."""


@dataclass(frozen=True)
class CapabilityItem:
    """A ``task`` under the steering of ``cell`` (or none): ``analyses/capability/<id>``. Cells that differ in nothing else share
    it."""

    cell: Cell
    task: CapabilityTask
    limit: int | None
    shots: int | None
    kind: ClassVar[str] = "capability"

    @property
    def variant(self) -> str:
        """The model that is steered."""
        return self.cell.variant

    @property
    def needs(self) -> tuple[str, ...]:
        """Its direction."""
        return self.cell.needs

    @property
    def rows(self) -> int:
        """Documents."""
        return self.limit or _DOCUMENTS

    @property
    def budget(self) -> int:
        """Tokens, about."""
        return self.rows * _TOKENS

    @cached_property
    def id(self) -> str:
        """Of the model, the steering, the task with its version, how many documents and shots."""
        steering = self.cell.steering
        return content_id(
            "capability",
            {
                "target": model_identity(self.cell.target),
                "steering": None if steering is None else steering.content(),
                "task": [self.task.name, self.task.digest],
                "limit": self.limit,
                "shots": self.shots,
            },
        )


def capability_items(cells: Sequence[Cell], choices: Iterable[Choice], asked: Capability) -> tuple[CapabilityItem, ...]:
    """What ``asked`` runs: every task unsteered, and under each steering that was chosen, or under all."""
    chosen = {one.chosen.cell_id for one in choices if one.chosen is not None}
    steered = [cell for cell in cells if cell.steering is not None and (asked.which == "all" or cell.id in chosen)]
    variants = {cell.variant for cell in steered}
    plain = [cell for cell in cells if cell.steering is None and cell.variant in variants]
    found = [CapabilityItem(cell, task, asked.limit, asked.shots) for cell in (*plain, *steered) for task in asked.tasks]
    return tuple({one.id: one for one in found}.values())
