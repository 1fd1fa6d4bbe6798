"""How much of the plan is finished: models by what was done to them."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.method_text import method_text
from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart, number_of
from orchestrator.report.figures.heat import HeatLook
from orchestrator.report.figures.tidy import texts
from orchestrator.report.findings import SweepFindings
from orchestrator.results.cell_axes import CellAxes
from orchestrator.untrusted import visible


def charts(found: SweepFindings) -> Iterator[Chart]:
    """One panel, where the plan has several models, methods or behaviors, or something is not finished."""
    finished = {row.key for row in found.rows}
    failed = {failure.item_id for failure in found.store.failures()}
    counts: dict[tuple[str, str], list[int]] = {}
    planned = found.store.planned().cells
    for axes in planned:
        count = counts.setdefault((_model(axes), _done_to(axes)), [0, 0, 0])
        for number, yes in enumerate((True, axes.key in finished, axes.cell_id in failed)):
            count[number] += yes
    rows = [_row(model, done_to, count) for (model, done_to), count in counts.items()]
    if len({row["model"] for row in rows}) > 1 or len(rows) > 2 or any(row["finished"] != row["planned"] for row in rows):
        yield Chart("Cells finished of those planned", rows, _LOOK)


def _model(axes: CellAxes) -> str:
    return visible(axes.model if axes.quantization == "none" else f"{axes.model} {axes.quantization}")


def _done_to(axes: CellAxes) -> str:
    words = (
        [axes.behavior, "unsteered"] if axes.method is None else [axes.behavior, method_text(axes.method, axes.method_options)]
    )
    return visible(" · ".join([*words, *([f"from {axes.source_model}"] if axes.is_transfer else [])]))


def _row(model: str, done_to: str, count: list[int]) -> Row:
    planned, finished, failed = count
    of = {"planned": planned, "finished": finished, "failed": failed, "waiting": planned - finished - failed}
    return {"model": model, "cells": done_to, "value": finished / planned, **of}


def _told(row: Row) -> str:
    return f"{row['finished']} of {row['planned']} finished, {row['failed']} failed, {row['waiting']} not run"


def _text(row: Row) -> str:
    return f"{row['finished']}/{row['planned']}" if number_of(row, "value") != 1 else texts(row, "planned")


_LOOK = HeatLook("model", "cells", "", "", _text, _told, "Greens", (0.0, 1.4), cell=(0.7, 0.32))
