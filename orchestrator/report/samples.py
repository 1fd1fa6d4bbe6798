"""Responses to read beside the numbers: for every label, a few from the cell that has most of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from actors.types import Response
from orchestrator.cells import CellKey
from orchestrator.report.series import Series
from orchestrator.results.rows import CellRow
from orchestrator.scoring import Label

PER_LABEL = 2


@dataclass(frozen=True)
class Sample:
    """A labelled response and the cell it comes from."""

    row: CellRow
    response: Response
    label: Label


Counts = Mapping[CellKey, Mapping[str, int]]
"""Cell -> label -> how many of its responses have it."""

Read = Callable[[CellRow], Sequence[tuple[Response, Label]]]
"""Cell -> its responses with their labels; none when they cannot be read."""


def samples_of(series: Series, label: str, counts: Counts, read: Read) -> Iterator[Sample]:
    """The first ``PER_LABEL`` responses with ``label`` in the cell that has most; on a tie, the earliest cell."""
    found = {row.key: k for row in series.rows if (k := counts.get(row.key, {}).get(label, 0))}
    rows = [row for row in series.rows if row.key in found]
    if not rows:
        return
    best = max(rows, key=lambda row: found[row.key] / row.n)
    fitting = [Sample(best, response, given) for response, given in read(best) if given.label == label]
    yield from fitting[:PER_LABEL]


def samples_by_label(series: Series, counts: Counts, read: Read) -> dict[str, list[Sample]]:
    """Samples for every label that occurs, in the order in which its scorer declared it."""
    labels = dict.fromkeys(label for row in series.rows for label in counts.get(row.key, {}))
    found = {label: list(samples_of(series, label, counts, read)) for label in labels}
    return {label: samples for label, samples in found.items() if samples}
