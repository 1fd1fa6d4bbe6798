"""About how much a job of a study is, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from actors.parity.grouping import MOST, PADDED
from actors.parity.jobs import (
    Classes,
    MistakesJob,
    ParityJob,
    RatesJob,
    ReadJob,
    SitesJob,
    SteeringMistakesJob,
    SteeringPlace,
    SteerJob,
)
from actors.parity.planted import planted
from actors.parity.steering_mistakes import STEERING_MISTAKES
from actors.parity.tools import TOOLS

PROMPT_TOKENS = 50
"""Of a rendered prompt, about."""


@dataclass(frozen=True)
class Effort:
    """``rows``: prompts that are run; ``written``: tokens of answers, at most; ``starts``: processes that load the model anew."""

    rows: int = 0
    written: int = 0
    starts: int = 0

    @property
    def read(self) -> int:
        """Tokens of the prompts."""
        return self.rows * PROMPT_TOKENS

    def plus(self, other: Effort) -> Effort:
        """Both together."""
        return Effort(self.rows + other.rows, self.written + other.written, self.starts + other.starts)


def effort_of(job: ParityJob) -> Effort:
    """What ``job`` takes."""
    match job:
        case ReadJob():
            apart = bool(job.command or (job.tool in TOOLS and TOOLS[job.tool].script))
            return Effort(job.repeats * len(job.classes.prompts), starts=job.repeats * apart)
        case SitesJob():
            return Effort(len(job.prompts))
        case MistakesJob():
            passes = len({(one.recipe.tokens, one.recipe.run) for one in planted(job.batches, job.pairs)})
            return Effort(passes * len(job.classes.prompts) + _parts(job.classes))
        case SteerJob():
            apart = bool(job.command or not TOOLS[job.tool].steers)
            return Effort(_steered(job.place) + len(job.place.classes.prompts), starts=int(apart))
        case SteeringMistakesJob():
            ways = 1 + (len(STEERING_MISTAKES) if job.mistakes else 0)
            return Effort(ways * _steered(job.place) + len(job.place.classes.prompts))
        case RatesJob():
            largest = max(len(job.classes.positive), len(job.classes.negative))
            recipes = [one.recipe for one in planted((largest,), pairs=False)]
            passes = len({(one.tokens, one.run) for one in recipes})
            ways = 1 + len(recipes)
            rows = passes * len(job.classes.prompts) + ways * (len(job.prompts) + 2 * len(job.neutral))
            return Effort(rows, written=ways * len(job.prompts) * job.tokens)


def _parts(classes: Classes) -> int:
    """Prompts run for every length that they may be padded to."""
    if max(len(classes.positive), len(classes.negative)) > MOST:
        return 0
    return sum(n + (len(PADDED) - 1) * n * (n + 1) // 2 for n in (len(classes.positive), len(classes.negative)))


def _steered(place: SteeringPlace) -> int:
    """Answers are about as much as their prompts again."""
    return 2 * len(place.prompts)
