"""How often the interval of a rate holds the true rate, where prompts differ and each is answered several times.

``python -m benchmarks.coverage`` prints the table of docs/statistics.md: each prompt has a rate of its own, drawn from a beta
distribution with the asked mean and the asked correlation between two responses to one prompt (ICC).
"""

from __future__ import annotations

import numpy as np

from orchestrator.clusters import rate_interval

Design = tuple[int, int, float]
"""Prompts, responses to each, ICC."""

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.98)
DRAWS = 4000


def covered(design: Design, rate: float, draws: int, seed: int) -> tuple[float, float]:
    """The share of ``draws`` whose 95 % interval holds ``rate``, and the intervals' mean width."""
    prompts, samples, icc = design
    random = np.random.default_rng(seed)
    shape = (draws, prompts)
    own = random.beta(rate * (1 / icc - 1), (1 - rate) * (1 / icc - 1), shape) if icc else np.full(shape, rate)
    found = [rate_interval((int(k), samples) for k in row) for row in random.binomial(samples, own)]
    return sum(one.low <= rate <= one.high for one in found) / draws, sum(one.high - one.low for one in found) / draws


def main() -> None:
    """Print a row per design: the least and the mean coverage over ``RATES`` in percent, and the mean width at 50 %."""
    print(
        "| prompts | samples | ICC | least coverage % | mean coverage % | mean width at 50 %, points |\n|---|---|---|---|---|---|"
    )
    for prompts in (10, 30, 100):
        for samples in (1, 5, 20):
            for icc in (0.0,) if samples == 1 else (0.0, 0.1, 0.3, 0.6, 0.9):
                found = {rate: covered((prompts, samples, icc), rate, DRAWS, 0) for rate in RATES}
                shares = [100 * share for share, _ in found.values()]
                numbers = (f"{min(shares):.1f}", f"{np.mean(shares):.1f}", f"{100 * found[0.5][1]:.0f}")
                print(f"| {prompts} | {samples} | {icc if samples > 1 else '-'} | {' | '.join(numbers)} |")


if __name__ == "__main__":
    main()
