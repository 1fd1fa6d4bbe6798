"""One W&B run per sweep: a point per cell with its axes, live rates, failures, and at the end tables and the report."""

from __future__ import annotations

import logging
import shlex
import time
from collections import Counter
from collections.abc import Callable, Mapping

from orchestrator.cells import CellKey
from orchestrator.errors import InputError
from orchestrator.news import CellScored, CellStored, ItemFailed, ModelLoaded, News
from orchestrator.redaction import redacted
from orchestrator.results.store import Store, UnreadableFileError
from orchestrator.tracking import offline_run
from orchestrator.tracking.offline_run import STEP, OfflineRun, Target
from orchestrator.tracking.overview import curves_of, summary_of
from orchestrator.tracking.points import Value, axes, metrics, shares
from orchestrator.tracking.tables import files_of, tables_of
from orchestrator.tracking.tracker import RunIdentity, Tracker
from orchestrator.tracking.upload import Upload, fragments_of

STEPS = 1000
"""W&B drops a row whose step does not grow: so many more rows than the cells' the last fragment of a run has room for."""

RATES_SECONDS = 10.0
"""Live rates go with the first cell after this time."""

_log = logging.getLogger(__name__)


def _no_rates() -> Mapping[str, Value]:
    return {}


def _no_pictures(results: Store) -> Mapping[str, bytes]:
    return {}


class WandbTracker(Tracker):
    """Writes the run to ``<results>/wandb``; uploads it as it grows when WANDB_MODE, a key and the network allow.

    ``rates`` gives the live rates per model, ``pictures`` the heat maps (title -> PNG). A step is ``STEPS`` times the number
    of the cell, so that it grows over resumed runs and leaves the last one room for tables, pictures and curves.
    """

    def __init__(
        self,
        identity: RunIdentity,
        rates: Callable[[], Mapping[str, Value]] = _no_rates,
        pictures: Callable[[Store], Mapping[str, bytes]] = _no_pictures,
    ) -> None:
        self._identity, self._rates, self._pictures = identity, rates, pictures
        self._errors = offline_run.errors()
        self._cell_number = identity.cells_before
        self._rates_at = float("-inf")
        self._failures: Counter[str] = Counter()
        self._unscored: dict[CellKey, Mapping[str, Value]] = {}
        self._run: OfflineRun | None = None
        self._upload: Upload | None = None
        self._target = Target(disabled=True, server=None)
        self._begin()

    def hear(self, news: News) -> None:
        """How long a load took and on what; a point per cell, from time to time with the live rates; failures, by kind."""
        match news:
            case ModelLoaded(variant, _, info):
                name = self._identity.names.get(variant, variant)
                loaded = {f"load_seconds/{name}": info.load_seconds, f"device/{name}": info.device}
                self._write(lambda run: run.summarize(loaded))
            case CellStored(cell, result):
                self._unscored[cell.key] = {**axes(cell), **metrics(result)}
            case CellScored(scored, labels) if scored.key in self._unscored:
                self._cell_number += 1
                measured = self._unscored.pop(scored.key)
                point = {STEP: self._cell_number, **measured, **shares(labels), **self._rates_now()}
                step = STEPS * self._cell_number
                self._write(lambda run: run.log(point, step))
            case ItemFailed():
                self._failures[news.failure.kind] += 1
                counts = {f"failures/{kind}": count for kind, count in self._failures.items()}
                self._write(lambda run: run.summarize({"failures": self._failures.total(), **counts}))

    def finish(self, totals: Mapping[str, float], results: Store | None = None) -> None:
        """Write totals, tables and the report, close the run, and wait a bounded time for the rest of the upload."""
        self._write(lambda run: run.summarize(totals))
        if results is not None:
            self._write(lambda run: self._write_results(run, results))
        run = self._run
        self._write(lambda run: run.finish())
        self._run = None
        if self._upload is not None and self._upload.finish():
            return
        if run is not None:
            _log.warning("Weights & Biases: the run is not uploaded; to do it: %s", self._command())

    def _begin(self) -> None:
        try:
            self._target = offline_run.target()
            if self._target.disabled:
                return
            if self._target.server is None:
                _log.warning("Weights & Biases: tracking offline (%s)", self._target.why_offline)
            self._open()
        except self._errors as error:
            _log.warning("Weights & Biases: no tracking: %s", _reason(error))

    def _open(self) -> None:
        """A new fragment, and an upload that follows it."""
        self._run = OfflineRun(self._identity)
        if self._upload is not None:
            self._upload.stop()
        if self._target.server is not None:
            self._upload = Upload(fragments_of(self._run.folder.parent, self._identity.id), self._target.server)

    def _write_results(self, run: OfflineRun, results: Store) -> None:
        try:
            tables, files, rows = tables_of(results), files_of(results), results.cell_rows()
            pictures = self._pictures(results)
        except (InputError, UnreadableFileError) as error:
            _log.warning("Weights & Biases: no tables: %s", error)
            return
        step = STEPS * self._cell_number + 1
        run.tables(tables, step)
        run.summarize(summary_of(rows))
        if pictures:
            run.pictures(pictures, step + 1)
        for number, point in enumerate(curves_of(rows), start=step + 2):
            run.log(point, number)
        if files:
            run.artifact(f"{self._identity.sweep}-results", files)

    def _rates_now(self) -> Mapping[str, Value]:
        now = time.monotonic()
        if now - self._rates_at < RATES_SECONDS:
            return {}
        self._rates_at = now
        return self._rates()

    def _write(self, call: Callable[[OfflineRun], object]) -> None:
        """An error costs one new start of W&B's service, with a new fragment; a second one ends the tracking, not the sweep."""
        if self._run is None:
            return
        try:
            call(self._run)
        except self._errors as error:
            _log.warning("Weights & Biases: %s", _reason(error))
            self._run = None
            self._write_anew(call)

    def _write_anew(self, call: Callable[[OfflineRun], object]) -> None:
        try:
            offline_run.restart_service()
            self._open()
            if self._run is not None:
                call(self._run)
        except self._errors as error:
            self._run = None
            _log.warning("Weights & Biases: tracking stops: %s", _reason(error))

    def _command(self) -> str:
        folder = self._identity.results / "wandb"
        return f"wandb sync {shlex.quote(str(folder))}/offline-run-*-{self._identity.id}*"


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return redacted(lines[0]) if lines else type(error).__name__
