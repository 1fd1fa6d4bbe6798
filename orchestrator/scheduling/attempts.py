"""How often something may be tried, in what company, and when a whole sweep is hopeless. Rules only: nothing is counted here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from actors.errors import (
    JobError,
    MachineLostError,
    ModelLoadError,
    NonFiniteActivationError,
    UnsupportedModelError,
    WorkerDiedError,
)
from actors.types import Failure

MAX_ATTEMPTS = 3
"""How often an item may take its worker down with it before it is recorded as failed."""

MAX_MACHINES = 10
"""How many machines may go with an item on them before one more counts as its fault, like the death of its worker alone."""

BAD_MACHINES = 2
"""On how many machines a model must fail to load, for a reason that may be the machine's, before that counts as its own fault."""

BAD_DEVICES = 5
"""How often workers on a machine must have lost their device before other machines are taken where there are any: more often than
a single item may take its worker down with it."""

UPSTREAM = "upstream"
"""Kind of the failures of cells whose direction could not be extracted."""

POISON = "poison"
"""Kind of the failure of an item whose workers died ``MAX_ATTEMPTS`` times, in the end with nothing else to do."""

SCORING = "scoring"
"""Kind of the failures of scorers."""

_VERDICTS = (ModelLoadError.kind, UnsupportedModelError.kind, JobError.kind, NonFiniteActivationError.kind)


def attempts_allowed(failure: Failure) -> int:
    """Worker deaths: ``MAX_ATTEMPTS``. Other retryable errors, counted apart: once more. Deterministic errors: not again."""
    if failure.kind in (WorkerDiedError.kind, MachineLostError.kind):
        return MAX_ATTEMPTS
    return 2 if failure.retryable else 1


def may_be_the_machines(failure: Failure) -> bool:
    """Whether a load that failed so may work on another machine: whatever is no verdict on the model itself."""
    return failure.kind not in (*_VERDICTS, WorkerDiedError.kind, MachineLostError.kind)


def must_run_alone(failure: Failure, attempts: int) -> bool:
    """Whether an item is tried again with no other beside it, so that the next failure is its own and nobody else's.

    A dead worker is seldom its cells' fault: after the first death they run again in small company, after the second alone.
    """
    return attempts > 1 or failure.kind != WorkerDiedError.kind


def verdict(failure: Failure, attempt: int) -> Failure:
    """The failure to record when no attempt is left. What kills worker after worker stays recorded until ``retry`` clears it."""
    if failure.kind != WorkerDiedError.kind:
        return replace(failure, attempt=attempt)
    message = f"its worker died {MAX_ATTEMPTS} times, at last while it ran alone: {failure.message}"
    return replace(failure, kind=POISON, message=message, attempt=attempt, retryable=False)


def runs_again(failure: Failure) -> bool:
    """Whether a failure recorded by an earlier run is tried anew without being asked to.

    Yes when the cause lay outside the item: the memory, the model's files, the direction. A deterministic error and a poisonous
    item stay recorded until ``retry`` clears them.
    """
    return failure.retryable or failure.kind in (UPSTREAM, ModelLoadError.kind)


@dataclass(frozen=True)
class MaxFailures:
    """When a sweep is hopeless: after more failures than ``limit``; None: never. ValueError for a share outside (0, 1).

    A whole number counts causes: a model that cannot be loaded is one, whatever cells it takes along. A number between 0 and 1 is
    a share of the cells that this run set out to run: those that have failed, for whatever cause.
    """

    limit: int | float | None = None

    def __post_init__(self) -> None:
        if self.limit is None or (self.limit >= 0 if isinstance(self.limit, int) else 0 < self.limit < 1):
            return
        raise ValueError(f"max_failures is a count or a share between 0 and 1, not {self.limit}")

    def reason(self, causes: int, failed_cells: int, cells: int) -> str | None:
        """Why to stop, in words, after ``causes`` failures that left ``failed_cells`` of ``cells`` failed; None to go on."""
        if isinstance(self.limit, float):
            if failed_cells > self.limit * cells:
                return f"{failed_cells} of {cells} cells failed, more than max_failures: {self.limit:g}"
        elif self.limit is not None and causes > self.limit:
            return f"{causes} failures are more than max_failures: {self.limit}"
        return None


NEVER = MaxFailures()
"""Go on whatever fails."""
