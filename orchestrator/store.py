"""The results folder. Nothing else touches its files; the driver alone writes, under ``lock``.

::

    results/<sweep>/
      sweep.yaml  plan.json              what was asked
      directions/<id>.safetensors        one direction set
      responses/<cell_id>.parquet        a finished cell with all that was measured, never rewritten
      labels/<cell_id>.parquet           replaced when a cell is labelled again
      failures/<item_id>.json            what went wrong last, until it succeeds or is cleared
      quarantine/                        damaged files, moved out of the way: their items run anew
      cells.parquet  responses.parquet   compacted from the parts by ``compact``
      report.md  figures/*.png           written by ``report``

A file under its own name is whole (see ``atomic``), so the names alone say what is done.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from actors.types import CellResult, DirectionSet, Failure, Response
from orchestrator import schema
from orchestrator.atomic import write_bytes, write_if_changed
from orchestrator.cells import Cell, DirectionSpec
from orchestrator.classifiers import Label
from orchestrator.compaction import CompactSummary, compact
from orchestrator.direction_file import encode_direction
from orchestrator.errors import InputError
from orchestrator.folder import Folder
from orchestrator.locking import StoreLockedError, exclusive
from orchestrator.parts import encode_labels, encode_responses, in_order, responses_of
from orchestrator.plan_file import PlannedCells, decode_plan, encode_plan, planned_cells
from orchestrator.rows import CellAxes, CellRow, axes_of, measures_of
from orchestrator.schema import UnreadableFileError

if TYPE_CHECKING:
    from orchestrator.plan import Plan

__all__ = ["CompactSummary", "PlannedCells", "Store", "StoreLockedError", "UnreadableFileError"]

_LOG = logging.getLogger(__name__)


class Store:
    """The results folder ``root``. Nothing is created before the first write or ``lock``.

    Reading a damaged file moves it to ``quarantine/`` with a warning and raises ``UnreadableFileError``; a missing one
    is a FileNotFoundError.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = Folder(root)
        self._plan: PlannedCells | None = None
        self._axes: dict[str, CellAxes] = {}

    @contextmanager
    def lock(self) -> Iterator[None]:
        """The right to write, for one driver: ``StoreLockedError`` when another has it. Removes a killed driver's leftovers."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError.because(f"cannot make the results folder {self.root}: {error.strerror}", "results") from error
        with exclusive(self._folder.lock):
            self._folder.clean()
            yield

    def done_cells(self) -> set[str]:
        """Ids of the cells whose responses are stored."""
        return self._folder.ids("responses")

    def done_directions(self) -> set[str]:
        """Ids of the direction sets that are stored."""
        return self._folder.ids("directions")

    def labelled_cells(self) -> set[str]:
        """Ids of the cells whose labels are stored."""
        return self._folder.ids("labels")

    def write_sweep(self, text: str) -> None:
        """Keep the sweep file's text; an equal one is left alone."""
        write_if_changed(self._folder.sweep, text.encode())

    def write_plan(self, plan: Plan) -> None:
        """Keep the plan; an equal one is left alone."""
        planned = planned_cells(plan)
        write_if_changed(self._folder.plan, encode_plan(planned))
        self._remember(planned)

    def planned(self) -> PlannedCells:
        """What ``plan.json`` says; InputError when the folder has none or it is damaged."""
        return self._plan or self._remember(decode_plan(self._folder.plan))

    def write_direction(self, spec: DirectionSpec, found: DirectionSet) -> None:
        """Store a direction set. FileExistsError if it is there already; ValueError for NaN or infinity."""
        path = self._folder.new("directions", spec.id)
        write_bytes(path, encode_direction(spec, found))
        self.clear_failures([spec.id])

    def read_direction(self, direction_id: str) -> DirectionSet:
        """A stored direction set."""
        return self._folder.direction(direction_id)

    def write_responses(self, cell: Cell, result: CellResult, attempt: int) -> None:
        """Store a finished cell, its responses in the order of its prompts.

        FileExistsError if it is there already: a finished cell is never rewritten. ValueError for NaN or infinity, or
        when the responses are not exactly those of the cell's prompts.
        """
        path = self._folder.new("responses", cell.id)
        axes = self._axes.get(cell.id) or axes_of(cell)
        measures = measures_of(cell, result, self._direction_of(cell), attempt, datetime.now(UTC))
        write_bytes(path, encode_responses(axes, measures, in_order(cell, result)))
        self.clear_failures([cell.id])

    def read_responses(self, cell_id: str) -> tuple[Response, ...]:
        """A finished cell's responses, in the order of its prompts."""
        return responses_of(self._folder.response_part(cell_id)[0])

    def write_labels(self, cell_id: str, labels: Sequence[Label]) -> None:
        """Store a cell's labels, in any order, in place of earlier ones; equal ones are left alone.

        ValueError when two labels are for one prompt.
        """
        if len({label.prompt_id for label in labels}) != len(labels):
            raise ValueError(f"{cell_id}: two labels for one prompt")
        if self._kept_labels(cell_id) != tuple(labels):
            write_bytes(self._folder.path("labels", cell_id), encode_labels(cell_id, labels, datetime.now(UTC)))

    def read_labels(self, cell_id: str) -> tuple[Label, ...]:
        """A cell's labels."""
        return self._folder.label_part(cell_id)[0]

    def write_failure(self, failure: Failure) -> None:
        """Keep what went wrong with an item, in place of its earlier failure."""
        write_bytes(self._folder.path("failures", failure.item_id), json.dumps(asdict(failure), indent=1).encode())

    def failures(self) -> tuple[Failure, ...]:
        """The failures of items that are not done, by item id. A damaged file is moved away and left out."""
        kept = []
        for item_id in sorted(self._folder.ids("failures") - self.done_cells() - self.done_directions()):
            path = self._folder.path("failures", item_id)
            try:
                kept.append(Failure(**json.loads(path.read_bytes())))
            except (ValueError, TypeError) as error:
                self._folder.quarantine(UnreadableFileError(path, str(error)))
        return tuple(kept)

    def clear_failures(self, item_ids: Collection[str] | None = None) -> int:
        """Forget the failures of ``item_ids`` (None: all); how many there were."""
        kept = self._folder.ids("failures") if item_ids is None else item_ids
        paths = [path for item_id in kept if (path := self._folder.path("failures", item_id)).exists()]
        for path in paths:
            path.unlink()
        return len(paths)

    def compact(self) -> CompactSummary:
        """Bring ``cells.parquet`` and ``responses.parquet`` up to date: the plan's finished cells, in the plan's order.

        Opens nothing when no file changed since the last time. The cell of a damaged part is left out. InputError when
        the folder has no plan, or when a part was written by a newer version.
        """
        return compact(self._folder, self.planned())

    def cell_rows(self) -> list[CellRow]:
        """The rows of ``cells.parquet`` as the last ``compact`` wrote them; none before the first."""
        try:
            with self._folder.quarantining():
                return schema.rows_of(schema.read_table(self._folder.cells), self._folder.cells)
        except (FileNotFoundError, UnreadableFileError):
            return []

    def write_page(self, text: str) -> Path:
        """Write ``report.md``; an equal one is left alone."""
        write_if_changed(self._folder.page, text.encode("utf-8", "replace"))
        return self._folder.page

    def write_figure(self, name: str, png: bytes) -> Path:
        """Write ``figures/<name>.png``; an equal one is left alone. The path is relative to ``root``."""
        path = self._folder.path("figures", name)
        write_if_changed(path, png)
        return path.relative_to(self.root)

    def _remember(self, planned: PlannedCells) -> PlannedCells:
        self._plan = planned
        self._axes = {axes.cell_id: axes for axes in planned.cells}
        return planned

    def _direction_of(self, cell: Cell) -> DirectionSet | None:
        if cell.steering is None:
            return None
        try:
            return self.read_direction(cell.steering.direction.id)
        except (FileNotFoundError, UnreadableFileError) as error:
            _LOG.warning("%s: the norms of its direction are not known (%s)", cell.id, error)
            return None

    def _kept_labels(self, cell_id: str) -> tuple[Label, ...] | None:
        try:
            return self.read_labels(cell_id)
        except (FileNotFoundError, UnreadableFileError):
            return None
