"""A work item with its size and where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from actors.types import Failure
from orchestrator.plan import Plan
from orchestrator.scheduling.kinds import KINDS
from orchestrator.work import WorkItem


class State(StrEnum):
    """Where an item stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(eq=False, slots=True)
class Item:
    """One work item.

    ``rows``: prompts to run; ``budget``: tokens at most, the measure of its size; ``order``: its place in the plan; ``needs``:
    the items whose files must be there; ``several``, ``counted``: as its kind says. ``attempt``: how often it failed, ``deaths``
    of these times with its worker and ``losses`` with its whole machine; ``alone``: it then shares no piece with others.
    ``workers``: who runs it, or ran it last. ``queued``: its variant's backlog has it in a queue.
    """

    id: str
    spec: WorkItem
    variant: str
    rows: int
    budget: int
    order: int
    needs: tuple[str, ...] = ()
    several: bool = True
    counted: bool = True
    state: State = State.PENDING
    attempt: int = 0
    deaths: int = 0
    losses: int = 0
    alone: bool = False
    queued: bool = False
    workers: tuple[str, ...] = ()
    failure: Failure | None = None

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
    """The items of a plan, in its order."""
    for order, spec in enumerate(plan.items):
        kind = KINDS[spec.kind]
        yield Item(spec.id, spec, spec.variant, spec.rows, spec.budget, order, spec.needs, kind.several, kind.counted)
