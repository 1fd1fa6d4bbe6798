"""How often a comparison of two rates calls a difference where there is none, at 5 %, where each prompt has several answers.

``python -m benchmarks.false_alarms`` prints the table of docs/statistics.md: every prompt has a rate of its own, beta distributed
as in ``benchmarks.coverage``; prompts that both sides are asked have the same one on both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from orchestrator.clusters import rate_interval
from orchestrator.statistics import clustered, difference_of, sign_flip

RATES = (0.05, 0.1, 0.2, 0.5)
CORRELATIONS = (0.1, 0.3, 0.6)
DRAWS = 4000
LEVEL = 0.05

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Design:
    """So many ``prompts`` of each side, each with so many ``answers``, of which the first ``shared`` are the same on both."""

    prompts: tuple[int, int]
    answers: tuple[int, int]
    shared: int

    @property
    def pairs(self) -> bool:
        """Whether both sides have the same prompts, equally often."""
        return self.prompts == (self.shared, self.shared) and self.answers[0] == self.answers[1]

    def draw(self, rate: float, correlation: float, draws: int, random: np.random.Generator) -> tuple[Counts, Counts]:
        """The successes of each prompt of each side, ``[draws, prompts]``."""
        shape = rate * (1 / correlation - 1), (1 - rate) * (1 / correlation - 1)
        own = [random.beta(*shape, (draws, count)) for count in self.prompts]
        own[1][:, : self.shared] = own[0][:, : self.shared]
        one, other = (random.binomial(answers, rates) for answers, rates in zip(self.answers, own, strict=True))
        return one, other


DESIGNS = (
    *(Design((prompts, prompts), (5, 5), prompts) for prompts in (4, 8, 16, 30)),
    Design((8, 8), (2, 2), 8),
    *(Design((prompts, prompts), (5, 5), 0) for prompts in (4, 8, 16, 30)),
    Design((4, 30), (5, 5), 0),
    Design((10, 50), (5, 5), 0),
    Design((10, 30), (5, 5), 10),
    Design((10, 10), (1, 20), 10),
    Design((30, 30), (1, 10), 0),
)


def alarms(design: Design, one: list[int], other: list[int]) -> tuple[bool, bool, bool]:
    """Whether the t clustered by prompt, the interval of the difference and the sign-flip test call a difference."""
    sides = [[(k, n) for k in counts] for counts, n in zip((one, other), design.answers, strict=True)]
    names = [range(len(one)), [*range(design.shared), *range(len(one), len(one) + len(other) - design.shared)]]
    answers = [
        (number < k, first, prompt)
        for first, counts, prompts in zip((True, False), sides, names, strict=True)
        for (k, n), prompt in zip(counts, prompts, strict=True)
        for number in range(n)
    ]
    outcomes, firsts, prompts = zip(*answers, strict=True)
    rates = [sum(k for k, _ in counts) / sum(n for _, n in counts) for counts in sides]
    span = difference_of((rates[0], rates[1]), (rate_interval(sides[0]), rate_interval(sides[1])))
    flipped = design.pairs and sign_flip([a - b for a, b in zip(one, other, strict=True)]) < LEVEL
    return clustered(outcomes, firsts, prompts) < LEVEL, not span.low <= 0 <= span.high, flipped


def rates_of(design: Design, draws: int, seed: int) -> npt.NDArray[np.float64]:
    """``[rates and correlations, tests]``: the share of ``draws`` in which each test calls a difference."""
    random = np.random.default_rng(seed)
    found = []
    for rate in RATES:
        for correlation in CORRELATIONS:
            one, other = design.draw(rate, correlation, draws, random)
            found.append(np.mean([alarms(design, *pair) for pair in zip(one.tolist(), other.tolist(), strict=True)], axis=0))
    return np.array(found)


def main() -> None:
    """Print a row per design: the largest and the mean share over rates and correlations, in percent."""
    print("| prompts A, B | both asked | answers A, B | cluster-robust t | interval of the difference | sign-flip |")
    print("|---|---|---|---|---|---|")
    for design in DESIGNS:
        found = 100 * rates_of(design, DRAWS, 0)
        told = [f"{most:.1f} ({mean:.1f})" for most, mean in zip(found.max(axis=0), found.mean(axis=0), strict=True)]
        told[2] = told[2] if design.pairs else "-"
        (a, b), (m, n) = design.prompts, design.answers
        print(f"| {a}, {b} | {design.shared} | {m}, {n} | {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main()
