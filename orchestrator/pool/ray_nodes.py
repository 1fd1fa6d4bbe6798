"""How many workers the machines of a cluster hold: counting over what Ray says of them, without Ray."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from actors.gpus import is_of
from actors.types import Resources
from orchestrator.devices import ACCELERATORS

CPUS_PER_WORKER = 8
"""On machines without GPUs a worker gets about this many cores: more threads hardly speed up one model."""

RAY_STEP = 1e-4
"""Ray counts resources in steps of this size."""

ACCELERATOR_SHARE = 1e-3
"""What an actor takes of a machine's accelerator type, which only says what the machine has."""

_ROUNDING = 1e-6

Machine = Mapping[str, float]
"""What one machine has, by Ray's names: ``CPU``, ``GPU``, ``accelerator_type:A100``, ..."""


@dataclass(frozen=True)
class Need:
    """What one actor asks Ray for. ``gpu_memory``: GB of each GPU, of which Ray knows nothing: see ``too_small``."""

    cpus: float
    gpus: float = 0.0
    accelerator: str | None = None
    gpu_memory: float = 0.0

    def options(self) -> dict[str, object]:
        """The same as Ray options of an actor."""
        options: dict[str, object] = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        return options if self.accelerator is None else {**options, "accelerator_type": self.accelerator}

    def bundle(self) -> dict[str, float]:
        """The same as a bundle of resources."""
        bundle = {"CPU": self.cpus}
        if self.gpus:
            bundle["GPU"] = self.gpus
        if self.accelerator is not None:
            bundle[f"accelerator_type:{self.accelerator}"] = ACCELERATOR_SHARE
        return bundle

    def __str__(self) -> str:
        gpus = f" and {self.gpus:g} {self.accelerator or ''} GPUs".replace("  ", " ") if self.gpus else ""
        memory = f" of {self.gpu_memory:g} GB" if self.gpu_memory else ""
        return f"{self.cpus:g} CPUs{gpus}{memory}"


def too_small(machine: Machine, need: Need) -> bool:
    """Whether the GPUs of ``machine``, by the name that Ray has for them, have less memory than ``need`` asks for. A name that
    stands for several sizes counts as the largest: the worker looks at what it got before it loads anything."""
    names = [name.partition(":")[2] for name in machine if name.startswith("accelerator_type:")]
    known = [memory for name in names if name in ACCELERATORS and (memory := ACCELERATORS[name].memory_bytes)]
    return bool(known) and not is_of(max(known), need.gpu_memory)


class Room:
    """What is free on one machine. A part of a GPU lies on one device; several GPUs are whole ones."""

    def __init__(self, machine: Machine) -> None:
        self.cpus = machine.get("CPU", 0.0)
        self._gpus = [1.0] * int(machine.get("GPU", 0.0))
        self._has = machine

    def fits(self, need: Need) -> int:
        """How many workers with ``need`` fit."""
        if need.accelerator is not None and f"accelerator_type:{need.accelerator}" not in self._has:
            return 0
        if need.gpu_memory and too_small(self._has, need):
            return 0
        by_cpu = _times(self.cpus, need.cpus)
        return min(by_cpu, self._by_gpu(need.gpus)) if need.gpus else by_cpu

    def fill(self, need: Need) -> int:
        """Take the room of as many workers with ``need`` as fit; returns how many."""
        count = self.fits(need)
        self.cpus -= count * need.cpus
        for _ in range(count if need.gpus < 1 else count * round(need.gpus)):
            share = min(need.gpus, 1.0)
            device = next((number for number, free in enumerate(self._gpus) if free >= share - _ROUNDING), None)
            if share and device is not None:
                self._gpus[device] -= share
        return count

    def _by_gpu(self, gpus: float) -> int:
        if gpus >= 1:
            return sum(free >= 1 - _ROUNDING for free in self._gpus) // math.ceil(gpus - _ROUNDING)
        return sum(_times(free, gpus) for free in self._gpus)


def at_once(machines: Iterable[Machine], needs: Sequence[Need]) -> int:
    """How many workers can stand at once, each with one of ``needs``: GPUs are filled first, small shares before large ones,
    then the cores that are left."""
    order = sorted(set(needs), key=lambda need: (not need.gpus, need.gpus, need.cpus))
    return sum(sum(room.fill(need) for need in order) for room in map(Room, machines))


def need_of(resources: Resources, cpu_share: float) -> Need:
    """What an actor asks for that is to hold a model with ``resources``; without a GPU it gets at least ``cpu_share`` cores."""
    if resources.gpus:
        return Need(max(resources.cpus, 1.0), resources.gpus, resources.accelerator, resources.gpu_memory)
    return Need(max(resources.cpus, cpu_share), 0.0, resources.accelerator)


def cpu_share(machines: Sequence[Machine], resources: Iterable[Resources], workers: int | None) -> float:
    """The cores of one worker without GPU: all are used, none is used twice, and those of the workers with GPUs are left alone.

    ``workers``: how many are to share them all (None: as many as get ``CPUS_PER_WORKER`` each).
    """
    with_gpu = [need_of(one, 1.0) for one in resources if one.gpus]
    rooms = [Room(machine) for machine in machines]
    for room in rooms:
        for need in with_gpu:
            room.fill(need)
    cores = [room.cpus for room in rooms if room.cpus >= 1]
    cores = cores or [machine["CPU"] for machine in machines if machine.get("CPU", 0.0) >= 1] or [1.0]
    if workers is not None:
        return _largest_share(cores, workers)
    smallest = min(cores)
    return float(smallest // max(1, round(smallest / CPUS_PER_WORKER)))


def _largest_share(cores: Sequence[float], workers: int) -> float:
    """The largest share of which the machines together hold ``workers``; whole cores where each gets at least one."""
    shares = (one / count for one in set(cores) for count in range(1, workers + 1))
    possible = {float(int(share)) if share >= 1 else math.floor(share / RAY_STEP) * RAY_STEP for share in shares}
    enough = [share for share in possible if share and sum(_times(one, share) for one in cores) >= workers]
    return max(enough, default=RAY_STEP)


def bounded(demand: Mapping[Need, int], most: int) -> list[Need]:
    """One need per worker that is wanted, at most ``most``: the kinds take turns, so that none is left out for another's sake."""
    left = {need: count for need, count in demand.items() if count > 0}
    taken: list[Need] = []
    while left and len(taken) < most:
        for need in list(left)[: most - len(taken)]:
            taken.append(need)
            left[need] -= 1
            if not left[need]:
                del left[need]
    return taken


def _times(whole: float, part: float) -> int:
    return math.floor(whole / part + _ROUNDING)
