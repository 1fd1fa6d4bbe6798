"""The recorded failures of a sweep beside the cells and directions that they belong to: read, chosen, grouped. Only reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, cast

from actors.errors import error_kinds
from actors.types import Failure
from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.json_text import parse_json
from orchestrator.planned_items import PlannedItem, check_filters, chosen, planned_items, scoring_items
from orchestrator.results.folder_files import ENDINGS, FolderFiles
from orchestrator.results.plan_file import PlannedCells
from orchestrator.scheduling.attempts import POISON, SCORING, UPSTREAM
from orchestrator.scoring.score import reads_losses
from orchestrator.storage import FileState, StoredFile, UnreadableFileError

OWN_COLUMNS = ("kind", "worker", "attempt")
"""What a filter of failures may name beside the axes of the cells."""

UNREADABLE = "unreadable"
"""Kind of a failure whose file cannot be read."""

KINDS = (*error_kinds(), UPSTREAM, POISON, SCORING, UNREADABLE)
"""The kinds of failures that have a name of their own; of any other error the kind is the name of its class."""

FIRST_LINE_CHARACTERS = 160
GROUPS_SHOWN = 20
_FIELD = "--filter"
_ERROR_CLASS = re.compile(r"[a-z_]\w*(error|exception|warning|exit|interrupt|expired|iteration)", re.IGNORECASE)
_VARYING = re.compile(r"\b(?:cell|direction|parity)-\w+|\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class FailedItem(PlannedItem):
    """A planned item with its failure, and when that was recorded (seconds since the epoch)."""

    failure: Failure
    at: float

    @property
    def first_line(self) -> str:
        """The beginning of the message."""
        return first_line(self.failure)

    def own(self) -> Mapping[str, object]:
        """The failure's own columns too."""
        return {"item": self.id, **{name: getattr(self.failure, name) for name in OWN_COLUMNS}}

    def as_json(self) -> dict[str, object]:
        """For programs, without the traceback."""
        content = {key: value for key, value in asdict(self.failure).items() if key != "traceback"}
        return {**content, "name": self.name, "recorded": self.at}


def failed_items(folder: FolderFiles, planned: PlannedCells, done: Iterable[str]) -> list[FailedItem]:
    """The failures of items of the plan that are not ``done``, in the plan's order. Unlike ``Store.failures`` it moves nothing:
    a file that cannot be read is a failure of kind ``unreadable``."""
    states = folder.states("failures")
    open_ids = states.keys() - set(done)
    if not open_ids:
        return []
    items = (*planned_items(planned), *scoring_items(planned, open_ids))
    found = (_failed(folder, one, states[one.id]) for one in items if one.id in open_ids)
    return [one for one in found if one is not None]


def chosen_failures(
    items: Sequence[FailedItem], filters: Sequence[str], measured_by: Callable[[str], Collection[str]]
) -> list[FailedItem]:
    """Those that meet every filter; with a direction's failure those of the cells that needed it, with a cell's those of
    its judges, and the other way round: the one would not succeed without the other. With scores by the loss of a cell's answers
    also the items that measure it, ``measured_by``."""
    picked = {one.id for one in chosen(items, filters, _FIELD, OWN_COLUMNS)}
    upstream = [one for one in items if one.failure.kind == UPSTREAM and one.cell is not None]
    causes = {one.cell.direction_id for one in upstream if one.cell is not None and one.id in picked}
    picked |= {one.id for one in items if one.id in causes}
    picked |= {one.id for one in upstream if one.cell is not None and one.cell.direction_id in picked}
    judged = {one.id: one.id.partition(".")[0] for one in upstream if one.scorer}
    picked |= {cell_id for item, cell_id in judged.items() if item in picked}
    picked |= {item for item, cell_id in judged.items() if cell_id in picked}
    by_loss = [one.cell.cell_id for one in items if one.id in picked and one.cell is not None and reads_losses(one.scorer)]
    picked |= {item for cell_id in by_loss for item in measured_by(cell_id)}
    return [one for one in items if one.id in picked]


def check_asked(planned: PlannedCells, filters: Sequence[str]) -> None:
    """InputError for filters that no failure of this plan could meet: an unknown column or kind, a value that no item has."""
    if not filters:
        return
    items = planned_items(planned)
    kinds = check_filters(items, filters, _FIELD, OWN_COLUMNS).get("kind", [])
    unknown = [one for one in kinds if one.strip().casefold() not in KINDS and not _ERROR_CLASS.fullmatch(one.strip())]
    allowed = f"{', '.join(KINDS)}, or the name of an error's class, as ValueError"
    if unknown:
        raise InputError(
            *(Problem(f"{_FIELD}: kind", one, "there is no such kind", allowed, nearest_name(one, KINDS)) for one in unknown)
        )


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one kind whose messages are the same but for numbers and ids: how many, the first line of the most frequent
    message, and one item that has it."""

    kind: str
    count: int
    message: str
    example: FailedItem

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {"kind": self.kind, "count": self.count, "message": self.message, "example": self.example.id}


def alike(failure: Failure) -> tuple[str, str]:
    """What failures that are told together have in common: the kind, and the first line without its numbers and ids."""
    return failure.kind, _VARYING.sub("#", first_line(failure))


def first_line(failure: Failure) -> str:
    """The beginning of the message."""
    return (failure.message.strip().splitlines() or [""])[0][:FIRST_LINE_CHARACTERS]


def grouped(items: Sequence[FailedItem]) -> list[FailureGroup]:
    """The failures by kind and message, the most frequent first."""
    members: dict[tuple[str, str], list[FailedItem]] = {}
    for one in items:
        members.setdefault(alike(one.failure), []).append(one)
    groups = []
    for (kind, _), of_group in sorted(members.items(), key=lambda pair: -len(pair[1])):
        message, _count = Counter(one.first_line for one in of_group).most_common(1)[0]
        groups.append(FailureGroup(kind, len(of_group), message, next(one for one in of_group if one.first_line == message)))
    return groups


def group_lines(groups: Sequence[FailureGroup]) -> list[str]:
    """A line per group: how many, the message, one item that has it; of many groups the first ones."""
    lines = [f"  {one.count} x {one.kind}: {one.message} ({one.example.name}, {one.example.id})" for one in groups[:GROUPS_SHOWN]]
    return [*lines, *([f"  and {len(groups) - GROUPS_SHOWN} more messages"] if len(groups) > GROUPS_SHOWN else [])]


def _failed(folder: FolderFiles, item: PlannedItem, state: FileState) -> FailedItem | None:
    at = state.changed / 1e9
    try:
        failure = _read(folder.path("failures", item.id), state)
    except FileNotFoundError:
        return None  # it has just succeeded, or was cleared
    return FailedItem(**vars(item), failure=failure, at=at)


@lru_cache(maxsize=20_000)
def _read(path: StoredFile, state: FileState) -> Failure:
    """``state``: another content has another one."""
    try:
        return Failure(**cast("dict[str, Any]", parse_json(path.read_bytes())))
    except (UnreadableFileError, ValueError, TypeError) as error:
        item_id = path.name.removesuffix(ENDINGS["failures"])
        return Failure(item_id, UNREADABLE, f"the file of its failure is damaged: {error}", "")
