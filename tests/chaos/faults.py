"""What goes wrong in a run, and when: drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, get_args

from tests.chaos.watch import Phase

Kind = Literal["kill worker", "kill node", "add node", "kill driver", "interrupt driver", "freeze worker"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_WEIGHTS: dict[Kind, int] = {
    "kill worker": 5,
    "kill node": 4,
    "kill driver": 4,
    "interrupt driver": 2,
    "freeze worker": 2,
    "add node": 2,
}
_PHASES: dict[Phase, int] = {"starting": 1, "load": 3, "extract": 2, "generate": 5, "reporting": 1}
_OF_DRIVERS: tuple[Kind, ...] = ("kill driver", "interrupt driver")
MOST = 4
"""How many faults a run has at most, if no other number is given."""


@dataclass(frozen=True)
class Fault:
    """One fault. It strikes when the run is in ``phase`` and, ``generate``: ``share`` of all cells are done, otherwise:
    ``seconds`` have passed in it. ``lasts``: seconds until a frozen worker goes on, a killed node is replaced, or a driver
    that is gone is started again. ``signal``: with which name a driver is interrupted."""

    kind: Kind
    phase: Phase
    share: float
    seconds: float
    lasts: float
    signal: str

    def __str__(self) -> str:
        when = f"at {self.share:.0%} of the cells" if self.phase == "generate" else f"after {self.seconds:.2f} s of it"
        return f"{self.kind} in {self.phase} {when}, lasting {self.lasts:.1f} s"


def draw(seed: int, most: int = MOST) -> list[Fault]:
    """One to ``most`` faults. Run ``seed`` always has one of kind ``seed`` modulo their number, so that none is missed."""
    rng = random.Random(seed)
    kinds = [KINDS[seed % len(KINDS)], *rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=rng.randrange(most))]
    rng.shuffle(kinds)
    return [_fault(kind, rng) for kind in kinds]


def _fault(kind: Kind, rng: random.Random) -> Fault:
    phases = dict(_PHASES) if kind in _OF_DRIVERS else {phase: _PHASES[phase] for phase in ("load", "extract", "generate")}
    phase = rng.choices(list(phases), list(phases.values()))[0]
    longest = {"load": 9.0, "extract": 0.1, "generate": 0.0, "starting": 2.0, "reporting": 3.0, "idle": 0.0}[phase]
    name = rng.choice(["SIGINT", "SIGTERM"])
    return Fault(kind, phase, rng.uniform(0, 0.95), rng.uniform(0, longest), rng.uniform(0.2, 8.0), name)
