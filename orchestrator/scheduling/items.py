"""A work item: a direction to extract or a cell to generate, with its size and where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from actors.types import Failure
from orchestrator.cells import Cell, DirectionSpec, variant_id
from orchestrator.plan import Plan


class State(Enum):
    """Where an item stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(eq=False, slots=True)
class Item:
    """One work item.

    ``rows``: prompts to run; ``budget``: tokens at most, the measure of its size; ``order``: its place in the plan;
    ``needs``: the direction without which it cannot start. ``attempt``: how often it failed, ``deaths`` of these times with
    its worker and ``losses`` with its whole machine; ``alone``: it then shares no piece with others. ``workers``: who runs it,
    or ran it last. ``queued``: its variant's backlog has it in a queue.
    """

    spec: Cell | DirectionSpec
    variant: str
    rows: int
    budget: int
    order: int
    needs: str | None = None
    state: State = State.PENDING
    attempt: int = 0
    deaths: int = 0
    losses: int = 0
    alone: bool = False
    queued: bool = False
    workers: tuple[str, ...] = ()
    failure: Failure | None = None

    @property
    def id(self) -> str:
        """The content id of the direction or cell."""
        return self.spec.id

    @property
    def is_cell(self) -> bool:
        """A cell, not a direction."""
        return isinstance(self.spec, Cell)

    @property
    def suspect(self) -> bool:
        """True after an attempt that failed and may have been its fault: it then runs in small company or alone, so that it takes
        few others with it."""
        return self.attempt > self.losses

    @property
    def finished(self) -> bool:
        """Done or failed for good."""
        return self.state in (State.DONE, State.FAILED)


def items_of(plan: Plan) -> Iterator[Item]:
    """The items of a plan: its directions, then its cells, in its order."""
    for order, spec in enumerate(plan.directions):
        rows = len(spec.positive) + len(spec.negative)
        yield Item(spec, variant_id(spec.model), rows, budget=rows, order=order)
    for order, cell in enumerate(plan.cells):
        rows, needs = len(cell.prompts), None if cell.steering is None else cell.steering.direction.id
        yield Item(cell, variant_id(cell.target), rows, rows * cell.decoding.max_new_tokens, order, needs)
