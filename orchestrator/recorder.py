"""Writes what the workers return, in one order: the responses, then their labels, then whoever listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from actors.types import CellResult, DirectionSet, Failure, ModelInfo, Response
from orchestrator.cells import Cell, DirectionSpec
from orchestrator.classifiers import Classifier, Label
from orchestrator.jobs import located
from orchestrator.rows import SteeredAt
from orchestrator.store import Store, UnreadableFileError

DIRECTIONS_KEPT = 8


class Listener(Protocol):
    """Hears of everything after it was written: the progress display, the tracker."""

    def loaded(self, variant: str, worker: str, info: ModelInfo) -> None:
        """A worker holds a model."""
        ...

    def cell_done(self, cell: Cell, result: CellResult, labels: Sequence[Label]) -> None:
        """A cell and its labels are stored."""
        ...

    def failed(self, failure: Failure) -> None:
        """An item failed for good."""
        ...

    def noted(self, text: str) -> None:
        """Something a person should know."""
        ...


def label_responses(classifier: Classifier, responses: Sequence[Response]) -> list[Label]:
    """The labels of a cell's responses."""
    return [classifier.label(one.prompt_id, one.prompt, one.text, one.finish_reason) for one in responses]


class Recorder:
    """The scheduler's ``Recorder`` over a results folder."""

    def __init__(self, store: Store, classifier: Classifier, listeners: Sequence[Listener]) -> None:
        self._store, self._classifier, self._listeners = store, classifier, listeners
        self._loads: dict[str, dict[str, str]] = {}
        self._read = lru_cache(maxsize=DIRECTIONS_KEPT)(store.read_direction)

    def loaded(self, variant: str, worker: str, info: ModelInfo) -> None:
        """Pass it on, and remember what the load took: it goes into the provenance of this worker's cells."""
        self._loads[worker] = {"load_seconds": f"{info.load_seconds:.2f}", "slots": str(info.slots)}
        for listener in self._listeners:
            listener.loaded(variant, worker, info)

    def direction(self, spec: DirectionSpec, found: DirectionSet) -> None:
        """Store a direction set; ValueError when it is not finite."""
        self._store.write_direction(spec, found)

    def read_direction(self, direction_id: str) -> DirectionSet | None:
        """A stored direction set; None when its file is gone or damaged, so that it has to be extracted anew."""
        try:
            return self._read(direction_id)
        except (FileNotFoundError, UnreadableFileError):
            return None

    def cell(self, cell: Cell, result: CellResult, attempt: int) -> None:
        """Store a cell, then its labels; ValueError when the result is not one of this cell's prompts."""
        load = self._loads.get(result.provenance.get("worker", ""), {})
        result = replace(result, provenance={**load, **result.provenance})
        self._store.write_responses(cell, result, attempt, steered=self._steered_at(cell))
        labels = label_responses(self._classifier, result.responses)
        self._store.write_labels(cell.id, labels)
        for listener in self._listeners:
            listener.cell_done(cell, result, labels)

    def _steered_at(self, cell: Cell) -> SteeredAt | None:
        """Where a cell was steered whose layer its method selected; None where the plan itself says it."""
        if cell.steering is None or cell.steering.span is None:
            return None
        found = self.read_direction(cell.steering.direction.id)
        return None if found is None else SteeredAt(*located(cell.steering, found))

    def failure(self, failure: Failure) -> None:
        """Store a failure."""
        self._store.write_failure(failure)
        for listener in self._listeners:
            listener.failed(failure)

    def note(self, text: str) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.noted(text)
