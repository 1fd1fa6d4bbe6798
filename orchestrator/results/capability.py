"""What tasks of lm-evaluation-harness gave under steerings: the items' files, and the rows of ``capability.parquet``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

from orchestrator.capability import CapabilityItem
from orchestrator.json_text import parse_json
from orchestrator.results.columns import row_of
from orchestrator.results.folder import Folder
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.schema import layout_of

CAPABILITIES = f"analyses/{CapabilityItem.kind}"
"""Where the items' files lie."""


@dataclass(frozen=True, kw_only=True)
class CapabilityRow:
    """One row of ``capability.parquet``: a metric of a task under the steering of a cell."""

    cell_id: Annotated[str, "a cell with this model and steering; an unsteered one where there is none"]
    task: Annotated[str, "as lm-evaluation-harness calls it; of a group also each of its tasks"]
    version: Annotated[str, "the task's, as the harness says it"]
    harness: Annotated[str, "its release, and of a task of the user's own the digest of its file and data"]
    metric: Annotated[str, "its name and filter, as the harness calls them"]
    value: Annotated[float, "what it is; how it is meant says the task"]
    n: Annotated[int, "documents"]
    limit: Annotated[int | None, "at most so many of each task; null: all"]
    shots: Annotated[int | None, "examples before each; null: as the task says"]


CAPABILITY = layout_of(CapabilityRow)
"""``capability.parquet``, where the sweep asks for any: a row per item that is done, task and metric."""


def encode_capability(item: CapabilityItem, result: bytes) -> bytes:
    """The content of an item's file; ValueError unless ``result`` is what a worker gives."""
    found = parse_json(result)
    whole = {"version", "n", "metrics"}
    if not isinstance(found, dict) or not all(isinstance(one, dict) and whole <= one.keys() for one in found.values()):
        raise ValueError("the harness's results are no JSON object of tasks")
    told = {"cell_id": item.cell.id, "harness": item.task.digest, "limit": item.limit, "shots": item.shots}
    return json.dumps({**told, "tasks": found}, allow_nan=False).encode()


def capability_rows(folder: Folder, planned: PlannedCells) -> list[CapabilityRow]:
    """Of the items of the plan that are done, in its order."""
    wanted = [one.id for one in planned.others if one.kind == CapabilityItem.kind]
    there = folder.done(CAPABILITIES) if wanted else set()
    rows = []
    for item_id in wanted:
        if item_id in there:
            stored = parse_json(folder.analysis(CapabilityItem.kind, item_id).read_bytes())
            assert isinstance(stored, dict)
            for task, said in stored.pop("tasks").items():
                for metric, value in said["metrics"].items():
                    told = {"task": task, "version": said["version"], "n": said["n"], "metric": metric, "value": value}
                    rows.append(row_of(CapabilityRow, {**stored, **told}))
    return rows
