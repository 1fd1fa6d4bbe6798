"""How a sweep stands, from its results folder alone: what is done, what failed, what its driver says of itself. Only reads."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from actors.use import Use
from orchestrator.control.heartbeat import Beat, Condition, Rate, WorkerNow, age, condition, read_beat, told
from orchestrator.counting import counted
from orchestrator.duration import duration
from orchestrator.planned import twin_texts
from orchestrator.results.folder_files import FolderFiles
from orchestrator.results.plan_file import PlannedCells, decode_plan
from orchestrator.results.remembered import is_current
from orchestrator.results.unscored import unscored
from orchestrator.storage import FileState, Place, StoredFile

if TYPE_CHECKING:
    from orchestrator.failed import FailedItem
    from orchestrator.results.damage import Damage

RECENT = 5
WORKERS_SHOWN = 20


@dataclass(frozen=True)
class ModelStatus:
    """The cells of one model variant. The rates are the driver's; None when none runs or nothing was measured."""

    model: str
    cells: int
    done: int
    failed: int
    tokens_per_second: float | None = None
    seconds_left: float | None = None

    @property
    def open(self) -> int:
        """Cells that are neither done nor failed."""
        return self.cells - self.done - self.failed


@dataclass(frozen=True)
class Status:
    """Everything that ``status`` tells. ``beat`` is None when no driver has run; ``at``: when it was read (epoch seconds).

    ``unscored``: done cells that lack scores; ``others``: of every other item that is open its kind.
    ``damages`` are looked for where no driver runs: one that does finds and mends them itself.
    """

    root: Place
    planned: PlannedCells
    models: tuple[ModelStatus, ...]
    failures: tuple[FailedItem, ...]
    beat: Beat | None
    at: float
    damages: tuple[Damage, ...] = ()
    unscored: int = 0
    others: tuple[str, ...] = ()

    @property
    def condition(self) -> Condition:
        """How the driver is."""
        return condition(self.beat, self.at)

    @property
    def live(self) -> Beat | None:
        """The beat of a driver that runs."""
        return self.beat if self.condition in ("running", "silent") else None

    @property
    def recent(self) -> list[FailedItem]:
        """The failures that were recorded last, newest first."""
        return sorted(self.failures, key=lambda one: -one.at)[:RECENT]

    def named(self, item_id: str) -> str:
        """A cell in a few words, a model by its name; anything else by its id."""
        from orchestrator.planned_items import axes_name

        place = next((place for place, cell_id in enumerate(self.planned.axis("cell_id")) if cell_id == item_id), None)
        return self.planned.named(item_id) if place is None else axes_name(self.planned.cells[place])


def read_status(root: Place) -> Status:
    """The status of the results folder ``root``; InputError when it is none."""
    folder = FolderFiles(root)
    planned, beat, at = _planned(folder.plan), read_beat(folder.driver), time.time()
    done = folder.finished()
    failures, open_others = _failures(folder, planned, done), {one.id: one.kind for one in planned.others if one.id not in done}
    failed = {one.id for one in failures}
    found = () if condition(beat, at) in ("running", "silent") else _damages(folder, planned, failed, beat)
    done -= {one.item for one in found if one.file.startswith("responses/")}
    rates = {} if condition(beat, at) != "running" or beat is None else {one.variant: one for one in beat.rates}
    models = _models(planned, done, failed, rates)
    if beat is not None and beat.state == "finished" and (found or any(one.open for one in models)):
        beat = replace(beat, state="damaged", message="it had finished, and not all of it is there now: the same `run` mends it")
    lack = {cell_id for _, cell_id in unscored(folder, planned, done)}
    others = tuple(kind for item_id, kind in open_others.items() if item_id not in failed)
    return Status(root, planned, models, failures, beat, at, found, len(lack), others)


def status_json(status: Status) -> dict[str, object]:
    """For programs: stable keys. ``driver`` is null when none has run."""
    beat, models = status.beat, status.models
    planned, done, failed = (sum(getattr(one, key) for one in models) for key in ("cells", "done", "failed"))
    live = status.live
    return {
        "sweep": status.planned.name,
        "results": str(status.root),
        "state": beat.state if beat is not None and status.condition in ("running", "ended") else status.condition,
        "cells": {
            "planned": planned,
            "done": done,
            "failed": failed,
            "open": planned - done - failed,
            "unscored": status.unscored,
        },
        "others": dict(Counter(status.others)),
        "models": [{**asdict(one), "open": one.open} for one in models],
        "twins": dict(status.planned.twins),
        "seconds_left": None if live is None else live.seconds_left,
        "retries": 0 if beat is None else beat.retries,
        "workers": [] if live is None else [_worker_json(status, one) for one in live.workers],
        "driver": None if beat is None else _driver_json(beat, status),
        "failures": [one.as_json() for one in status.failures],
        "recent_failures": [one.id for one in status.recent],
        "damaged": [asdict(one) for one in status.damages],
    }


def status_lines(status: Status) -> list[str]:
    """For people: the driver, a row per model, the workers, the failures by kind and the latest of them."""
    lines = [f"sweep {status.planned.name}, results in {status.root}", told(status.beat, status.at)]
    return [*lines, *_model_lines(status), *_worker_lines(status), *_damage_lines(status), *_failure_lines(status)]


def _planned(path: StoredFile) -> PlannedCells:
    found = path.state()
    return decode_plan(path) if found is None else _decoded(path, found)


@lru_cache(maxsize=1)
def _decoded(path: StoredFile, state: FileState) -> PlannedCells:
    """``state``: another content has another one; ``--watch`` need not read the same one again and again."""
    gc.disable()  # a large plan is many objects, none of them in circles: looking for those takes as long as reading it
    try:
        return decode_plan(path)
    finally:
        gc.freeze()
        gc.enable()


def _failures(folder: FolderFiles, planned: PlannedCells, done: Collection[str]) -> tuple[FailedItem, ...]:
    if folder.ids("failures") <= set(done):
        return ()
    from orchestrator.failed import failed_items  # as below: takes longer to import than most folders to look at

    return tuple(failed_items(folder, planned, done))


def _damages(folder: FolderFiles, planned: PlannedCells, failed: Collection[str], beat: Beat | None) -> tuple[Damage, ...]:
    if folder.place != folder.local or is_current(folder, planned):
        return ()
    from orchestrator.results.damage import damages
    from orchestrator.results.folder import Folder

    return damages(Folder(folder.place), planned, failed, beat is not None and beat.state == "finished")


def _models(
    planned: PlannedCells, done: Collection[str], failed: Collection[str], rates: Mapping[str, Rate]
) -> tuple[ModelStatus, ...]:
    variants = dict(zip(planned.axis("cell_id"), planned.axis("variant"), strict=True))
    counts = Counter((variant, cell_id in done, cell_id in failed) for cell_id, variant in variants.items())
    rows = []
    for model in planned.models:
        total = sum(counts[model.variant, is_done, has_failed] for is_done in (True, False) for has_failed in (True, False))
        rate = rates.get(model.variant, Rate(model.variant, None, None))
        n_done = counts[model.variant, True, False] + counts[model.variant, True, True]
        n_failed = counts[model.variant, False, True]
        rows.append(ModelStatus(model.name, total, n_done, n_failed, rate.tokens_per_second, rate.seconds_left))
    return tuple(rows)


def _model_lines(status: Status) -> list[str]:
    rows = [("model", "cells", "done", "failed", "open", "tokens/s", "left")]
    for one in [model for model in status.models if model.cells] or status.models:
        speed = "" if one.tokens_per_second is None or not one.open else f"{one.tokens_per_second:.0f}"
        left = "" if one.seconds_left is None or not one.open else duration(one.seconds_left)
        rows.append((one.model, str(one.cells), str(one.done), str(one.failed), str(one.open), speed, left))
    if status.live is None or not any(one.tokens_per_second for one in status.models):
        rows = [row[:5] for row in rows]  # type: ignore[misc]
    notes = [f"note: {text}" for text in twin_texts(status.planned.twins)]
    return [*(line.rstrip() for line in _aligned(rows)), *notes, *_left_lines(status)]


def _left_lines(status: Status) -> list[str]:
    live = status.live
    on_hold = " once it goes on" if live is not None and live.state in ("pausing", "paused") else ""
    parts = [f"{status.unscored} done cells are to be scored"] if status.unscored else []
    if status.others:
        from orchestrator.scheduling.kinds import left_text

        parts += filter(None, [left_text(status.others)])
    parts += [] if live is None or live.seconds_left is None else [f"about {duration(live.seconds_left)} left{on_hold}"]
    if status.beat is not None and status.beat.retries:
        parts.append(f"{status.beat.retries} attempts repeated in {'the last' if live is None else 'this'} run")
    if live is not None and live.heard is not None and live.state in ("running", "pausing"):
        parts.append(f"last answer of a worker {duration(max(0.0, status.at - live.heard))} ago")
    if live is not None and live.memory is not None:
        parts.append(f"the driver holds {live.memory / 2**20:.0f} MiB")
    return ["; ".join(parts)] if parts else []


def _worker_lines(status: Status) -> list[str]:
    workers = () if status.live is None else status.live.workers
    lines = [f"  {_worker_text(status, one)}" for one in workers[:WORKERS_SHOWN]]
    more = len(workers) - WORKERS_SHOWN
    return [*(["workers:"] if lines else []), *lines, *([f"  and {more} more"] if more > 0 else [])]


def _worker_text(status: Status, one: WorkerNow) -> str:
    where = f" ({one.host})" if one.host else ""
    model = f" {status.planned.named(one.model)}" if one.model else ""
    upcoming = f", next {status.named(one.item)}" if one.item else ""
    if one.does == "load":
        what = f"loading{model}"
    elif one.does == "generate":
        what = f"generating with{model}: {counted(one.items, 'cell')} left{upcoming}"
    elif one.does == "extract":
        what = f"extracting from{model}"
    elif one.does != "idle":
        what = f"{one.does} with{model}: {one.items} left{upcoming}"
    else:
        what = f"idle, holds{model}" if model else "idle"
    return f"{one.worker}{where}: {what}, for {duration(one.seconds)}{_use_text(one.use)}"


def _use_text(use: Use | None) -> str:
    """``; 1.2 GiB; GPU 14.0 of 80.0 GiB, tensors at most 13.2, 87 % busy``."""
    if use is None:
        return ""
    parts = [_gib(use.resident) + " GiB"]
    if use.gpu_reserved is not None:
        total = "" if use.gpu_total is None else f" of {_gib(use.gpu_total)}"
        peak = "" if use.gpu_peak is None else f", tensors at most {_gib(use.gpu_peak)}"
        busy = "" if use.gpu_busy is None else f", {100 * use.gpu_busy:.0f} % busy"
        parts.append(f"GPU {_gib(use.gpu_reserved)}{total} GiB{peak}{busy}")
    return "; " + "; ".join(parts)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"


def _damage_lines(status: Status) -> list[str]:
    shown = [f"  {one.file}: {one.reason}" for one in status.damages[:RECENT]]
    more = len(status.damages) - len(shown)
    head = f"damaged or missing ({len(status.damages)}), which the same `run` makes anew:"
    return [*([head] if shown else []), *shown, *([f"  and {more} more"] if more > 0 else [])]


def _failure_lines(status: Status) -> list[str]:
    if not status.failures:
        return []
    from orchestrator.failed import group_lines, grouped

    lines = [f"failures ({len(status.failures)}):", *group_lines(grouped(status.failures)), "latest:"]
    lines += [
        f"  {duration(max(0.0, status.at - one.at))} ago  {one.name}: {one.failure.kind}: {one.first_line}"
        for one in status.recent
    ]
    return [*lines, f"all of one cell: python -m orchestrator logs {status.root} CELL"]


def _worker_json(status: Status, one: WorkerNow) -> dict[str, object]:
    return {**asdict(one), "model": status.planned.named(one.model) if one.model else None}


def _driver_json(beat: Beat, status: Status) -> dict[str, object]:
    content = {key: value for key, value in asdict(beat).items() if key not in ("rates", "workers", "process_started")}
    return {**content, "condition": status.condition, "age": round(age(beat, status.at), 1)}


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as lines of columns: the first to the left, the others to the right."""
    table = [list(row) for row in rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]
