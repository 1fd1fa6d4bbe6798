"""Responses and scores as logs of inspect_ai, one for each cell: its viewer and its tools then read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError
from orchestrator.exports.vectors import file_name
from orchestrator.filters import value_text
from orchestrator.loaded import Results
from orchestrator.results.conditions import NAMED
from orchestrator.results.rows import CellRow

INSTALL = ".venv/bin/pip install 'activation-steering-sweeps[inspect]'"


def write_inspect_logs(results: Results, chosen: Sequence[CellRow] | None, folder: Path) -> list[Path]:
    """The logs, ``<model>-<behavior>-<cell>.eval``; InputError where inspect_ai is not installed."""
    try:
        from inspect_ai import log
    except ImportError as error:
        raise InputError.because("inspect_ai is not installed", allowed=INSTALL) from error
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for row in results.rows if chosen is None else chosen:
        name = f"{row.model}-{row.behavior}-{row.cell_id.removeprefix('cell-')[:8]}.eval"
        path = folder / file_name(name)
        log.write_eval_log(_log(row, results), str(path))
        written.append(path)
    return written


def _log(row: CellRow, results: Results) -> Any:
    from inspect_ai import log

    found = results.responses.filter(cell_id=row.cell_id, behavior=row.behavior)
    given: dict[tuple[str, int], dict[str, Any]] = {}
    for one in results.scores.filter(cell_id=row.cell_id).iter_rows(named=True):
        given.setdefault((one["prompt_id"], one["sample"]), {})[one["scorer"]] = one
    samples = [_sample(row, one, given.get((one["prompt_id"], one["sample"]), {})) for one in found.iter_rows(named=True)]
    axes = {column: value_text(getattr(row, column)) for column in NAMED}
    return log.EvalLog(
        status="success",
        eval=log.EvalSpec(
            created=row.finished_at.isoformat(),
            task=row.behavior,
            model=f"steered/{row.location}",
            dataset=log.EvalDataset(name=row.behavior, samples=found["prompt_id"].n_unique()),
            config=log.EvalConfig(epochs=row.samples),
            metadata={"cell_id": row.cell_id, **axes},
        ),
        samples=samples,
    )


def _sample(row: CellRow, response: dict[str, Any], scores: dict[str, dict[str, Any]]) -> Any:
    from inspect_ai import log, model, scorer

    told = {
        name: scorer.Score(
            value=one["value"] if one["label"] is None else one["label"], answer=response["response"], explanation=one["evidence"]
        )
        for name, one in scores.items()
        if one["label"] is not None or one["value"] is not None
    }
    if response["label"] is not None:
        told["label"] = scorer.Score(value=response["label"], answer=response["response"], explanation=response["evidence"])
    answer = model.ModelOutput.from_content(f"steered/{row.location}", response["response"])
    return log.EvalSample(
        id=response["prompt_id"],
        epoch=response["sample"] + 1,
        input=response["prompt"],
        target=row.target or "",
        messages=[model.ChatMessageUser(content=response["prompt"]), answer.message],
        output=answer,
        scores=told,
        metadata={"outcome": response["outcome"], "finish_reason": response["finish_reason"]},
    )
