"""Writes what the workers return, in one order: the responses, then their labels, then whoever listens.

Where writing takes long, threads write: ``begin`` starts to store a cell, and ``cell`` waits for it before anybody hears of it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Protocol

from actors.types import CellResult, DirectionSet, Failure, ModelInfo, Response
from orchestrator.cells import Cell, DirectionSpec, variant_id
from orchestrator.results.rows import SteeredAt
from orchestrator.results.store import Store, UnreadableFileError
from orchestrator.scheduling.jobs import located
from orchestrator.scoring import Classifier, Label
from orchestrator.scoring.verdict import Scoring
from orchestrator.storage import StorageError
from orchestrator.wordings import Wordings, mixture

_LOG = logging.getLogger(__name__)


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
    return [classifier.label(one.prompt_id, one.prompt, one.completion, one.finish_reason) for one in responses]


class Recorder:
    """The scheduler's ``ResultSink`` over a results folder. Leaving it waits until all that was begun is stored; after an
    interrupt, or when the storage refuses, until what is under way has ended. ``threads``: how many store what was begun."""

    def __init__(self, store: Store, scoring: Scoring, listeners: Sequence[Listener], threads: int = 0) -> None:
        self._store, self._scoring, self._listeners = store, scoring, listeners
        self._loads: dict[str, dict[str, str]] = {}
        self._threads = ThreadPoolExecutor(max(1, threads), "store")
        self._begun: dict[str, Future[list[Label]]] = {}
        self._wordings: Wordings | None = None
        self._compared: set[str] = set()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        begun = self._begun.values()
        gives_up = kind is not None and issubclass(kind, StorageError | KeyboardInterrupt)
        if gives_up and not all(one.done() for one in begun):
            self._store.hurry()
        self._threads.shutdown(wait=True, cancel_futures=gives_up)
        lost = sum(one.cancelled() or isinstance(one.exception(), StorageError) for one in begun)
        if lost:
            _LOG.warning("%d cells that were generated could not be stored; they run again", lost)

    def loaded(self, variant: str, worker: str, info: ModelInfo) -> None:
        """Pass it on, and remember what the load took: it goes into the provenance of this worker's cells."""
        self._loads[worker] = {"load_seconds": f"{info.load_seconds:.2f}", "slots": str(info.slots)}
        for listener in self._listeners:
            listener.loaded(variant, worker, info)
        self._compare_wording(variant, {"template_sha256": info.template_sha256})

    def _compare_wording(self, variant: str, record: Mapping[str, str]) -> None:
        """Tell it when a model's prompts are worded otherwise than those of what is stored."""
        if self._wordings is None:
            self._wordings = Wordings(self._store.cell_rows())
        if digests := self._wordings.mixed(variant, record):
            self.note(mixture(self._store.planned().named(variant), digests))

    def direction(self, spec: DirectionSpec, found: DirectionSet) -> None:
        """Store a direction set; ValueError when it is not finite."""
        self._store.write_direction(spec, found)

    def read_direction(self, direction_id: str) -> DirectionSet | None:
        """A stored direction set; None when its file is gone or damaged, so that it has to be extracted anew."""
        try:
            return self._store.kept_direction(direction_id)
        except (FileNotFoundError, UnreadableFileError):
            return None

    def cell(self, cell: Cell, result: CellResult, attempt: int) -> None:
        """Store a cell, then its labels; ValueError when the result is not one of this cell's prompts."""
        result = self._with_load(result)
        begun = self._begun.get(cell.id)
        labels = self._write(cell, result, attempt) if begun is None else begun.result()
        self._begun.pop(cell.id, None)  # one with an error stays, to be counted
        for listener in self._listeners:
            listener.cell_done(cell, result, labels)
        self._compare_direction(cell)

    def _compare_direction(self, cell: Cell) -> None:
        spec = None if cell.steering is None else cell.steering.direction
        if spec is None or self._wordings is None or spec.id in self._compared:
            return
        self._compared.add(spec.id)
        if (found := self.read_direction(spec.id)) is not None:
            self._compare_wording(variant_id(spec.model), found.record)

    def begin(self, cell: Cell, result: CellResult, attempt: int) -> Future[list[Label]]:
        """Start to store a cell and its labels; ``cell`` with the same arguments tells those who listen once that is over."""
        self._begun[cell.id] = self._threads.submit(self._write, cell, self._with_load(result), attempt)
        return self._begun[cell.id]

    def _write(self, cell: Cell, result: CellResult, attempt: int) -> list[Label]:
        self._store.write_responses(cell, result, attempt, steered=self._steered_at(cell))
        classifier = self._scoring.of(cell.labels.behavior)
        labels = label_responses(classifier, result.responses)
        self._store.write_labels(cell.id, labels, classifier.labels)
        return labels

    def _with_load(self, result: CellResult) -> CellResult:
        load = self._loads.get(result.provenance.get("worker", ""), {})
        return replace(result, provenance={**load, **result.provenance})

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
