"""Interleaved rounds: A B C A B C ..., so that a machine that slows down slows everyone. Knows nothing of models."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.machine import CpuClock

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""(cell, prompt id) of a row."""


@dataclass(frozen=True)
class Work:
    """What one run of a contender did. ``new_tokens`` are counted from what came out, never assumed.

    ``parts``: named seconds or counts of its own (for instance ``decode_seconds``). ``tokens``: what each row answered.
    ``seconds``: the contender's own clock where it runs in another process; None: timed here.
    """

    rows: int
    new_tokens: int
    parts: Mapping[str, float] = field(default_factory=dict)
    tokens: Mapping[Key, tuple[int, ...]] = field(default_factory=dict)
    seconds: float | None = None


class Contender(Protocol):
    """One way to do the work."""

    @property
    def name(self) -> str:
        """Short name, unique in a benchmark."""

    def run(self, round_number: int) -> Work:
        """Do the work of one round; a contender that runs a sample takes another part of the whole in each round."""


@dataclass(frozen=True)
class Sample:
    """One timed run. ``others``: cores that other processes kept busy meanwhile; ``cpu_seconds``: what it used itself, on all
    its threads, which a crowded machine disturbs far less than ``seconds``; ``rates``: what the machine could do just before and
    just after, in the unit of ``Plan.probe`` (empty: not measured)."""

    work: Work
    seconds: float
    others: float
    cpu_seconds: float = 0.0
    rates: tuple[float, ...] = ()

    @property
    def tokens_per_second(self) -> float:
        """New tokens per second."""
        return self.work.new_tokens / self.seconds

    @property
    def tokens_per_cpu_second(self) -> float:
        """New tokens per second of processor time."""
        return self.work.new_tokens / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def rows_per_second(self) -> float:
        """Finished rows per second."""
        return self.work.rows / self.seconds


Round = Mapping[str, Sample]
"""The samples of one round by contender name."""


@dataclass(frozen=True)
class Plan:
    """``rounds`` to keep; a round in which others used more than ``others_limit`` cores during any run is set aside and repeated,
    at most ``spare`` times in all, and so is one in which the machine's own speed, as ``probe`` measures it before and after
    every run, changed by more than ``steady`` times: the rule looks at the machine, never at the result. ``warm``: every
    contender runs once before, uncounted, as some take their memory when they start and others in their first run."""

    rounds: int = 3
    others_limit: float = 0.25
    spare: int = 2
    probe: Callable[[], float] | None = None
    steady: float = 1.2
    warm: bool = False


@dataclass(frozen=True)
class Rounds:
    """``kept`` rounds in order; ``set_aside`` were disturbed; ``disturbed``: kept though disturbed, as no spare was left."""

    kept: tuple[Round, ...]
    set_aside: tuple[Round, ...]
    disturbed: int

    def samples(self, name: str) -> list[Sample]:
        """The kept samples of one contender."""
        return [one[name] for one in self.kept]


def interleave(contenders: Sequence[Contender], plan: Plan) -> Rounds:
    """Run every contender once per round, in the same order; each run is logged, as a long benchmark may be cut short."""
    kept: list[Round] = []
    set_aside: list[Round] = []
    disturbed = 0
    for contender in contenders if plan.warm else ():
        contender.run(0)
    while len(kept) < plan.rounds:
        one = {contender.name: _logged(contender, len(kept), plan.probe) for contender in contenders}
        rates = [rate for sample in one.values() for rate in sample.rates]
        changed = bool(rates) and max(rates) > plan.steady * min(rates)
        noisy = changed or any(sample.others > plan.others_limit for sample in one.values())
        if noisy and len(set_aside) < plan.spare:
            set_aside.append(one)
            continue
        disturbed += noisy
        kept.append(one)
    return Rounds(tuple(kept), tuple(set_aside), disturbed)


def _logged(contender: Contender, round_number: int, probe: Callable[[], float] | None) -> Sample:
    sample = _timed(contender, round_number, probe)
    facts = (round_number + 1, contender.name, sample.work.new_tokens, sample.seconds, sample.others)
    logger.warning("round %d, %s: %d new tokens in %.1f s, others used %.2f cores", *facts)
    return sample


def _timed(contender: Contender, round_number: int, probe: Callable[[], float] | None) -> Sample:
    rates = [] if probe is None else [probe()]
    before = CpuClock.now()
    started = time.perf_counter()
    work = contender.run(round_number)
    seconds = time.perf_counter() - started
    after = CpuClock.now()
    rates += [] if probe is None else [probe()]
    took = seconds if work.seconds is None else work.seconds
    return Sample(work, took, after.others_since(before), after.ours - before.ours, tuple(rates))
