"""The results folder, on a disk or in object storage. Nothing else touches its files; the driver alone writes, under ``lock``.

::

    results/<sweep>/
      sweep.yaml  plan.json              what was asked
      choices.json                       what the run chose by itself, where the sweep lets it
      directions/<id>.safetensors        one direction set
      responses/<cell_id>.parquet        a finished cell with all that was measured, never rewritten
      scores/<scorer>/<cell_id>.parquet  what one scorer says of a cell, by the scorer's id
      labels/<cell_id>.parquet           of earlier versions, in place of scores
      judgements/<scorer>/*.jsonl        what a judge replied, appended as it comes
      ratings/<rater>.jsonl              what people said, appended by ``label`` without the lock; ratings/sample-*.json
      analyses/<kind>/<item_id>          what an item of another kind leaves
      failures/<item_id>.json            what went wrong last, until it succeeds or is cleared
      quarantine/                        damaged files, moved out of the way: their items run anew
      cells.parquet  responses.parquet   compacted from the parts by ``compact``
      scores.parquet                     a row per response and scorer
      capability.parquet                 what tasks of lm-evaluation-harness gave, where the sweep asks for any
      angles.parquet                     how directions turn from layer to layer, where the sweep asks for it
      stability.parquet                  how far they depend on their prompts
      categories.parquet                 what the directions of categories share
      splines.parquet                    curves through behavioural centroids, layer by layer
      propagation.parquet                where directions that are added at one layer point at later ones
      random_floor.parquet               how far they move the next token, among random ones
      motion.parquet                     where steered centroids go
      rates.parquet                      a row per cell, behavior, scorer and label
      directions.parquet                 a row per direction set and layer, with what quantization does to it
      transfer.parquet                   a row per transfer cell, beside its self-control
      report.html  report.md  report/*   written by ``report``

A file under its own name is whole (see ``storage``), so the names alone say what is done.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from actors.errors import JobError
from actors.types import CellResult, DirectionSet, Failure, Response
from orchestrator.analysis.analysis import AnalysisRow
from orchestrator.cells import Cell, DirectionSpec
from orchestrator.json_text import parse_json
from orchestrator.planning.choices import decode_choices, decode_matches, decode_searches
from orchestrator.processes import useful_processes
from orchestrator.results import schema
from orchestrator.results.analyses import LAYOUTS
from orchestrator.results.answer_losses import MeasuredLosses
from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.compaction import compact
from orchestrator.results.comparison_rows import DirectionRow, TransferRow
from orchestrator.results.completeness import Lacking, lacking
from orchestrator.results.direction_file import encode_direction
from orchestrator.results.directions_table import StoredDirections
from orchestrator.results.folder import Folder
from orchestrator.results.folder_files import scores_of
from orchestrator.results.judgements import Judgements
from orchestrator.results.kept_directions import KeptDirections
from orchestrator.results.kept_plan import planned_cells
from orchestrator.results.parts import StoredScores, encode_responses, encode_scores, in_order, responses_of
from orchestrator.results.placing import part_cosines, placed
from orchestrator.results.plan_file import PlannedCells, check_version, decode_plan, encode_plan
from orchestrator.results.rate_rows import RateRow
from orchestrator.results.remembered import CompactSummary
from orchestrator.results.rows import CellRow, axes_of, measures_of, steered_at
from orchestrator.results.scored_cells import ScoredCells
from orchestrator.results.unscored import unscored
from orchestrator.scoring import Label
from orchestrator.scoring.planned import scoring_item
from orchestrator.scoring.score import ResponseScore, Scorer
from orchestrator.storage import Place, StoredFile, StoreLockedError, UnreadableFileError

if TYPE_CHECKING:
    from orchestrator.plan import Plan

__all__ = ["CompactSummary", "Lacking", "PlannedCells", "Store", "StoreLockedError", "UnreadableFileError"]

_KNOWN = ("directions", "responses", "failures")
_T = TypeVar("_T")

PageState = Literal["none", "behind", "current"]
"""Whether there is a report, and whether it shows what the tables hold."""

_LOG = logging.getLogger(__name__)


class Store:
    """The results folder at ``place``, a path or a URL. Nothing is created before the first write or ``lock``.

    Reading a damaged file moves it to ``quarantine/`` with a warning and raises ``UnreadableFileError``; a missing one
    is a FileNotFoundError. Every method: ``StorageError`` when the disk or the network refuses; what was finished stays whole.

    ``root`` is the folder itself, or for object storage a folder of this machine, for what only this machine needs.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._folder = self.folder = Folder(place)
        self.root = self.folder.local
        self._kept_directions = KeptDirections(self.read_direction)
        self._judgements: dict[str, Judgements] = {}
        self._plan: PlannedCells | None = None
        self._losses: MeasuredLosses | None = None
        self._axes: dict[str, tuple[CellAxes, ...]] = {}
        self._there: dict[str, set[str]] = {}  # under the lock: the items that may have a file; no request asks for others

    @contextmanager
    def lock(self) -> Iterator[None]:
        """The right to write, for one driver: ``StoreLockedError`` when another has it. Removes a killed driver's leftovers.

        InputError when a newer version of this program wrote the folder: it is left as it is.
        """
        with self._folder.files.exclusive():
            check_version(self._folder.plan)
            self._folder.clean()
            self._there = {kind: self._folder.ids(kind) for kind in (*_KNOWN, *map(scores_of, self._folder.scorers()))}
            try:
                yield
            finally:
                self._there = {}

    def there(self) -> bool:
        """Whether anything was ever written."""
        return self._folder.files.there()

    @property
    def writers(self) -> int:
        """How many threads should store cells at once; 0: whoever has one stores it. Cells may be written by several threads."""
        return self._folder.files.writers

    def hurry(self) -> None:
        """Wait no longer for a network that is away: what is being written fails as soon as it can."""
        self._folder.files.hurry()

    def done_cells(self) -> set[str]:
        """Ids of the cells whose responses are stored."""
        return self._folder.ids("responses")

    def done_directions(self) -> set[str]:
        """Ids of the direction sets that are stored."""
        return self._folder.ids("directions")

    def done(self, folders: Iterable[str]) -> set[str]:
        """Ids of the items whose files lie in any of ``folders``."""
        return {one for folder in folders for one in self._folder.done(folder)}

    def write_analysis(self, kind: str, item_id: str, content: bytes) -> None:
        """Store the file of an item that is neither a direction nor a cell."""
        self._folder.analysis(kind, item_id).write_bytes(content)
        self.clear_failures([item_id])

    def read_analysis(self, kind: str, item_id: str) -> bytes:
        """The content of such a file."""
        return self._folder.analysis(kind, item_id).read_bytes()

    def judgements(self, scorer: str) -> Judgements:
        """What a judge replied, by its id; one object for all who ask."""
        return self._judgements.setdefault(scorer, Judgements(self._folder, scorer))

    def scored_cells(self, scorer: str) -> set[str]:
        """Ids of the cells that a scorer, by its id, has scored."""
        return self._folder.ids(scores_of(scorer))

    def labelled_cells(self) -> set[str]:
        """Ids of the planned cells whose labels follow from what is stored."""
        return ScoredCells(self._folder, self.planned()).labelled(self.planned().cells)

    def write_sweep(self, text: str) -> None:
        """Keep the sweep file's text; an equal one is left alone."""
        self._folder.sweep.write_if_changed(text.encode())

    def write_plan(self, plan: Plan) -> None:
        """Keep the plan; an equal one is left alone."""
        self.keep_plan(planned_cells(plan))

    def keep_plan(self, planned: PlannedCells) -> None:
        """As ``write_plan``, of what a plan file says."""
        self._folder.plan.write_if_changed(encode_plan(planned))
        self._remember(planned)

    def planned(self) -> PlannedCells:
        """What ``plan.json`` says; InputError when the folder has none or it is damaged."""
        return self._plan or self._remember(decode_plan(self._folder.plan))

    def axes(self, cell_id: str) -> tuple[CellAxes, ...]:
        """Where a cell of the plan lies in the sweep, for each behavior that asks for it; none for one that is not of it."""
        self.planned()
        return self._axes.get(cell_id, ())

    @property
    def losses(self) -> MeasuredLosses:
        """The losses of the answers of the plan's cells."""
        if self._losses is None:
            self._losses = MeasuredLosses(self._folder, self.planned())
        return self._losses

    def unscored(self) -> tuple[tuple[str, str], ...]:
        """The ids of scorer and cell of the scores that are missing of finished cells, and have not failed."""
        planned = self.planned()
        return unscored(self._folder, planned, self.done_cells())

    def write_direction(self, spec: DirectionSpec, found: DirectionSet) -> None:
        """Store a direction set. FileExistsError if it is there already; ValueError for NaN or infinity."""
        self._new("directions", spec.id).write_bytes(encode_direction(spec, found))
        self.clear_failures([spec.id])

    def read_direction(self, direction_id: str) -> DirectionSet:
        """A stored direction set."""
        return self._folder.direction(direction_id)

    def kept_direction(self, direction_id: str) -> DirectionSet:
        """As ``read_direction``; the sets that were used last come from memory."""
        return self._kept_directions(direction_id)

    def write_responses(self, cell: Cell, result: CellResult, attempt: int) -> None:
        """Store a finished cell, its responses in the order of its prompts.

        FileExistsError if it is there already: a finished cell is never rewritten. ValueError for NaN or infinity, or
        when the responses are not exactly those of the cell's prompts.
        """
        file = self._new("responses", cell.id)
        axes, *_ = self._axes.get(cell.id) or (axes_of(cell),)
        found = self._direction_of(cell)
        measures = measures_of(cell, result, found, attempt, datetime.now(UTC), self._part_cosines(cell))
        at, responses = steered_at(cell.steering, found), in_order(cell, result)
        file.write_bytes(encode_responses(axes, at, measures, responses, cell.labels.categories))
        self.clear_failures([cell.id])

    def read_responses(self, cell_id: str) -> tuple[Response, ...]:
        """A finished cell's responses, in the order of its prompts."""
        return responses_of(self._folder.response_part(cell_id).table)

    def write_scores(self, cell_id: str, scorer: Scorer, scores: Sequence[ResponseScore]) -> None:
        """Store what a scorer says of a cell's responses, in place of what it said before; equal ones are left alone."""
        kind = scores_of(scorer.id)
        if not self._absent(kind, cell_id):
            with suppress(FileNotFoundError, UnreadableFileError):
                kept = self._folder.score_part(scorer.id, cell_id)
                if (kept.scores, kept.says) == (tuple(scores), scorer.says):
                    return
        given = StoredScores.of(scorer.id, scorer.says, scores, datetime.now(UTC))
        self._path(kind, cell_id).write_bytes(encode_scores(cell_id, given))
        self.clear_failures([scoring_item(scorer.id, cell_id)])

    def read_labels(self, cell_id: str, behavior: str | None = None) -> tuple[Label, ...]:
        """The labels that follow from a cell's scores, in the order of its prompts, for ``behavior`` (None: the first that asks
        for it); FileNotFoundError where it has none."""
        axes = next((one for one in self.axes(cell_id) if behavior in (None, one.behavior)), None)
        labels = None if axes is None else ScoredCells(self._folder, self.planned(), cell_id).of(axes).labels
        if labels is None:
            raise FileNotFoundError(f"{cell_id} has no labels")
        return tuple(schema.LABEL_PART.typed(labels))

    def write_failure(self, failure: Failure) -> None:
        """Keep what went wrong with an item, in place of its earlier failure."""
        self._path("failures", failure.item_id).write_bytes(json.dumps(asdict(failure), indent=1).encode())

    def write_scoring_failure(self, failure: Failure) -> None:
        """Keep why a cell was not scored; where it was before, its scores stand, and nothing is kept."""
        if not self._is_scored(failure.item_id):
            self.write_failure(failure)

    def _is_scored(self, item_id: str) -> bool:
        cell_id, _, scorer = item_id.partition(".")
        return bool(scorer) and self._folder.path(scores_of(scorer), cell_id).exists()

    def failures(self) -> tuple[Failure, ...]:
        """The failures of items that are not done, by item id. A damaged file is moved away and left out."""
        kept = []
        for item_id in sorted(self._folder.ids("failures") - self.done_cells() - self.done_directions()):
            if self._is_scored(item_id):
                continue
            path = self._folder.path("failures", item_id)
            try:
                kept.append(Failure(**cast("dict[str, Any]", parse_json(path.read_bytes()))))
            except FileNotFoundError:
                continue  # cleared a moment ago
            except (UnreadableFileError, ValueError, TypeError) as error:
                self._folder.quarantine(UnreadableFileError(path, str(error)))
        return tuple(kept)

    def scoring_failures(self) -> list[Failure]:
        """Those of the plan's scorers on its cells."""
        wanted = {scoring_item(*one) for one in self.planned().scorings()}
        return [one for one in self.failures() if one.item_id in wanted]

    def clear_failures(self, item_ids: Collection[str] | None = None) -> int:
        """Forget the failures of ``item_ids`` (None: all); how many there were."""
        kept = self._folder.ids("failures") if item_ids is None else set(item_ids)
        if self._there:
            kept &= self._there["failures"]
            self._there["failures"] -= kept
        return sum(self._folder.path("failures", item_id).delete() for item_id in kept)

    def compact(self) -> CompactSummary:
        """Bring ``cells.parquet`` and ``responses.parquet`` up to date: the plan's finished cells, in the plan's order.

        Opens nothing when no file changed since the last time. The cell of a damaged part is left out. InputError when
        the folder has no plan, or when a part was written by a newer version.
        """
        return compact(self._folder, self.planned(), useful_processes())

    def lacking(self) -> Lacking:
        """What the tables on the disk lack of what is finished, and which scores there are not, though they have not failed.

        Reads all of them. A damaged one is moved away. InputError when the folder has no plan.
        """
        return lacking(self._folder, self.planned(), self.done_cells() | self.done_directions())

    def forget_tables(self) -> None:
        """The next ``compact`` makes every table anew."""
        self._folder.compacted.delete()

    def clear_the_way(self) -> None:
        """Move away what lies under the name of a file and is none. Needs the lock."""
        self._folder.clear_the_way()

    def cell_rows(self) -> list[CellRow]:
        """The rows of ``cells.parquet`` as the last ``compact`` wrote them; none before the first."""
        return _none_if_absent(lambda: self._folder.rows(self._folder.cells, schema.CELLS))

    def rate_rows(self, **only: Collection[str]) -> list[RateRow]:
        """The rows of ``rates.parquet`` as the last ``compact`` wrote them; none before the first. ``only``: those which have one
        of these values in the column of that name; a large sweep has ten for every cell."""
        return _none_if_absent(lambda: self._folder.rows(self._folder.rates, schema.RATES, only))

    def direction_rows(self) -> list[DirectionRow]:
        """The rows of ``directions.parquet`` as the last ``compact`` wrote them; none before the first."""
        return _none_if_absent(lambda: self._folder.rows(self._folder.direction_table, schema.DIRECTIONS))

    def analysis_rows(self, name: str) -> list[AnalysisRow]:
        """The rows of an analysis; none where it was not asked for."""
        file = self._folder.analyses[name]
        return self._folder.rows(file, LAYOUTS[name]) if file.exists() else []

    def transfer_rows(self) -> list[TransferRow]:
        """The rows of ``transfer.parquet`` as the last ``compact`` wrote them; none before the first."""
        return _none_if_absent(lambda: self._folder.rows(self._folder.transfers, schema.TRANSFERS))

    def directions(self) -> StoredDirections:
        """The stored direction sets, read when asked for."""
        return StoredDirections(self._folder)

    def write_choices(self, text: str) -> None:
        """Keep what the run chose (``choices.json``); an equal one is left alone."""
        self._folder.choices.write_if_changed(text.encode())

    def choices(self) -> list[dict[str, Any]]:
        """What ``choices.json`` says (``planning.choices.Choice`` as objects); none when there is none or it is damaged."""
        return self._of_choices(decode_choices)

    def searches(self) -> list[dict[str, Any]]:
        """How far searches are (``planning.choices.Arm`` as objects), from ``choices.json`` too."""
        return self._of_choices(decode_searches)

    def matches(self) -> list[dict[str, Any]]:
        """The arms of comparisons at equal damage (``planning.choices.MatchedArm`` as objects), from ``choices.json`` too."""
        return self._of_choices(decode_matches)

    def _of_choices(self, decode: Callable[[bytes], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        try:
            return decode(self._folder.choices.read_bytes())
        except (FileNotFoundError, UnreadableFileError, ValueError, KeyError, TypeError):
            return []

    def write_pages(self, markdown: str, html: Iterable[str]) -> StoredFile:
        """Write ``report.html``, piece by piece, and ``report.md``; equal ones are left alone. Returns ``report.md``."""
        self._folder.html_page.write_stream(lambda page: page.writelines(part.encode("utf-8", "replace") for part in html))
        self._folder.page.write_if_changed(markdown.encode("utf-8", "replace"))
        return self._folder.page

    def write_report_file(self, name: str, content: bytes) -> Path:
        """Write ``report/<name>``; an equal one is left alone. The path is relative to the place."""
        file = self._folder.path("report", name)
        file.write_if_changed(content)
        return Path(file.key)

    def fetched(self) -> Path:
        """``root`` with the tables, the page and the figures in it: what lies in object storage is copied there."""
        if self.place != self.root:
            for folder in ("", "report"):
                self.folder.fetch(folder)
        return self.root

    def page(self) -> PageState:
        """How ``report.html`` stands to ``cells.parquet``; after an interruption the tables are ahead of it."""
        page, cells = self._folder.html_page.state(), self._folder.cells.state()
        if page is None or not self._folder.page.exists():
            return "none"
        return "current" if cells is None or page.changed >= cells.changed else "behind"

    def _remember(self, planned: PlannedCells) -> PlannedCells:
        self._plan = planned
        self._axes = planned.by_id()
        self._losses = None
        return planned

    def _direction_of(self, cell: Cell) -> DirectionSet | None:
        if cell.steering is None:
            return None
        try:
            return self._kept_directions(cell.steering.direction.id)
        except (FileNotFoundError, UnreadableFileError) as error:
            _LOG.warning("%s: the norms of its direction are not known (%s)", cell.id, error)
            return None

    def _part_cosines(self, cell: Cell) -> tuple[float, ...]:
        """Between the directions of a cell with several; none where one is not at hand."""
        if cell.steering is None or not cell.steering.then:
            return ()
        try:
            return part_cosines([placed(part, self._kept_directions(part.direction.id)) for part in cell.steering.parts])
        except (FileNotFoundError, UnreadableFileError, JobError) as error:
            _LOG.warning("%s: the cosines of its directions are not known (%s)", cell.id, error)
            return ()

    def _new(self, kind: str, item_id: str) -> StoredFile:
        """The file of an item that must not be there; FileExistsError."""
        return self._path(kind, item_id) if self._absent(kind, item_id) else self._folder.new(kind, item_id)

    def _path(self, kind: str, item_id: str) -> StoredFile:
        """The file of an item that is about to be written."""
        if self._there:
            self._there.setdefault(kind, set()).add(item_id)
        return self._folder.path(kind, item_id)

    def _absent(self, kind: str, item_id: str) -> bool:
        """Whether it is certain, without asking, that an item has no file."""
        return bool(self._there) and item_id not in self._there.get(kind, ())


def _none_if_absent(read: Callable[[], list[_T]]) -> list[_T]:
    try:
        return read()
    except (FileNotFoundError, UnreadableFileError):
        return []
