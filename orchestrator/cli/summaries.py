"""What the command line says about a plan, a results folder and a finished run: lines for people, objects for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from actors.types import Failure
from orchestrator.cli.plan_table import deferred_lines, incomparable_lines, plan_json, warning_lines
from orchestrator.counting import counted
from orchestrator.duration import duration
from orchestrator.failed import alike, first_line
from orchestrator.planned import twin_texts
from orchestrator.planning.choices import Choice
from orchestrator.planning.grids import Deferred
from orchestrator.results.kept_plan import planned_cells
from orchestrator.results.store import Store
from orchestrator.results.unscored import unscored
from orchestrator.run import Prepared, RunSummary
from orchestrator.scheduling.board import State
from orchestrator.scheduling.kinds import left_text
from orchestrator.scoring.score import GARBLED_BY_LOSS, reads_losses
from orchestrator.storage import Place

FAILURES_SHOWN = 5


def plan_object(prepared: Prepared) -> dict[str, object]:
    """The plan (``plan_table.plan_json``) with its ``results`` folder and the ``progress`` of its cells."""
    states = Counter(item.state for item in prepared.board().of(None) if item.counted)
    progress = {"done": states[State.DONE], "failed": states[State.FAILED], "to_run": states[State.PENDING]}
    return {**plan_json(prepared.plan), "results": str(prepared.store.place), "progress": progress}


def banner_lines(prepared: Prepared) -> list[str]:
    """What is about to happen."""
    return [f"sweep {prepared.plan.name}, results in {prepared.store.place}", *_remarks(prepared), state_line(prepared)]


def ending_lines(summary: RunSummary) -> list[str]:
    """How a run ended, where its files are, and what to type next; every sentence follows from ``summary``."""
    failed = f", {summary.failed} failed" if summary.failed else ""
    counts = f"{summary.done} of {counted(summary.planned, 'cell')} done{failed}"
    lines = [f"{counts}; {_ran(summary)}", *failure_lines(summary.failures), *choice_lines(summary.choices, summary.deferred)]
    lines += analysis_lines(summary)
    lines += [f"note: {text}" for text in twin_texts(summary.twins)]
    if summary.message:
        lines.append(summary.message)
    if summary.ended == "interrupted":
        kept = "finished cells are kept" if summary.done else "no cell is finished yet"
        lines.append(f"interrupted; {kept}: to continue run the same command")
    elif summary.failures:
        lines.append(f"to try again what failed: python -m orchestrator retry {summary.results}")
    return [*lines, _files(summary)]


def figure_lines(store: Store) -> list[str]:
    """That what ``figures`` wrote for a paper is of earlier results; nothing where it is not, or it wrote nothing."""
    from orchestrator.report.exported import outdated

    again = f"to make them anew: python -m orchestrator figures {store.place}"
    return [f"report/ holds figures and tables of earlier results, as `figures` wrote them; {again}"] if outdated(store) else []


def analysis_lines(summary: RunSummary) -> list[str]:
    """How far the sweep's analyses are, and where their numbers stand; nothing where it asks for none."""
    state = summary.analyses
    if not state.planned:
        return []
    failed = f", {state.failed} failed" if state.failed else ""
    rest = state.planned - state.done - state.failed
    without = f", {rest} without a result" if rest > 0 else ""
    page = ", each with a section of its own in report.html" if summary.page == "current" else ""
    tables = f"; numbers in {', '.join(state.tables)}{page}" if state.tables else ""
    return [f"analyses: {state.done} of {state.planned} done{failed}{without}{tables}"]


def _ran(summary: RunSummary) -> str:
    """What this run did. That no cell had to be run is said only where all that is planned is done."""
    if summary.ran:
        return f"{summary.ran} ran now, in {duration(summary.seconds)}"
    waiting = any(one.waiting for one in summary.deferred)
    if summary.ended == "finished" and summary.done == summary.planned and not summary.failures and not waiting:
        return f"nothing had to be generated, {summary.scored} scored now" if summary.scored else "no cell had to be run"
    return f"no cell was finished now, in {duration(summary.seconds)}"


def _files(summary: RunSummary) -> str:
    """The files that there are to read."""
    tables = "cells.parquet (a row per cell), responses.parquet (every answer)"
    if not summary.done:
        report = "report.html says why" if summary.page == "current" and summary.failures else ""
        return "; ".join([f"results in {summary.results}: no finished cells", *([report] if report else [])])
    if summary.page == "current":
        return f"results in {summary.results}: report.html to read, {tables}"
    report = {"behind": "; report.html is older than they are", "none": "; no report.html yet"}[summary.page]
    made = f"`python -m orchestrator score {summary.results}` makes the page of what is there"
    return f"results in {summary.results}: {tables}{report}, the run writes it at its end; {made}"


def score_lines(results: Place, found: dict[str, object]) -> list[str]:
    """What ``score`` did."""
    labels = found["labels"]
    damaged = one if isinstance(one := found.get("damaged"), list) else []
    told = f"{len(damaged)} were damaged and moved to quarantine ({', '.join(damaged[:3])}): `run` makes them anew"
    failures = one if isinstance(one := found.get("failures"), list) else []
    wrong = [f"failed: {message}" for message in failures[:FAILURES_SHOWN]]
    wrong += [*([told] if damaged else []), *([f"not whole: {found['lacking']}"] if found.get("lacking") else [])]
    to_ask = one if isinstance(one := found.get("to_ask"), list) else []
    wrong += [f"{one}: not asked of every answer yet; `score` asks no model of the sweep, `run` does" for one in to_ask]
    if not isinstance(labels, dict) or not found["responses"]:
        return [f"no {'labels' if found['cells'] else 'finished cells to label'} in {results}", *wrong]
    counts = ", ".join(f"{count} {name}" for name, count in labels.items())
    told_cells = counted(int(str(found["cells"])), "cell")
    of = "" if found["cells"] == found.get("planned") else f" (of {found['planned']} planned)"
    by_loss = any(reads_losses(one.rpartition("+")[2]) for one in str(found["classifier"]).split(", "))
    return [
        f"{found['responses']} responses of {told_cells}{of} labelled by {found['classifier']}: {counts}",
        *([GARBLED_BY_LOSS] if by_loss else []),
        *wrong,
        f"results in {results}: report.html, cells.parquet, responses.parquet",
    ]


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """Failures by kind and message (but for numbers and ids), the most frequent first; the rest only counted."""
    groups: dict[tuple[str, str], list[Failure]] = {}
    for one in failures:
        groups.setdefault(alike(one), []).append(one)
    most = sorted(groups.values(), key=len, reverse=True)[:FAILURES_SHOWN]
    lines = [f"  {len(same)} x {same[0].kind}: {first_line(same[0])}" for same in most]
    more = len(groups) - FAILURES_SHOWN
    return [*(["failures:"] if lines else []), *lines, *([f"  and {more} more kinds"] if more > 0 else [])]


def choice_lines(choices: Sequence[Choice], deferred: Sequence[Deferred]) -> list[str]:
    """What was chosen from the results, setting by setting, and what could not be planned and why."""
    lines = [f"chosen: {choice}" for choice in choices if choice.chosen is not None]
    return [*lines, *deferred_lines(deferred)]


def _remarks(prepared: Prepared) -> list[str]:
    plan = prepared.plan
    pairs = incomparable_lines(plan.incomparable)
    return [*(f"note: {warning}" for warning in warning_lines(plan.warnings)), *pairs, *deferred_lines(plan.deferred)]


def state_line(prepared: Prepared) -> str:
    """How much of the plan is left to run."""
    items = prepared.board().of(None)
    states = Counter(item.state for item in items if item.counted)
    parts = [f"{states[State.PENDING]} of {counted(states.total(), 'cell')} to run", f"{states[State.DONE]} done before"]
    if states[State.FAILED]:
        parts.append(f"{states[State.FAILED]} failed before (`retry` runs them again)")
    if left := left_text(item.spec.kind for item in items if not item.finished):
        parts.append(left)
    done = prepared.store.done_cells()
    if done and (lack := unscored(prepared.store.folder, planned_cells(prepared.plan), done)):
        names = ", ".join(dict.fromkeys(scorer.partition("@")[0] for scorer, _ in lack))
        parts.append(f"{counted(len({cell_id for _, cell_id in lack}), 'done cell')} to score by {names}")
    return ", ".join(parts)
