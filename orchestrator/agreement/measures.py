"""Kappa, alpha and what two scorers say label by label, of responses that both labelled. Knows no file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.clusters import rate_interval
from orchestrator.statistics import SEED, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Counts = NDArray[np.float64]

RESAMPLES = 2_000
"""Of the prompts, for the intervals of alpha and of kappa."""


@dataclass(frozen=True)
class Coefficient:
    """A measure of agreement, 1 at best and 0 for chance, with its 95 % interval.

    None where the responses leave it undefined; no interval either where that would have no width, as where all agree or
    all prompts are alike.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class LabelAgreement:
    """One label: how many responses have it of the ``first`` scorer, of the ``second`` and of ``both``.

    Precision is the share of the first's that the second confirms, recall the share of the second's that the first finds; here
    their intervals, clustered by prompt.
    """

    label: str
    first: int
    second: int
    both: int
    precision: Interval
    recall: Interval


@dataclass(frozen=True)
class Agreement:
    """What two scorers say of the same ``n`` responses to ``prompts`` prompts. ``table``: how many responses have the label of
    the row by the first and of the column by the second; both in the order of ``labels``.

    ``agrees``: the interval of the share to which both give the same label, clustered by prompt. The interval of ``alpha`` draws
    whole prompts, and so does that of ``kappa`` where a prompt has several responses.
    """

    labels: tuple[str, ...]
    table: tuple[tuple[int, ...], ...]
    prompts: int
    kappa: Coefficient
    alpha: Coefficient
    agrees: Interval
    by_label: tuple[LabelAgreement, ...]

    @property
    def n(self) -> int:
        """Responses."""
        return sum(map(sum, self.table))

    @property
    def agreed(self) -> int:
        """Responses to which both give the same label."""
        return sum(row[place] for place, row in enumerate(self.table))


def agreement(first: Sequence[str], second: Sequence[str], prompts: Sequence[str], order: Sequence[str] = ()) -> Agreement:
    """How far two scorers agree: item i of all three sequences is one response. Labels stand in ``order``, others after them.

    ValueError on unequal lengths or without responses.
    """
    import numpy as np

    if not first:
        raise ValueError("two scorers that share no response cannot be compared")
    pairs = list(zip(first, second, prompts, strict=True))
    used = dict.fromkeys((*(name for name in order if name in {*first, *second}), *first, *second))
    place, clusters = {name: at for at, name in enumerate(used)}, {prompt: at for at, prompt in enumerate(dict.fromkeys(prompts))}
    tables = np.zeros((len(clusters), len(used), len(used)))
    np.add.at(tables, tuple(np.array([(clusters[prompt], place[a], place[b]) for a, b, prompt in pairs]).T), 1)
    whole = tables.sum(axis=0)
    rows = tuple(tuple(int(count) for count in row) for row in whole)
    agrees = _clustered(tables.trace(axis1=1, axis2=2), tables.sum(axis=(1, 2)))
    return Agreement(tuple(used), rows, len(clusters), _kappa(tables), _alpha(tables), agrees, _by_label(tuple(used), tables))


def _by_label(labels: Sequence[str], tables: Counts) -> tuple[LabelAgreement, ...]:
    """``tables`` ``[prompts, labels, labels]``."""
    found = []
    for at, name in enumerate(labels):
        sides = (tables[:, at, :].sum(axis=1), tables[:, :, at].sum(axis=1))
        both = tables[:, at, at]
        first, second, agreed = (int(one.sum()) for one in (*sides, both))
        precision, recall = (_clustered(both, side) for side in sides)
        found.append(LabelAgreement(name, first, second, agreed, precision, recall))
    return tuple(found)


def _clustered(counted: Counts, among: Counts) -> Interval:
    """Of each prompt so many ``among`` so many."""
    return rate_interval((int(k), int(n)) for k, n in zip(counted, among, strict=True) if n)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> Coefficient:
    """Spearman's correlation of two numeric scorers, item i of both being one response, with Bonett and Wright's interval (2000),
    which takes the responses as independent. None where one of them never varies, and no interval below four responses."""
    from scipy.stats import spearmanr

    if len(set(first)) < 2 or len(set(second)) < 2:
        return Coefficient()
    value = float(spearmanr(first, second).statistic)
    if len(first) < 4 or abs(value) > 1 - 1e-9:
        return Coefficient(value)
    reach = 1.96 * math.sqrt((1 + value**2 / 2) / (len(first) - 3))
    return Coefficient(value, math.tanh(math.atanh(value) - reach), math.tanh(math.atanh(value) + reach))


def _kappa(tables: Counts) -> Coefficient:
    """Cohen's, of ``tables`` ``[prompts, labels, labels]`` (statsmodels). Its interval is that of its large-sample variance where
    every prompt has one response, else the percentile bootstrap's over prompts."""
    import numpy as np
    from statsmodels.stats.inter_rater import cohens_kappa

    n_prompts, n_labels, _ = tables.shape
    table = tables.sum(axis=0)
    if n_labels < 2:
        return Coefficient()
    if np.trace(table) == table.sum():
        return Coefficient(1.0)
    with np.errstate(invalid="ignore"):
        found = cohens_kappa(table)
    if n_prompts == table.sum():
        return _between(float(found.kappa), max(-1.0, float(found.kappa_low)), min(1.0, float(found.kappa_upp)))
    return _with_interval(float(found.kappa), tables, kappas)


def _alpha(tables: Counts) -> Coefficient:
    """Krippendorff's, for labels without an order; ``tables`` is ``[prompts, labels, labels]``. Its interval is the percentile
    bootstrap's over prompts."""
    import krippendorff
    import numpy as np

    _, n_labels, _ = tables.shape
    if n_labels < 2:
        return Coefficient()
    whole = tables.sum(axis=0)
    pairs = np.eye(n_labels)[np.argwhere(whole)].sum(axis=1).repeat(whole[whole > 0].astype(int), axis=0)
    value = float(krippendorff.alpha(value_counts=pairs, level_of_measurement="nominal"))
    return Coefficient(value) if value == 1 else _with_interval(value, tables, alphas)


def _with_interval(value: float, tables: Counts, of_each: Callable[[Counts], Counts]) -> Coefficient:
    """``value`` with the percentile bootstrap's interval over prompts; resamples of which there is no such value are left out."""
    import numpy as np

    n_prompts, n_labels, _ = tables.shape
    if n_prompts < 2:
        return Coefficient(value)
    drawn = np.random.default_rng(SEED).multinomial(n_prompts, np.full(n_prompts, 1 / n_prompts), RESAMPLES)
    resampled = of_each((drawn @ tables.reshape(n_prompts, -1)).reshape(-1, n_labels, n_labels))
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    return _between(value, float(low), float(high))


def _between(value: float, low: float, high: float) -> Coefficient:
    """``value`` with that interval, unless it has no width: prompts that are all alike do not tell how others would differ."""
    return Coefficient(value, low, high) if high - low > 1e-9 else Coefficient(value)


def kappas(tables: Counts) -> Counts:
    """Cohen's kappa of each of the ``[tables, labels, labels]``, all at once; nan where both give one label only."""
    import numpy as np

    n = tables.sum(axis=(1, 2))
    agreed = np.trace(tables, axis1=1, axis2=2) / n
    by_chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / n**2
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Counts = np.where(by_chance < 1, (agreed - by_chance) / (1 - by_chance), np.nan)
    return found


def alphas(tables: Counts) -> Counts:
    """Krippendorff's alpha of each of the ``[tables, labels, labels]``, all at once; nan where there is one label only."""
    import numpy as np

    n = tables.sum(axis=(1, 2))
    used = tables.sum(axis=1) + tables.sum(axis=2)  # of 2 n labels given
    apart = 1 - np.trace(tables, axis1=1, axis2=2) / n
    by_chance = 1 - (used * (used - 1)).sum(axis=1) / (2 * n * (2 * n - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Counts = np.where(by_chance > 0, 1 - apart / by_chance, np.nan)
    return found
