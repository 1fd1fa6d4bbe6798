"""What ``retry`` clears and ``errors`` lists, and how the sweep file is found from a results folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.counting import counted
from orchestrator.errors import InputError
from orchestrator.failed import FailedItem, check_asked, chosen_failures, failed_items, group_lines, grouped
from orchestrator.plan_with_results import plan_with_results
from orchestrator.results.answer_losses import MeasuredLosses
from orchestrator.results.folder import Folder
from orchestrator.results.plan_file import decode_plan
from orchestrator.results.store import Store
from orchestrator.scoring.judges.judge import JudgeScorer
from orchestrator.storage import Place, UnreadableFileError
from orchestrator.sweep import load_sweep

ORIGIN = "# A copy; the sweep file itself is "
"""First line of the copy in the results folder. The paths in a sweep file are relative to itself, so the copy cannot run."""


def sweep_of(results: Place) -> Path:
    """The sweep file that ``results`` are of; InputError where it is gone, or there are none."""
    copy = Folder(results).sweep
    try:
        first_line = copy.read_bytes().decode().splitlines()[0]
    except (FileNotFoundError, UnreadableFileError, UnicodeDecodeError, IndexError):
        raise InputError.because(f"{results} holds no sweep.yaml: it is not the results folder of a sweep") from None
    origin = Path(first_line.removeprefix(ORIGIN))
    if not first_line.startswith(ORIGIN) or not origin.is_file():
        raise InputError.because(f"the sweep file of {results} is no longer at {origin}; name the sweep file itself")
    return origin


def origin_of(folder: Folder) -> Path:
    """The folder of the sweep file that ``folder`` holds the results of, whether it is still there or not."""
    try:
        first_line = folder.sweep.read_bytes().decode().partition("\n")[0]
    except (FileNotFoundError, UnreadableFileError, UnicodeDecodeError):
        first_line = ""
    return Path(first_line.removeprefix(ORIGIN)).parent if first_line.startswith(ORIGIN) else Path()


@dataclass(frozen=True)
class Listed:
    """Failures that were asked for, beside the number of all that there are."""

    results: Place
    items: tuple[FailedItem, ...]
    total: int


def failures_of(results: Place, filters: Sequence[str] = (), kind: str | None = None) -> Listed:
    """The failures recorded in ``results`` that meet the filters. Writes nothing. InputError for filters that none could meet."""
    folder, asked = Folder(results), _all_filters(filters, kind)
    planned = decode_plan(folder.plan)
    everything = failed_items(folder, planned, folder.finished())
    if not everything:
        check_asked(planned, asked)
    measured_by = MeasuredLosses(folder, planned).items_of
    return Listed(results, tuple(chosen_failures(everything, asked, measured_by)), len(everything))


def clear_failures(sweep: Path, results: Place, filters: Sequence[str] = (), kind: str | None = None) -> Listed:
    """Forget the recorded failures that meet the filters; what they were. InputError for filters that none could meet.

    With a direction's failure those of the cells that needed it go too: they would not be recorded again; with scores by the
    loss of answers the failure to measure it; with scores by a judge those of its replies that are no verdicts.
    """
    loaded = load_sweep(sweep)
    store = Store(results)
    if not store.there():
        return Listed(store.place, (), 0)
    with store.lock():
        store.write_plan(plan_with_results(loaded, store))
        found = failures_of(store.place, filters, kind)
        everything = not _all_filters(filters, kind)
        for judge in {one.id.partition(".")[2] for one in found.items}:
            if isinstance(scorer := loaded.scoring.made.get(judge), JudgeScorer):
                kept = store.judgements(judge)
                kept.forget(scorer.unreadable(kept.known()))
        store.clear_failures(None if everything else {one.id for one in found.items})
    return found


def list_lines(listed: Listed, done: str = "") -> list[str]:
    """The failures by kind; ``done``: what was done with them (``cleared``)."""
    count = f"{counted(len(listed.items), 'failure')}{f' {done}' if done else ''}"
    of_all = f" of {listed.total}" if len(listed.items) < listed.total else ""
    return [count + of_all + (":" if listed.items else ""), *group_lines(grouped(listed.items))]


def list_json(listed: Listed) -> dict[str, object]:
    """For programs: every failure without its traceback, and the groups."""
    return {
        "results": str(listed.results),
        "total": listed.total,
        "groups": [one.as_json() for one in grouped(listed.items)],
        "failures": [one.as_json() for one in listed.items],
    }


def _all_filters(filters: Sequence[str], kind: str | None) -> list[str]:
    return [*filters, *([] if kind is None else [f"kind={kind}"])]
