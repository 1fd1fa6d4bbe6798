"""Rates, their intervals, tests between two rates, and transfer effectiveness. What scipy has comes from scipy.

scipy and numpy are imported inside the functions: planning imports this module and must not pay a second for them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

BootstrapKind = Literal["joint", "independent"]
Alternative = Literal["two-sided", "greater", "less"]
Bounds = tuple[float | None, float | None]

EXACT_UP_TO = 200
"""Prompts of an arm up to which a bootstrap is worked out exactly: every resample there is, with its probability."""

EXACT_SUM = 100_000
"""Differences in all up to which a sign-flip test is worked out exactly."""

RESAMPLES = 10_000
"""Resamples of a bootstrap that is too large for that."""

SEED = 1
"""Seed of a bootstrap that is drawn, unless one is given."""


@dataclass(frozen=True)
class Interval:
    """A closed interval of a proportion; both ends lie in [0, 1]."""

    low: float
    high: float


@dataclass(frozen=True)
class Mean:
    """The mean of some numbers with its interval; None where there are too few for it."""

    value: float | None
    low: float | None
    high: float | None


def mean_of(values: Sequence[float], prompts: Sequence[str], within: Bounds = (None, None), confidence: float = 0.95) -> Mean:
    """The mean and its t interval: Student's t, with one degree of freedom less than there are prompts, times the standard error,
    which is clustered by prompt where one has several values; value i is of prompt i. Numbers that are all equal have one of no
    width; those of fewer than two prompts have none, and none has an end beyond the largest float.

    ``within``: the least and the largest that a value can be (None: no bound). So can the true mean, and what of the interval
    lies outside is left out: it holds the true mean as often.
    """
    n = len(values)
    if not n:
        return Mean(None, None, None)
    scale = max((math.frexp(value)[1] for value in values if value), default=0)  # a power of two changes no digit: squares fit
    scaled = [math.ldexp(value, -scale) for value in values]
    middle, of_prompt = math.fsum(scaled) / n, dict.fromkeys(prompts, 0.0)
    mean = math.ldexp(middle, scale)
    if len(of_prompt) < 2:
        return Mean(mean, None, None)
    for value, prompt in zip(scaled, prompts, strict=True):
        of_prompt[prompt] += value - middle
    count = len(of_prompt)
    variance = math.fsum(one**2 for one in of_prompt.values()) * count / (count - 1)
    half = t_quantile(count - 1, confidence) * math.sqrt(variance) / n
    try:
        low, high = math.ldexp(middle - half, scale), math.ldexp(middle + half, scale)
    except OverflowError:
        return Mean(mean, None, None)
    least, largest = within
    return Mean(mean, low if least is None else max(low, least), high if largest is None else min(high, largest))


@lru_cache(maxsize=1024)
def t_quantile(freedom: int, confidence: float) -> float:
    """Of Student's t, two-sided."""
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, freedom))


@lru_cache(maxsize=65536)
def wilson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """The Wilson score interval of ``k`` successes in ``n`` trials, without continuity correction (scipy).

    No trials say nothing: ``n == 0`` gives [0, 1]. ValueError unless ``0 <= k <= n`` and ``0 < confidence < 1``.
    """
    _check_counts(k, n)
    if not 0 < confidence < 1:
        raise ValueError(f"need 0 < confidence < 1, got {confidence}")
    if n == 0:
        return Interval(0.0, 1.0)
    from scipy.stats import binomtest  # a second of import that planning must not pay

    found = binomtest(k, n).proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(float(found.low), float(found.high))


@dataclass(frozen=True)
class Known:
    """How well a judge is known: ``share``, in [0, 1], of the ``n`` responses that tell it (an effective number where they were
    drawn unequally): its sensitivity, or its specificity."""

    share: float
    n: float


@dataclass(frozen=True)
class CorrectedRate:
    """A rate and its interval without its judge's errors, in [0, 1]. ``value`` is None, and the interval says nothing, where the
    judge tells no more than chance."""

    value: float | None
    low: float
    high: float


def rogan_gladen(k: float, n: float, sensitivity: Known, specificity: Known, confidence: float = 0.95) -> CorrectedRate:
    """The true rate behind ``k`` of ``n`` by a judge of measured errors (Rogan and Gladen 1978), clipped to [0, 1].

    The interval is Lang and Reiczigel's (2014), which counts in that sensitivity and specificity are themselves estimates, from
    other responses than these ``n`` (an effective number, and its share, where they are clustered). Where very few responses tell
    the errors it may leave out the rate itself: then it is widened up to it. Where ``k`` is less than the false alarms alone
    would be, or more than what the judge finds at all, the rate is 0 or 1 and the interval that of the nearest ``k`` that can be:
    its own would be the narrower the less the errors fit, down to no width. ValueError unless ``0 <= k <= n``.
    """
    _check_counts(k, n)
    informed = sensitivity.share + specificity.share - 1
    if n == 0 or min(sensitivity.n, specificity.n) <= 0 or informed <= 0:
        return CorrectedRate(None, 0.0, 1.0)
    z = _normal_quantile(confidence)
    possible = min(max(k, n * (1 - specificity.share)), n * sensitivity.share)
    seen, trials = (possible + z * z / 2) / (n + z * z), n + z * z
    se, of_se = (sensitivity.share * sensitivity.n + 1) / (sensitivity.n + 2), sensitivity.n + 2
    sp, of_sp = (specificity.share * specificity.n + 1) / (specificity.n + 2), specificity.n + 2
    youden = se + sp - 1
    if youden <= 0:  # so few responses tell the errors that even chance is within them
        return CorrectedRate(None, 0.0, 1.0)
    middle = (seen + sp - 1) / youden
    spread_se, spread_sp = se * (1 - se) / of_se, sp * (1 - sp) / of_sp
    shift = 2 * z * z * (middle * spread_se - (1 - middle) * spread_sp)
    error = math.sqrt(seen * (1 - seen) / trials + middle**2 * spread_se + (1 - middle) ** 2 * spread_sp) / youden
    ends = (middle + shift - z * error, middle + shift + z * error)
    value, low, high = (min(1.0, max(0.0, one)) for one in ((k / n + specificity.share - 1) / informed, *ends))
    return CorrectedRate(value, min(low, value), max(high, value))


def difference_of(rates: tuple[float, float], intervals: tuple[Interval, Interval]) -> Interval:
    """Interval of the first of two independent rates less the second, made of their own: with Wilson's it is Newcombe's
    (Statistics in Medicine 17, 1998, method 10)."""
    (one, other), (first, second) = rates, intervals
    below = math.hypot(one - first.low, second.high - other)
    above = math.hypot(first.high - one, other - second.low)
    return Interval(one - other - below, one - other + above)


def rate_text(k: int, n: int) -> str:
    """``k`` of ``n`` independent trials with the 95 % Wilson interval in percent, ``9/10 [59.6, 98.2]``; ``0/0`` has none."""
    return f"{k}/{n} {interval_text(wilson(k, n) if n else None)}".rstrip()


def interval_text(interval: Interval | None) -> str:
    """In percent, ``[59.6, 98.2]``; empty where there is none."""
    return "" if interval is None else f"[{_percent(interval.low)}, {_percent(interval.high)}]"


def percent_text(k: int, n: int) -> str:
    """``k`` of ``n`` in percent, ``90``, with one decimal only where it is not whole; ``-`` without trials."""
    return "-" if n == 0 else _percent(k / n)


def p_text(p: float) -> str:
    """A p-value as shown everywhere: three decimals, ``0.170``; below 0.001 with its exponent, ``1.8e-7``."""
    if p >= 0.001 or p == 0:
        return f"{p:.3f}"
    digits, exponent = f"{p:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")


def effectively_steerable(k: int, n: int) -> bool:
    """Whether the success rate ``k / n`` reaches 60 % (paper section 4.4); never without trials."""
    _check_counts(k, n)
    return n > 0 and 5 * k >= 3 * n  # whole numbers: 3/5 of n is exactly on the bound


@lru_cache(maxsize=65536)
def fisher(k1: int, n1: int, k2: int, n2: int, alternative: Alternative = "two-sided") -> float:
    """Fisher's exact p-value of ``k1 / n1`` against ``k2 / n2``: two independent groups (scipy).

    ``greater`` asks whether the first rate is the higher one. A side without trials gives 1. ValueError on impossible counts.
    """
    _check_counts(k1, n1)
    _check_counts(k2, n2)
    if n1 == 0 or n2 == 0:
        return 1.0
    from scipy.stats import fisher_exact

    return float(fisher_exact([[k1, n1 - k1], [k2, n2 - k2]], alternative=alternative).pvalue)


def cohens_h(k1: int, n1: int, k2: int, n2: int) -> float:
    """Cohen's h of two rates, ``2 asin sqrt(p1) - 2 asin sqrt(p2)``, in [-pi, pi]; positive where the first is higher.

    About 0.2 is small, 0.5 medium, 0.8 large (Cohen 1988). ValueError on impossible counts or without trials.
    """
    _check_counts(k1, n1)
    _check_counts(k2, n2)
    if n1 == 0 or n2 == 0:
        raise ValueError("Cohen's h needs at least one trial on each side")
    return 2 * math.asin(math.sqrt(k1 / n1)) - 2 * math.asin(math.sqrt(k2 / n2))


def sign_flip(differences: Sequence[int]) -> float:
    """The two-sided p-value of per-prompt differences under the null that either sign of each is as likely: McNemar's exact test
    for prompts that were answered several times on each side, equally often.

    ``differences``: the successes among a prompt's answers on one side, less those on the other. Exact where their sum is at
    most ``EXACT_SUM``, else ``RESAMPLES`` draws (scipy). 1 where no prompt differs.
    """
    import numpy as np

    sizes = [abs(one) for one in differences if one]
    total = sum(sizes)
    if total == 0:
        return 1.0
    if total > EXACT_SUM:
        from scipy.stats import permutation_test

        rng = np.random.default_rng(SEED)
        data = (np.array(differences, float),)
        found = permutation_test(data, np.sum, permutation_type="samples", n_resamples=RESAMPLES, vectorized=True, rng=rng)
        return float(found.pvalue)
    chance = np.zeros(total + 1)  # of each sum of the sizes whose sign is positive
    chance[0] = 1.0
    for size in sizes:
        chance = chance / 2 + np.concatenate([np.zeros(size), chance[:-size]]) / 2
    sums = np.abs(2 * np.arange(total + 1) - total)
    return min(1.0, float(chance[sums >= abs(sum(differences))].sum()))


def clustered(outcomes: Sequence[bool], first: Sequence[bool], prompts: Sequence[object]) -> float:
    """The two-sided p-value of the difference of two rates whose answers come in clusters, one per prompt.

    ``first`` says of each outcome whether it is of the first side. The difference of the rates over its cluster-robust standard
    error (statsmodels, with its correction for few clusters), against t with one degree of freedom less than there are prompts.
    Where all prompts of a side agree there is no such error: then Fisher's exact test with each prompt counted once. 1 for one
    prompt, and where a side has none. It calls as many differences as it should where both sides have the same prompts, equally
    often; else too many (docs/statistics.md), and ``clusters.difference_p`` is the one to take.
    """
    import numpy as np
    from statsmodels.regression.linear_model import OLS

    names = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    if len(names) < 2 or len(set(first)) < 2:
        return 1.0
    values, side = np.array(outcomes, float), np.array(first, float)
    groups = np.array([names[prompt] for prompt in prompts])
    fit = OLS(values, np.column_stack([np.ones(len(side)), side])).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    with np.errstate(invalid="ignore"):  # of a variance that is 0 but for rounding
        error = fit.bse[1]
    if error > 1e-9:
        return float(fit.pvalues[1])
    counts = [(values[side == one].mean(), len(set(groups[side == one]))) for one in (1.0, 0.0)]
    return fisher(*(number for rate, n in counts for number in (round(rate * n), n)))


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjustment of the p-values of one table, in the order given; each is at least its own p, at most 1.

    The i-th smallest of m is multiplied by ``m - i + 1``, and no adjusted value is below a smaller p's (Holm 1979).
    ValueError on a value outside [0, 1].
    """
    if not all(0 <= value <= 1 for value in p):
        raise ValueError(f"p-values lie in [0, 1], got {list(p)}")
    adjusted = [1.0] * len(p)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return tuple(adjusted)


@dataclass(frozen=True)
class TransferEffectiveness:
    """A target's rate with a transferred direction over its rate with its own, with a 95 % bootstrap interval.

    ``value``, ``low`` and ``high`` are None where the control's rate is 0 (or it has no trials): undefined, not 0, not
    infinite. ``high`` is ``math.inf`` where more than 2.5 % of the resamples have a control of 0: no upper bound. ``exact``: the
    ends are those of all resamples there are, not of some that were drawn.
    """

    value: float | None
    low: float | None
    high: float | None
    kind: BootstrapKind
    exact: bool = True


def transfer_effectiveness(
    transferred: Sequence[float],
    control: Sequence[float],
    kind: BootstrapKind = "joint",
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> TransferEffectiveness:
    """TE = rate of ``transferred`` / rate of ``control`` (paper section 11.1), one outcome per prompt each: whether it succeeded,
    or of several responses the share that did.

    The interval is the percentile bootstrap's over prompts. ``joint`` draws the same prompts in both arms, so item i must be the
    same prompt in both; ``independent`` draws each arm for itself, as the paper's Table 10 did. The order of the prompts does
    not matter. Up to ``EXACT_UP_TO`` prompts an arm, one response each, it is exact, the distribution of all resamples, and
    neither ``resamples`` nor ``seed`` matters; else ``resamples`` are drawn (scipy).

    A resample whose control is 0 counts as infinite, and one with 0 in both arms as 0 for the lower end and infinite for the
    upper: leaving such resamples out would make the interval too narrow just where the control is weak. Few prompts give few
    possible ratios, so an end can sit on a step between two: 30/30 over 24/30 reaches 30/19 = 1.579 with probability 0.0256
    against the 0.025 asked, so that 1.579 is its upper end, of either kind.

    ValueError on no resamples, and, for ``joint``, on unequal lengths.
    """
    if resamples < 1:
        raise ValueError(f"need at least one resample, got {resamples}")
    if kind == "independent":
        return _effectiveness(_sorted(transferred), _sorted(control), kind, resamples, seed)
    if len(transferred) != len(control):
        raise ValueError(f"a joint bootstrap needs the same prompts in both arms, got {len(transferred)} and {len(control)}")
    pairs = sorted(zip(map(float, transferred), map(float, control), strict=True), reverse=True)
    return _effectiveness(tuple(a for a, _ in pairs), tuple(b for _, b in pairs), kind, resamples, seed)


def effectiveness_text(found: TransferEffectiveness) -> str:
    """TE as shown everywhere: ``1.25 [1.07, 1.50]``; ``undefined`` where the control is 0, ``inf`` for no upper bound."""
    if found.value is None:
        return "undefined (the control is 0)"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _sorted(outcomes: Sequence[float]) -> tuple[float, ...]:
    return tuple(sorted(map(float, outcomes), reverse=True))


@lru_cache(maxsize=4096)
def _effectiveness(
    transferred: tuple[float, ...], control: tuple[float, ...], kind: BootstrapKind, resamples: int, seed: int
) -> TransferEffectiveness:
    if not transferred or not any(control):
        return TransferEffectiveness(None, None, None, kind)
    import numpy as np

    exact = max(len(transferred), len(control)) <= EXACT_UP_TO and {*transferred, *control} <= {0.0, 1.0}
    if exact:
        ratios, weights = _exact_ratios(transferred, control, kind == "joint")
    else:
        arms = (np.array(transferred, float), np.array(control, float))
        ratios = _bootstrapped_ratios(arms, kind == "joint", resamples, seed)
        weights = np.full(len(ratios), 1 / len(ratios))
    low = _quantile(np.where(np.isnan(ratios), 0.0, ratios), weights, 0.025)
    high = _quantile(np.where(np.isnan(ratios), np.inf, ratios), weights, 0.975)
    value = (sum(transferred) / len(transferred)) / (sum(control) / len(control))
    return TransferEffectiveness(value, low, high, kind, exact)


def _quantile(values: Array, weights: Array, share: float) -> float:
    """The smallest of ``values`` (some may be infinite) at which those up to it have ``share`` of the weight."""
    import numpy as np

    order = np.argsort(values)
    reached = np.cumsum(weights[order]) >= share - 1e-12
    return float(values[order][int(np.argmax(reached))])


def _exact_ratios(transferred: tuple[float, ...], control: tuple[float, ...], paired: bool) -> tuple[Array, Array]:
    """Every ratio of two resampled means, and its probability; inf where only the second's is 0, nan where both are."""
    import numpy as np

    n, m = len(transferred), len(control)
    probability = _joint_counts(transferred, control) if paired else _independent_counts(transferred, control)
    above, below = np.meshgrid(np.arange(n + 1) * m, np.arange(m + 1) * n, indexing="ij")
    with np.errstate(divide="ignore", invalid="ignore"):
        return (above / below).ravel(), probability.ravel()


def _independent_counts(transferred: tuple[float, ...], control: tuple[float, ...]) -> Array:
    """``[n + 1, m + 1]``: the probability of so many successes in a resample of either arm, each drawn for itself."""
    import numpy as np
    from scipy.stats import binom

    one, other = (binom.pmf(np.arange(len(arm) + 1), len(arm), sum(arm) / len(arm)) for arm in (transferred, control))
    return np.outer(one, other)


def _joint_counts(transferred: tuple[float, ...], control: tuple[float, ...]) -> Array:
    """``[n + 1, n + 1]``: the same when the arms draw the same prompts. So many of the draws are prompts on which the control
    succeeds; on these the transferred succeeds with one probability, on the others with another."""
    import numpy as np
    from scipy.stats import binom

    n, won = len(control), sum(control)
    both = sum(a * b for a, b in zip(transferred, control, strict=True))
    with_control, without = both / won, (sum(transferred) - both) / max(1, n - won)
    counts = np.zeros((n + 1, n + 1))
    for c in range(n + 1):
        of_won = binom.pmf(np.arange(c + 1), c, with_control)
        of_lost = binom.pmf(np.arange(n - c + 1), n - c, without)
        counts[:, c] = binom.pmf(c, n, won / n) * np.convolve(of_won, of_lost)
    return counts


def _bootstrapped_ratios(arms: tuple[Array, Array], paired: bool, resamples: int, seed: int) -> Array:
    """``[resamples]`` ratios of the two arms' means; inf where only the second's is 0, nan where both are."""
    import numpy as np
    from scipy.stats import DegenerateDataWarning, bootstrap

    def ratio(top: Array, bottom: Array, axis: int) -> Array:
        return np.asarray(top.mean(axis=axis) / bottom.mean(axis=axis))

    # scipy wants two observations; resampling {x, x} gives x, as resampling {x} does.
    data = tuple(np.repeat(arm, 2) if len(arm) == 1 else arm for arm in arms)
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # arms that never differ: the interval is a point, rightly
        found = bootstrap(
            data,
            ratio,
            n_resamples=resamples,
            batch=RESAMPLES,
            paired=paired,
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    return np.asarray(found.bootstrap_distribution)


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _check_counts(k: float, n: float) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"need 0 <= k <= n, got k={k}, n={n}")
