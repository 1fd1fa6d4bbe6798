"""What the command line says about a plan, a results folder and a finished run: lines for people, objects for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from actors.types import Failure
from orchestrator.board import State
from orchestrator.cells import Cell
from orchestrator.plan_table import plan_json
from orchestrator.progress import duration
from orchestrator.run import Prepared, RunSummary
from orchestrator.store import Store

FAILURES_SHOWN = 5


def plan_object(prepared: Prepared) -> dict[str, object]:
    """The plan (``plan_table.plan_json``) with its ``results`` folder and the ``progress`` of its cells."""
    states = _states(prepared)
    progress = {"done": states[State.DONE], "failed": states[State.FAILED], "to_run": states[State.PENDING]}
    return {**plan_json(prepared.plan), "results": str(prepared.store.root), "progress": progress}


def banner_lines(prepared: Prepared) -> list[str]:
    """What is about to happen."""
    return [f"sweep {prepared.plan.name}, results in {prepared.store.root}", *_remarks(prepared), state_line(prepared)]


def ending_lines(summary: RunSummary) -> list[str]:
    """How a run ended, where its files are, and what to type next."""
    counts = f"{summary.done} of {summary.planned} cells done" + (f", {summary.failed} failed" if summary.failed else "")
    ran = f"{summary.ran} ran now, in {duration(summary.seconds)}" if summary.ran else "nothing had to be run"
    lines = [f"{counts}; {ran}", *failure_lines(summary.failures)]
    if summary.message:
        lines.append(summary.message)
    if summary.ended == "interrupted":
        lines.append("interrupted; finished cells are kept: to continue run the same command")
    elif summary.failures:
        lines.append(f"to run the failed cells again: python -m orchestrator retry {summary.results}")
    lines.append(
        f"results in {summary.results}: report.md to read, cells.parquet (a row per cell), responses.parquet (every answer)"
    )
    return lines


def status_lines(store: Store) -> list[str]:
    """Per model how much is done, then the failures."""
    found = _status(store)
    rows = [("model", "cells", "done", "failed", "open"), *([str(value) for value in row.values()] for row in found)]
    name = store.planned().name
    return [f"sweep {name}, results in {store.root}", *aligned(rows), *failure_lines(_planned_failures(store))]


def status_json(store: Store) -> dict[str, object]:
    """The same for programs, with every failure."""
    rows = _status(store)
    planned, done, failed = (sum(int(row[key]) for row in rows) for key in ("cells", "done", "failed"))
    failures = [{key: value for key, value in asdict(one).items() if key != "traceback"} for one in _planned_failures(store)]
    cells = {"planned": planned, "done": done, "failed": failed, "open": planned - done - failed}
    return {"sweep": store.planned().name, "results": str(store.root), "cells": cells, "models": rows, "failures": failures}


def score_lines(results: Path, found: dict[str, object]) -> list[str]:
    """What ``score`` did."""
    labels = found["labels"]
    counts = ", ".join(f"{count} {name}" for name, count in labels.items()) if isinstance(labels, dict) else ""
    return [
        f"{found['responses']} responses of {found['cells']} cells labelled by {found['classifier']}: {counts}",
        f"results in {results}: report.md, cells.parquet, responses.parquet",
    ]


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """Failures by kind and message, the most frequent first; the rest only counted."""
    groups = Counter((one.kind, (one.message.strip().splitlines() or [""])[0][:160]) for one in failures)
    lines = [f"  {count} x {kind}: {message}" for (kind, message), count in groups.most_common(FAILURES_SHOWN)]
    more = len(groups) - FAILURES_SHOWN
    return [*(["failures:"] if lines else []), *lines, *([f"  and {more} more kinds"] if more > 0 else [])]


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as lines of columns: the first to the left, the others to the right."""
    table = [list(row) for row in rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]


def _remarks(prepared: Prepared) -> list[str]:
    plan = prepared.plan
    pairs = [f"not comparable, not run: {pair.source} -> {pair.target}: {pair.reason}" for pair in plan.incomparable]
    return [*(f"note: {warning}" for warning in plan.warnings), *pairs]


def state_line(prepared: Prepared) -> str:
    """How much of the plan is left to run."""
    states = _states(prepared)
    parts = [f"{states[State.PENDING]} of {states.total()} cells to run", f"{states[State.DONE]} done before"]
    if states[State.FAILED]:
        parts.append(f"{states[State.FAILED]} failed before (`retry` runs them again)")
    return ", ".join(parts)


def _states(prepared: Prepared) -> Counter[State]:
    return Counter(item.state for item in prepared.board().of(None) if isinstance(item.spec, Cell))


def _status(store: Store) -> list[dict[str, str | int]]:
    planned, done = store.planned(), store.done_cells()
    failed = {one.item_id for one in _planned_failures(store)}
    rows: list[dict[str, str | int]] = []
    for model in planned.models:
        ids = {cell.cell_id for cell in planned.cells if cell.variant == model.variant}
        n_done, n_failed = len(ids & done), len((ids & failed) - done)
        rows.append(
            {"model": model.name, "cells": len(ids), "done": n_done, "failed": n_failed, "open": len(ids) - n_done - n_failed}
        )
    return rows


def _planned_failures(store: Store) -> list[Failure]:
    planned = store.planned()
    ids = {cell.cell_id for cell in planned.cells} | {direction.id for direction in planned.directions}
    return [one for one in store.failures() if one.item_id in ids]
