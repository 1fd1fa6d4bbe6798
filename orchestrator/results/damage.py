"""Which files of a results folder are damaged or missing. Only reads, and opens no part that the last tables were made from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

from orchestrator.damage import DamageItem
from orchestrator.errors import InputError
from orchestrator.measuring import MEASURED, arrays_of
from orchestrator.results import schema
from orchestrator.results.direction_file import decode_direction
from orchestrator.results.folder import Folder
from orchestrator.results.folder_files import LABELS_OF_OLD, scores_of
from orchestrator.results.parts import decode_damage, decode_responses, decode_scores
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.unscored import unscored
from orchestrator.storage import FileState, StoredFile, UnreadableFileError

_DAMAGE = f"analyses/{DamageItem.kind}"
_ARRAYS = tuple(f"analyses/{kind}" for kind in MEASURED)
_CHECKED = ("directions", "responses", _DAMAGE, *_ARRAYS)


@dataclass(frozen=True)
class Damage:
    """A file that is damaged or missing, by its name in the results folder, and why it is thought so."""

    file: str
    reason: str

    @property
    def item(self) -> str:
        """The id of its item; of a table its name."""
        return self.file.rpartition("/")[2].partition(".")[0]


def damages(folder: Folder, planned: PlannedCells, failed: Collection[str], tables: bool) -> tuple[Damage, ...]:
    """The damaged and missing files of what is done in a folder on a disk where no driver runs; ``tables``: those too should be
    complete. (In object storage an object is whole or not there.)

    ``failed``: items that may well have no file. A score is missing only where the tables should be complete: else it is still
    to be made.
    """
    done = {axes.cell_id for axes in planned.cells} & folder.ids("responses")
    return (
        *_parts(folder, planned),
        *_missing(folder, planned, failed, tables),
        *(_tables(folder, planned, done) if tables else ()),
    )


def _parts(folder: Folder, planned: PlannedCells) -> Iterator[Damage]:
    """Of what the plan asks for: nothing else would be made anew, such as copies under other names."""
    seen = folder.compacted.state()
    known = {*planned.axis("cell_id"), *(one.id for one in planned.directions), *(one.id for one in planned.others)}
    for kind in (*_CHECKED, *map(scores_of, folder.scorers())):
        for item_id, state in sorted(folder.states(kind).items()):
            if item_id in known and (seen is None or max(state.changed, state.touched) > seen.changed):
                reason = _reason(folder.path(kind, item_id), kind, state)
                if reason:
                    yield Damage(folder.path(kind, item_id).key, reason)


@lru_cache(maxsize=100_000)
def _reason(file: StoredFile, kind: str, state: FileState) -> str:
    """Why a file cannot be read; empty when it can. ``state``: another content has another one."""
    item_id, _, scorer = file.name.rpartition(".")[0], *kind.partition("/")[1:]
    if kind in ("directions", _DAMAGE):
        return _why_not(partial(decode_damage if kind == _DAMAGE else decode_direction, file))
    if kind in _ARRAYS:
        return _why_not(partial(_read_arrays, file))
    return _why_not(partial(decode_scores, file, scorer, item_id) if scorer else partial(decode_responses, file, item_id))


def _read_arrays(file: StoredFile) -> None:
    try:
        arrays_of(file.read_bytes())
    except ValueError as error:
        raise UnreadableFileError(file, str(error)) from error


def _why_not(read: Callable[[], object]) -> str:
    try:
        read()
    except UnreadableFileError as error:
        return error.reason or "damaged"
    except FileNotFoundError:
        return "missing"
    except InputError as error:  # of a newer version, or the disk refuses
        return str(error)
    return ""


def _missing(folder: Folder, planned: PlannedCells, failed: Collection[str], finished: bool) -> Iterator[Damage]:
    done = ({axes.cell_id for axes in planned.cells} & folder.ids("responses")) - set(failed)
    used = {axes.direction_id for axes in planned.cells if axes.cell_id in done and axes.direction_id is not None}
    gone = [("directions", one) for one in sorted(used - folder.ids("directions"))]
    if finished:
        without = set(done) - folder.ids(LABELS_OF_OLD)  # what earlier versions labelled is scored anew by the next run
        gone += [(scores_of(scorer), one) for scorer, one in unscored(folder, planned, without)]
        for kind in (DamageItem.kind, *MEASURED):
            wanted = {one.id for one in planned.others if one.kind == kind and (kind in MEASURED or one.cell_id in done)}
            gone += [(f"analyses/{kind}", one) for one in sorted(wanted - set(failed) - folder.done(f"analyses/{kind}"))]
    yield from (Damage(folder.path(kind, item_id).key, "missing") for kind, item_id in gone)


def _tables(folder: Folder, planned: PlannedCells, done: Collection[str]) -> Iterator[Damage]:
    answers = sum(axes.n for axes in planned.cells if axes.cell_id in done)
    rows = {
        folder.cells: (lambda: schema.read_table(folder.cells).num_rows, sum(axes.cell_id in done for axes in planned.cells)),
        folder.responses: (lambda: len(schema.texts_of(folder.responses)), answers),
        folder.direction_table: (lambda: schema.read_table(folder.direction_table).num_rows, None),
        folder.transfers: (lambda: schema.read_table(folder.transfers).num_rows, None),
    }
    if folder.rates.exists():  # a folder of an earlier version has none
        rows[folder.rates] = (lambda: schema.read_table(folder.rates).num_rows, None)
    for file, (count, wanted) in rows.items():
        found: list[int] = []
        reason = _why_not(lambda count=count, found=found: found.append(count()))  # type: ignore[misc]
        if not reason and wanted is not None and found != [wanted]:
            reason = f"it holds {found[0]} of {wanted} rows"
        if reason:
            yield Damage(file.key, reason)
