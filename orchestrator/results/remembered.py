"""What the compacted tables were made from, as ``.compacted`` remembers it: whether they still hold, without opening any part."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from orchestrator.json_text import parse_json
from orchestrator.results import versions
from orchestrator.results.folder_files import LABELS_OF_OLD, FolderFiles, scores_of
from orchestrator.results.plan_file import PlannedCells
from orchestrator.storage import FileState, StoredFile, UnreadableFileError

PART_KINDS = ("responses", LABELS_OF_OLD)


@dataclass(frozen=True)
class CompactSummary:
    """What the compacted tables hold; a cell that several behaviors ask for counts once. ``quarantined``: cells whose responses
    or scores, and direction sets that, were damaged and moved away; ``changed``: a table was rewritten."""

    planned: int
    cells: int
    unlabelled: int
    responses: int
    quarantined: tuple[str, ...] = ()
    changed: bool = False


def is_current(folder: FolderFiles, planned: PlannedCells) -> bool:
    """Whether nothing has changed since the tables were made, so far as can be told without opening any of them."""
    try:
        return remembered(folder, digest_of_inputs(folder, inputs_of(folder, planned))) is not None
    except (FileNotFoundError, UnreadableFileError):
        return False


Inputs = Mapping[str, Mapping[str, FileState]]
"""Kind -> item -> state of its file."""


def inputs_of(folder: FolderFiles, planned: PlannedCells) -> Inputs:
    """All parts that the tables follow from, without opening any."""
    wanted = set(planned.axis("cell_id"))
    found = {kind: folder.states(kind) for kind in ("directions", "ratings")}
    for kind in sorted({f"analyses/{one.kind}" for one in planned.others}):
        found[kind] = folder.states(kind)
    scorers = {scorer for behavior in set(planned.axis("behavior")) for scorer in planned.scorers_of(behavior)}
    for kind in (*PART_KINDS, *map(scores_of, sorted(scorers))):
        states = folder.states(kind)
        found[kind] = states if states.keys() <= wanted else {one: states[one] for one in states.keys() & wanted}
    return found


def digest_of_inputs(folder: FolderFiles, inputs: Inputs) -> str:
    """What tells these inputs, with the plan, from any others."""
    state = hashlib.sha256(f"{versions.SCHEMA_VERSION} {versions.TABLES_VERSION}\n".encode())
    state.update(folder.plan.read_bytes())
    for kind in sorted(inputs):
        lines = [
            f"{kind} {name} [{size}, {changed}, {inode}, {touched}]\n"
            for name, (size, changed, inode, touched) in sorted(inputs[kind].items())
        ]
        state.update("".join(lines).encode())
    return state.hexdigest()


def remembered(folder: FolderFiles, state: str) -> CompactSummary | None:
    """What the tables hold that were made of inputs with this digest and are as they were left; None where there are none."""
    with suppress(FileNotFoundError, UnreadableFileError, ValueError, KeyError, TypeError):
        found = cast("dict[str, Any]", parse_json(folder.compacted.read_bytes()))
        if found["state"] == state and found["tables"] == table_states(folder):
            return CompactSummary(**{**found["summary"], "quarantined": ()})
    return None


def is_later(compacted: StoredFile, inputs: Inputs) -> bool:
    """Whether what was remembered then must hold: where times are coarse, a part may have been replaced within the same tick."""
    step = compacted.files.clock_step
    state = compacted.state() if step else None
    return not step or (
        state is not None and all(one.changed + step < state.changed for states in inputs.values() for one in states.values())
    )


def table_states(folder: FolderFiles) -> list[list[int] | None]:
    """The states of the compacted tables."""
    found = folder.files.states("")
    always = (folder.responses, folder.scores, folder.cells, folder.rates, folder.direction_table, folder.transfers)
    fixed = (*always, folder.capability)
    others = folder.analyses.values() if {one for one in found if one.endswith(".parquet")} - {one.name for one in fixed} else ()
    tables = (*always, *(file for file in others if file.name in found))
    return [list(found[one.name]) if one.name in found else None for one in tables]
