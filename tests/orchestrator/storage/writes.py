"""What a driver writes, one at a time, and what a reader sees of it: for the tests that kill it on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from actors.types import Failure
from orchestrator.results.store import Store
from orchestrator.storage import Place
from tests.orchestrator.recording import Recording
from tests.orchestrator.samples import cell, direction_set, direction_spec, grid, labels_of, plan_of, result_of, write_labels

CELLS = grid((12,), (8.0,))
NEW = cell(20, 3.0)
TOGETHER = tuple(cell(layer, 3.0) for layer in (21, 22, 23))
"""Cells that are written at once."""
FAILURE = Failure(NEW.id, "job", "made up", "Traceback ...")
NEW_MODEL = replace(direction_spec().model, fingerprint="a" * 20)
CHOICES = json.dumps({"version": 1, "choices": [{"grid": "second", "considered": [], "chosen": None}]})


@dataclass(frozen=True)
class Write:
    """Something a driver writes, and what a reader sees of it: equal to what it saw before, or after the whole write."""

    do: Callable[[Store], object]
    see: Callable[[Store], object]


def _responses(store: Store) -> object:
    return store.read_responses(NEW.id) if NEW.id in store.done_cells() else None


def _labels(store: Store) -> object:
    return store.read_labels(CELLS[1].id)


def _direction(store: Store) -> object:
    if direction_spec(NEW_MODEL).id not in store.done_directions():
        return None
    return repr(store.read_direction(direction_spec(NEW_MODEL).id))


def _tables(store: Store) -> object:
    """Each table is old or new by itself; together they may be mixed until the next ``compact``."""
    cells, directions, transfers = store.cell_rows(), store.direction_rows(), store.transfer_rows()
    return [len(cells), len(directions), len(transfers)]


WRITES = {
    "responses": Write(lambda store: store.write_responses(NEW, result_of(NEW), 1), _responses),
    "labels": Write(lambda store: write_labels(store, CELLS[1].id, labels_of(CELLS[1], 9)), _labels),
    "direction": Write(lambda store: store.write_direction(direction_spec(NEW_MODEL), direction_set()), _direction),
    "failure": Write(lambda store: store.write_failure(FAILURE), lambda store: store.failures()),
    "clear": Write(lambda store: store.clear_failures(), lambda store: store.failures()),
    "plan": Write(lambda store: store.write_plan(plan_of([*CELLS, NEW])), lambda store: len(store.planned().cells)),
    "choices": Write(lambda store: store.write_choices(CHOICES), lambda store: store.choices()),
    "tables": Write(lambda store: store.compact(), _tables),
}


def write_together(store: Store) -> None:
    """As a run does it: every cell by a thread of its own, its scores after its responses."""
    with Recording(store, len(TOGETHER)) as recorder:
        for one in TOGETHER:
            if one.id not in store.done_cells():
                recorder.begin(one, result_of(one), 1)


def seen_together(store: Store) -> list[tuple[bool, bool]]:
    """Per cell, whether its responses and its labels are there; what is there is whole."""
    done, labelled = store.done_cells(), store.labelled_cells()
    for one in TOGETHER:
        assert one.id not in done or len(store.read_responses(one.id)) == 10
        assert one.id not in labelled or len(store.read_labels(one.id)) == 10
    return [(one.id in done, one.id in labelled) for one in TOGETHER]


BY_NAME: dict[str, Callable[[Store], object]] = {name: one.do for name, one in WRITES.items()} | {"together": write_together}


def prepare(place: Place, name: str) -> None:
    """Finished cells, before the write."""
    store = Store(place)
    store.write_sweep("name: sample\n")
    store.write_plan(plan_of([*CELLS, *TOGETHER]))
    store.write_direction(direction_spec(), direction_set())
    for one in CELLS:
        store.write_responses(one, result_of(one), 1)
        write_labels(store, one.id, labels_of(one))
    if name == "clear":
        store.write_failure(FAILURE)
    if name == "tables":
        store.compact()
        store.write_plan(plan_of([*CELLS, NEW]))
        store.write_responses(NEW, result_of(NEW), 1)
        write_labels(store, NEW.id, labels_of(NEW, 3))


def seen(write: Write, place: Place) -> object:
    """What a reader sees, with all other items unharmed."""
    store = Store(place)
    for one in CELLS:
        assert len(store.read_responses(one.id)) == 10
        store.read_labels(one.id)
    return write.see(store)
