"""All that is known of one item: its events, what is stored of it, and its failure with the traceback. Only reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from orchestrator.control.heartbeat import Beat, is_live, read_beat
from orchestrator.failed import FailedItem, failed_items
from orchestrator.logs.entries import Entry, EntryReader
from orchestrator.progress import duration
from orchestrator.records.folder import Folder
from orchestrator.records.parts import decode_responses
from orchestrator.records.plan_file import PlannedCells, decode_plan
from orchestrator.records.planned_items import PlannedItem, item_named, planned_items
from orchestrator.records.rows import CellMeasures
from orchestrator.storage import Place, UnreadableFileError


@dataclass(frozen=True)
class History:
    """One item: ``state`` is done, failed, running or open; ``measures`` and ``failure`` are None where there are none."""

    item: PlannedItem
    state: str
    entries: tuple[Entry, ...]
    measures: CellMeasures | None = None
    failure: FailedItem | None = None


def entries_of(item_id: str, entries: Iterable[Entry]) -> Iterator[Entry]:
    """The events of an item, and what its workers logged, or loaded, while they had it."""
    having: set[str] = set()
    loads: dict[str, Entry] = {}
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
    done = folder.ids("directions" if item.cell is None else "responses")
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


def entry_json(entry: Entry) -> dict[str, object]:
    """An entry for programs, as the log holds it."""
    known = {"time": entry.time, "event": entry.event, "worker": entry.worker, "item": entry.item, "items": list(entry.items)}
    return {**{key: value for key, value in known.items() if value}, "text": entry.text, **entry.details}


def entry_line(entry: Entry, name: str = "") -> str:
    """An entry in a line: local time, worker, event, what it is about, and what is said of it."""
    about = name or entry.item or (f"{len(entry.items)} items" if len(entry.items) > 1 else "".join(entry.items))
    text = (entry.text.strip().splitlines() or [""])[0]
    kind = str(entry.details.get("kind", entry.details.get("level", "")))
    seconds = entry.details.get("seconds")
    took = f"in {duration(float(seconds))}" if isinstance(seconds, int | float) else ""
    host = f"on {entry.details['host']}" if entry.event == "loaded" and "host" in entry.details else ""
    said = ", ".join(filter(None, (": ".join(filter(None, (kind, text))), took, host)))
    return "  ".join(filter(None, (_clock(entry.time), entry.worker or "driver", entry.event, about, said)))


def names_of(planned: PlannedCells) -> dict[str, str]:
    """Every item and model variant by its id, in a few words."""
    items = {one.id: f"{one.id} ({one.name})" for one in planned_items(planned)}
    return items | {model.variant: model.name for model in planned.models}


def _clock(time: str) -> str:
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%m-%d %H:%M:%S")
    except ValueError:
        return time


def _distinct(entries: Iterable[Entry]) -> Iterator[Entry]:
    """A load that served several of the item's attempts is told once."""
    seen: list[Entry] = []
    for entry in entries:
        if entry.event == "loaded" and entry in seen:
            continue
        if entry.event == "loaded":
            seen.append(entry)
        yield entry


def _open_state(item_id: str, entries: tuple[Entry, ...], beat: Beat | None) -> str:
    own = [entry for entry in entries if entry.concerns(item_id)]
    return "running" if own and own[-1].event == "submitted" and is_live(beat) else "open"


def _measures(folder: Folder, item: PlannedItem, done: set[str]) -> CellMeasures | None:
    if item.cell is None or item.id not in done:
        return None
    try:
        return decode_responses(folder.path("responses", item.id), item.id).measures
    except (FileNotFoundError, UnreadableFileError):
        return None
