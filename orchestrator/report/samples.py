"""Responses to read beside the numbers: for every label, a few from the cell that has most of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from actors.types import Response
from orchestrator.records.rows import CellRow
from orchestrator.report.series import Series
from orchestrator.scoring import LABEL_NAMES, Label, LabelName

PER_LABEL = 2


@dataclass(frozen=True)
class Sample:
    """A labelled response and the cell it comes from."""

    row: CellRow
    response: Response
    label: Label


Read = Callable[[str], Sequence[tuple[Response, Label]]]
"""Cell id -> its responses with their labels; none when they cannot be read."""


def samples_of(series: Series, label: LabelName, read: Read) -> Iterator[Sample]:
    """The first ``PER_LABEL`` responses with ``label`` in the cell that has most; on a tie, the earliest cell."""
    rows = [row for row in series.rows if row.count(label)]
    if not rows:
        return
    best = max(rows, key=lambda row: row.count(label) / row.n)
    fitting = [Sample(best, response, given) for response, given in read(best.cell_id) if given.label == label]
    yield from fitting[:PER_LABEL]


def samples_by_label(series: Series, read: Read) -> dict[LabelName, list[Sample]]:
    """Samples for every label that occurs."""
    found = {label: list(samples_of(series, label, read)) for label in LABEL_NAMES}
    return {label: samples for label, samples in found.items() if samples}
