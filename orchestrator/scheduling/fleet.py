"""The workers as the scheduler sees them: which model each holds or loads, who is idle, and how much of the machines is taken."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence

from actors.types import ModelInfo, Resources
from orchestrator.scheduling.attempts import BAD_DEVICES, MAX_ATTEMPTS
from orchestrator.scheduling.slots import WorkerSlot

__all__ = ["Fleet", "WorkerSlot", "room_for", "takes_room_of"]

LOAD_PATIENCE_SECONDS = 300.0
"""A model that has been loading for longer (a worker that waits for a machine) no longer keeps others from loading it."""


CROWDED_SECONDS = 60.0
"""For so long no other worker is started for a kind of model after one found no room."""


class Fleet:
    """The workers of ``slots`` by model and by idleness. ``resources``: what a variant's model needs; ``clock``: seconds."""

    def __init__(
        self, slots: dict[str, WorkerSlot], resources: Callable[[str], Resources], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.slots = slots
        self._resources, self._clock = resources, clock
        self._idle = {name: slot for name, slot in slots.items() if not slot.busy}
        self._of: dict[str, dict[str, WorkerSlot]] = defaultdict(dict)
        self._loading: dict[str, dict[str, WorkerSlot]] = defaultdict(dict)
        self._taken: defaultdict[tuple[bool, str | None], float] = defaultdict(float)
        self._failed_loads: Counter[str] = Counter()
        self._lost_machines: dict[str, set[str]] = defaultdict(set)
        self._failed_devices: Counter[str] = Counter()
        self._bad_machines: dict[str, dict[str, str]] = defaultdict(dict)
        self._crowded: dict[Resources, float] = {}
        self._short_of_room: set[Resources] = set()

    @property
    def any_busy(self) -> bool:
        """Whether any worker has a task."""
        return len(self._idle) < len(self.slots)

    def meet(self, names: Collection[str]) -> list[WorkerSlot]:
        """Take in new workers and forget idle ones that are gone; returns those that were forgotten with a model."""
        for name in names:
            if name not in self.slots:
                self.slots[name] = self._idle[name] = WorkerSlot(name)
        known = set(names)
        gone = [slot for name, slot in self._idle.items() if name not in known] if len(known) < len(self.slots) else []
        held = [slot for slot in gone if slot.variant is not None]
        for slot in gone:
            self.assign(slot, None)
            del self.slots[slot.name], self._idle[slot.name]
        return held

    def idle(self) -> list[WorkerSlot]:
        """The idle workers: those without a model first, so that a new model evicts no other."""
        return sorted(self._idle.values(), key=lambda slot: slot.variant is not None)

    def with_model(self, variant: str) -> Sequence[WorkerSlot]:
        """The workers that hold or load ``variant``."""
        return list(self._of[variant].values())

    def holders(self, variant: str) -> int:
        """How many workers hold ``variant`` or have not been loading it for too long."""
        stuck = 0
        patience_ended = self._clock() - LOAD_PATIENCE_SECONDS
        for slot in self._loading[variant].values():  # in the order in which they began
            if slot.since > patience_ended:
                break
            stuck += 1
        return len(self._of[variant]) - stuck

    def assign(self, slot: WorkerSlot, variant: str | None) -> None:
        """``slot`` is to hold ``variant`` from now on, once it is loaded; None: nothing."""
        if slot.variant is not None:
            del self._of[slot.variant][slot.name]
            self._loading[slot.variant].pop(slot.name, None)
            self._count_devices(self._resources(slot.variant), -1)
        slot.variant, slot.info = variant, None
        slot.use = None if variant is None else slot.use
        if variant is not None:
            self._of[variant][slot.name] = slot
            self._loading[variant][slot.name] = slot
            self._count_devices(self._resources(variant), 1)

    def loaded(self, slot: WorkerSlot, info: ModelInfo) -> None:
        """``slot`` holds its model."""
        slot.info = info
        if slot.variant is not None:
            self._short_of_room.discard(self._resources(slot.variant))
            self._loading[slot.variant].pop(slot.name, None)
            del self._failed_loads[slot.variant]
            self._lost_machines.pop(slot.variant, None)

    def start(self, slot: WorkerSlot, task: str) -> None:
        """``slot`` has a task."""
        slot.task, slot.begun, slot.since, slot.underway = task, time.time(), self._clock(), None
        self._idle.pop(slot.name, None)

    def free(self, slot: WorkerSlot) -> None:
        """``slot`` has none."""
        slot.task, slot.begun, slot.underway = "idle", time.time(), None
        self._idle[slot.name] = slot

    def count_failed_load(self, slot: WorkerSlot, variant: str) -> int:
        """``slot`` could not load ``variant``: it will load no replica of it. Returns how many failed since one worked."""
        slot.barred.add(variant)
        self._failed_loads[variant] += 1
        return self._failed_loads[variant]

    def count_lost_machine(self, variant: str, machine: str) -> int:
        """``machine`` went while a worker on it loaded ``variant``. Returns how many did so since a load of it worked."""
        self._lost_machines[variant].add(machine)
        return len(self._lost_machines[variant])

    def count_bad_machine(self, variant: str, machine: str, host: str) -> int:
        """``variant`` could not be loaded on ``machine``, which may be to blame. Returns of how many that is known."""
        self._bad_machines[variant][machine] = host or machine
        return len(self._bad_machines[variant])

    def bad_machines(self, variant: str) -> dict[str, str]:
        """The machines on which ``variant`` could not be loaded, by their ids, with their names."""
        return dict(self._bad_machines[variant])

    def count_failed_device(self, machine: str) -> int:
        """A worker on ``machine`` lost its device. Returns how many did."""
        self._failed_devices[machine] += 1
        return self._failed_devices[machine]

    def unfit_machines(self, variant: str) -> frozenset[str]:
        """The machines, by their ids, on which ``variant`` could not be loaded or device after device fails."""
        if not (self._bad_machines or self._failed_devices):
            return frozenset()
        failing = (machine for machine, count in self._failed_devices.items() if count >= BAD_DEVICES)
        return frozenset(self._bad_machines[variant]).union(failing)

    def found_no_room(self, variant: str) -> bool:
        """A worker for ``variant`` was not placed. Returns whether it is the first of its kind since one loaded its model."""
        wanted = self._resources(variant)
        self._crowded[wanted] = self._clock()
        first = wanted not in self._short_of_room
        self._short_of_room.add(wanted)
        return first

    def is_crowded(self, wanted: Resources) -> bool:
        """Whether a worker with ``wanted`` found no room a moment ago, whatever the machines hold when they are empty."""
        return wanted in self._crowded and self._clock() - self._crowded[wanted] < CROWDED_SECONDS

    def may_replicate(self, slot: WorkerSlot, variant: str) -> bool:
        """Whether loads of ``variant`` work well enough for ``slot`` to try one that can be done without."""
        return variant not in slot.barred and self._failed_loads[variant] < MAX_ATTEMPTS

    def now(self) -> float:
        """Seconds."""
        return self._clock()

    def seconds_since(self, slot: WorkerSlot) -> float:
        """How long ago its task began, or last gave a result."""
        return self._clock() - slot.since

    def taken(self, wanted: Resources, besides: WorkerSlot) -> float:
        """How many of the devices that ``wanted`` could use other workers than ``besides`` hold: GPUs, or workers without GPU."""
        on_gpus, accelerator = bool(wanted.gpus), wanted.accelerator
        taken = 0.0
        for (gpus, kind), units in self._taken.items():
            if gpus is on_gpus and accelerator in (None, kind):
                taken += units
        own = None if besides.variant is None else self._resources(besides.variant)
        if own is not None and bool(own.gpus) is on_gpus and accelerator in (None, own.accelerator):
            taken -= _units(own)
        return taken

    def _count_devices(self, held: Resources, sign: int) -> None:
        self._taken[bool(held.gpus), held.accelerator] += sign * _units(held)

    def loading(self) -> list[str]:
        """The variants that are being loaded."""
        return [variant for variant, slots in self._loading.items() if slots]


def room_for(wanted: Resources, capacity: int, taken: float) -> bool:
    """Whether a worker with ``wanted`` fits beside what is ``taken``; ``capacity``: how many would fit on empty machines."""
    return taken + _units(wanted) <= capacity * _units(wanted) + 1e-9


def _units(resources: Resources) -> float:
    return resources.gpus or 1.0


def takes_room_of(one: Resources, other: Resources) -> bool:
    """Whether a worker with ``one`` may stand where one with ``other``, of another size, could."""
    return one != other and (None in (one.accelerator, other.accelerator) or one.accelerator == other.accelerator)
