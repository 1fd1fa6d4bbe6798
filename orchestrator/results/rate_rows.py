"""What was said of a cell's responses, counted label by label: the rows of ``rates.parquet``. Knows no file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from orchestrator.cells import CellKey
from orchestrator.clusters import Count, counts_by, rate_interval
from orchestrator.scoring import LabelSet
from orchestrator.scoring.score import Labels, Scale
from orchestrator.statistics import mean_of, wilson

INTERVAL = "95 % interval ([statistics.md](statistics.md#several-samples)): Wilson's, with several samples clustered by prompt"
"""What every interval of a rate is, for the columns' texts."""
_RATE = f"k / n and the ends of its {INTERVAL}"
_MEAN = (
    "of the numbers, and the ends of its 95 % t interval, which has no part beyond the scale, with several samples clustered by "
    "prompt; null for labels, the ends also for fewer than two prompts"
)


@dataclass(frozen=True, eq=False)
class Given:
    """What was said of a cell's responses, as columns: of each, in order, its prompt, its label and its number. ``by``: what
    said so."""

    by: str
    prompts: Sequence[str]
    labels: Sequence[str]
    values: Sequence[float | None] = ()

    @cached_property
    def counts(self) -> Counter[str]:
        """How many responses have each label."""
        return Counter(self.labels)

    @cached_property
    def single(self) -> bool:
        """Whether every response is the only one to its prompt."""
        return len(set(self.prompts)) == len(self.prompts)

    def by_prompt(self, names: Collection[str]) -> tuple[Count, ...]:
        """How many of the responses to each prompt have one of the labels ``names``."""
        if self.single:
            return tuple((1, 1) if label in names else (0, 1) for label in self.labels)
        return counts_by(self.prompts, [label in names for label in self.labels])

    def share(self, names: Collection[str]) -> dict[str, int | float | None]:
        """How many responses have one of the labels ``names``, their share, and the ends of its interval."""
        counts, n = self.counts, len(self.labels)
        k = sum([counts[name] for name in names if name in counts])
        interval = wilson(k, n) if self.single else rate_interval(self.by_prompt(names))
        return {"n": k, "rate": k / n if n else None, "low": interval.low, "high": interval.high}


@dataclass(frozen=True, kw_only=True, slots=True)
class RateRow:
    """One row of ``rates.parquet``: how many of a cell's responses have a label. There is one for every declared label and for
    those that stand for nothing to score, and one for a scorer that gives numbers."""

    cell_id: Annotated[str, "the cell"]
    scorer: Annotated[str, "its id; or what decides, as `classifier` of `cells.parquet`, with the labels that it comes to"]
    label: Annotated[str | None, "by its own name; one that no response has is there too; null where the scorer gives numbers"]
    outcome: Annotated[
        str | None, "what a label of what decides counts as: `success`, `garbled`, `no_answer` or `other`; else null"
    ]
    n: Annotated[int, "responses of the cell; of a rater those that the rater labelled, of numbers those that have one"]
    k: Annotated[int | None, "those with the label; over the labels of a scorer they add up to `n`"]
    rate: Annotated[float | None, _RATE]
    low: Annotated[float | None, _RATE]
    high: Annotated[float | None, _RATE]
    mean: Annotated[float | None, _MEAN] = None
    mean_low: Annotated[float | None, _MEAN] = None
    mean_high: Annotated[float | None, _MEAN] = None
    behavior: Annotated[
        str | None, "the behavior that the cell is scored for; null in tables of earlier versions, where a cell has one"
    ] = None

    @property
    def key(self) -> CellKey:
        """The cell as its behavior counts it."""
        return self.cell_id, self.behavior or ""

    @property
    def decided(self) -> str | None:
        """The label, if it is one of what decides; None for a label or mean of a single scorer."""
        return None if self.outcome is None else self.label


def rate_rows(cell: CellKey, given: Given, declared: LabelSet) -> list[RateRow]:
    """A row for every label of ``declared``, in its order; ``UnknownLabelError`` for one that is not in it."""
    declared.counts(given.counts)
    return _rate_rows(cell, given, declared.names, {kind.name: kind.outcome for kind in declared.kinds})


def scorer_rate_rows(cell: CellKey, given: Given, says: Labels | Scale) -> list[RateRow]:
    """A row for every label that a scorer may give, in its order; of one that gives numbers a row with their mean."""
    if isinstance(says, Labels):
        return _rate_rows(cell, given, tuple(dict.fromkeys((*says.names, *given.labels))), {})
    scored = [(value, prompt) for value, prompt in zip(given.values, given.prompts, strict=True) if value is not None]
    mean = mean_of([value for value, _ in scored], [prompt for _, prompt in scored], within=(says.low, says.high))
    cell_id, behavior = cell
    row = RateRow(
        cell_id=cell_id,
        scorer=given.by,
        label=None,
        outcome=None,
        n=len(scored),
        k=None,
        rate=None,
        low=None,
        high=None,
        mean=mean.value,
        mean_low=mean.low,
        mean_high=mean.high,
        behavior=behavior,
    )
    return [row]


def _rate_rows(cell: CellKey, given: Given, names: Sequence[str], outcomes: Mapping[str, str]) -> list[RateRow]:
    (cell_id, behavior), n = cell, len(given.labels)
    rows = []
    for name in names:
        found: dict[str, Any] = given.share((name,))
        k, rate, low, high = found["n"], found["rate"], found["low"], found["high"]
        rows.append(
            RateRow(
                cell_id=cell_id,
                scorer=given.by,
                label=name,
                outcome=outcomes.get(name),
                behavior=behavior,
                n=n,
                k=k,
                rate=rate,
                low=low,
                high=high,
            )
        )
    return rows
