"""All that is known of one item: its events, what is stored of it, and its failure with the traceback. Only reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from orchestrator.control.heartbeat import Beat, is_live, read_beat
from orchestrator.failed import FailedItem, failed_items
from orchestrator.logs.entries import EntryReader, LogEntry
from orchestrator.logs.showing import entry_json, entry_line
from orchestrator.planned_items import PlannedItem, item_named, planned_items
from orchestrator.results.folder import Folder
from orchestrator.results.parts import decode_responses
from orchestrator.results.plan_file import decode_plan
from orchestrator.results.rows import CellMeasures
from orchestrator.storage import Place, UnreadableFileError


@dataclass(frozen=True)
class History:
    """One item: ``state`` is done, failed, running or open; ``measures`` and ``failure`` are None where there are none."""

    item: PlannedItem
    state: str
    entries: tuple[LogEntry, ...]
    measures: CellMeasures | None = None
    failure: FailedItem | None = None


def entries_of(item_id: str, entries: Iterable[LogEntry]) -> Iterator[LogEntry]:
    """The events of an item, and what its workers logged, or loaded, while they had it."""
    having: set[str] = set()
    loads: dict[str, LogEntry] = {}
    for entry in entries:
        if entry.event == "loaded":
            loads[entry.worker] = entry
        if entry.concerns(item_id):
            if entry.event == "submitted":
                having.add(entry.worker)
                if entry.worker in loads:
                    yield loads[entry.worker]
            elif entry.event != "retried":
                having.discard(entry.worker)
            yield entry
        elif entry.event == "log" and entry.worker in having:
            yield entry
        elif entry.event == "started":
            having.clear()


def read_history(root: Place, word: str) -> History:
    """What is known of the item that ``word`` means in the results folder ``root``; InputError when it means none."""
    folder = Folder(root)
    planned = decode_plan(folder.plan)
    item = item_named(planned_items(planned), word)
    done = folder.finished()
    failure = next((one for one in failed_items(folder, planned, done) if one.id == item.id), None)
    beat = read_beat(folder.driver)
    entries = tuple(_distinct(entries_of(item.id, EntryReader(folder.fetched_logs()).new())))
    state = "done" if item.id in done else "failed" if failure else _open_state(item.id, entries, beat)
    return History(item, state, entries, _measures(folder, item, done), failure)


def history_json(history: History) -> dict[str, object]:
    """For programs."""
    measures, failure = history.measures, history.failure
    stored = None if measures is None else {**asdict(measures), "finished_at": measures.finished_at.isoformat()}
    return {
        "item": history.item.id,
        "name": history.item.name,
        "state": history.state,
        "stored": stored,
        "failure": None if failure is None else asdict(failure.failure),
        "events": [entry_json(entry) for entry in history.entries],
    }


def history_lines(history: History) -> list[str]:
    """For people."""
    lines = [f"{history.item.id}  {history.item.name}: {history.state}"]
    if history.measures is not None:
        found = history.measures
        where = f" on {found.worker}" if found.worker else ""
        when = found.finished_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        lines.append(f"done {when}{where}, attempt {found.attempt}, {found.seconds:.1f} s, {found.new_tokens} tokens")
    lines += [entry_line(entry) for entry in history.entries]
    if history.failure is not None:
        failure = history.failure.failure
        lines += [f"failed at attempt {failure.attempt}: {failure.kind}: {failure.message}", *failure.traceback.splitlines()]
    return lines if history.entries else [*lines, "the log has no events of it"]


def _distinct(entries: Iterable[LogEntry]) -> Iterator[LogEntry]:
    """A load that served several of the item's attempts is told once."""
    seen: list[LogEntry] = []
    for entry in entries:
        if entry.event == "loaded" and entry in seen:
            continue
        if entry.event == "loaded":
            seen.append(entry)
        yield entry


def _open_state(item_id: str, entries: tuple[LogEntry, ...], beat: Beat | None) -> str:
    own = [entry for entry in entries if entry.concerns(item_id)]
    return "running" if own and own[-1].event == "submitted" and is_live(beat) else "open"


def _measures(folder: Folder, item: PlannedItem, done: set[str]) -> CellMeasures | None:
    if item.cell is None or item.id not in done:
        return None
    try:
        return decode_responses(folder.path("responses", item.id), item.id).measures
    except (FileNotFoundError, UnreadableFileError):
        return None
