"""The rows of analyses: made of what workers measured, kept under ``analyses/<name>/`` so that nothing is computed twice."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from orchestrator.analysis import ANALYSES
from orchestrator.analysis.analysis import AnalysisRow, Class, Material, too_few
from orchestrator.analysis.moments import LEAST_PROMPTS
from orchestrator.cells import content_id
from orchestrator.json_text import parse_json
from orchestrator.measuring import Arrays, arrays_of
from orchestrator.planned import PlannedAnalysis
from orchestrator.results.columns import row_of
from orchestrator.results.folder import Folder
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.schema import Layout, layout_of
from orchestrator.results.scored_cells import ScoredCells
from orchestrator.storage import UnreadableFileError

LAYOUTS: dict[str, Layout[Any]] = {name: layout_of(one.row) for name, one in ANALYSES.items()}
"""The columns of ``<name>.parquet``, where the sweep asks for that analysis."""

_CLASSES: dict[str, Class] = {"success": "positive", "other": "negative"}
_LOG = logging.getLogger(__name__)


def analysis_rows(folder: Folder, planned: PlannedCells) -> dict[str, list[AnalysisRow]]:
    """The rows of every analysis of the plan for which all is there, by its name."""
    found: dict[str, list[AnalysisRow]] = {}
    for one in planned.analyses:
        found.setdefault(one.name, []).extend(_rows(folder, planned, one))
    return found


def measured_folders(planned: PlannedCells) -> set[str]:
    """Where lies what the plan's analyses are made of."""
    return {f"analyses/{need.partition('-')[0]}" for one in planned.analyses for need in one.needs.values()}


def _rows(folder: Folder, planned: PlannedCells, one: PlannedAnalysis) -> Iterator[AnalysisRow]:
    classes = _classes(folder, planned, one)
    if classes is None:
        return
    analysis = ANALYSES[one.name]
    options = analysis.options.model_validate(one.options)
    told = {"version": analysis.version, "options": options.model_dump(mode="json"), "needs": dict(one.needs)}
    own_id = content_id(one.name, {**told, "classes": list(classes), "categories": list(one.categories)})
    file = folder.analysis(one.name, own_id)
    try:
        rows = parse_json(file.read_bytes())["rows"]  # type: ignore[index]
    except (FileNotFoundError, UnreadableFileError, ValueError, KeyError, TypeError):
        arrays = _arrays(folder, one)
        if arrays is None:
            return
        material = Material(arrays, classes, one.categories or (None,) * len(classes), one.kept)
        if one.cell_id and (why := too_few(material, LEAST_PROMPTS)):
            _LOG.warning("%s of %s, behavior %s: %s", one.name, one.model, one.behavior, why)
            return
        rows = [{**({"method": one.method} if one.method else {}), **row} for row in analysis.rows(material, options)]
        folder.keep(file, json.dumps({"rows": rows}, allow_nan=False).encode())
    for row in rows:
        yield row_of(analysis.row, {"analysis_id": own_id, "model": one.model, "behavior": one.behavior, **row})


def _arrays(folder: Folder, one: PlannedAnalysis) -> Arrays | None:
    """What was measured for it; None where it is not yet, or is lost."""
    file = folder.analysis(*_place(*one.needs.values()))
    try:
        with folder.quarantining():
            try:
                return arrays_of(file.read_bytes())
            except ValueError as error:
                raise UnreadableFileError(file, str(error)) from error
    except (FileNotFoundError, UnreadableFileError):
        return None


def _place(item_id: str) -> tuple[str, str]:
    return item_id.partition("-")[0], item_id


def _classes(folder: Folder, planned: PlannedCells, one: PlannedAnalysis) -> tuple[Class | None, ...] | None:
    """Of each prompt: by its label, or by what every answer of the unsteered cell counts as; None where that is not known yet."""
    if not one.cell_id:
        return tuple("positive" if place < one.positive else "negative" for place in range(len(one.prompts)))
    axes = next((axes for axes in planned.cells if (axes.cell_id, axes.behavior) == (one.cell_id, one.behavior)), None)
    labels = None if axes is None else ScoredCells(folder, planned, one.cell_id).of(axes).labels
    if labels is None:
        return None
    outcomes: dict[str, set[str]] = {}
    for prompt, outcome in zip(labels.column("prompt_id").to_pylist(), labels.column("outcome").to_pylist(), strict=True):
        outcomes.setdefault(prompt, set()).add(outcome)
    alike = {prompt: next(iter(found)) for prompt, found in outcomes.items() if len(found) == 1}
    return tuple(_CLASSES.get(alike.get(prompt, "")) for prompt in one.prompts)
