"""The pool on Ray: joins the cluster this machine belongs to, else starts a local one; one actor per worker.

A worker is a name and, from its first ``Load`` on, an actor. An actor that dies is dropped; the next ``Load`` under the
same name starts another. An actor is also replaced when a model needs other resources than it has.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the coming default; silences a warning per actor
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import ray
import ray.exceptions
from ray._private import services  # the only way to ask which cluster ray.init would join

import actors
from actors.boundary import Load, Task
from actors.remote import Setup, start
from actors.types import Resources
from orchestrator.errors import InputError
from orchestrator.pool import Event, PoolOptions, TaskDone, WorkerLost, as_event

CPUS_PER_WORKER = 8
"""On machines without GPUs a worker gets about this many cores: more threads hardly speed up one model."""

OBJECT_STORE_BYTES = 256 * 2**20
"""Object store of a Ray that we start ourselves: directions and responses are small."""

REFRESH_SECONDS = 5.0
REACH_SECONDS = 10.0
PASSED_ON = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HTTPS_PROXY", "NO_PROXY")
"""Variables of the driver that workers on other machines get where they have none of their own."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Need:
    """What one actor asks Ray for."""

    cpus: float
    gpus: float = 0.0
    accelerator: str | None = None

    def fits(self, node: dict[str, float]) -> int:
        """How many such actors the (empty) node holds."""
        if self.accelerator is not None and f"accelerator_type:{self.accelerator}" not in node:
            return 0
        by_cpu = node.get("CPU", 0.0) / self.cpus
        return int(by_cpu if not self.gpus else min(by_cpu, node.get("GPU", 0.0) / self.gpus))

    def options(self) -> dict[str, object]:
        """The same as Ray options."""
        options: dict[str, object] = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        return options if self.accelerator is None else {**options, "accelerator_type": self.accelerator}


@dataclass
class _Slot:
    name: str
    need: Need | None = None
    actor: Any = None
    stream: Any = None


class RayPool:
    """Workers as Ray actors. Leaves an already initialised Ray running; shuts down one that it connected to itself."""

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._connected_here = not ray.is_initialized()
        joined = _connect() if self._connected_here else False
        self._slots: dict[str, _Slot] = {}
        self._nodes: list[dict[str, float]] = []
        self._refreshed = float("-inf")
        try:
            self._check(joined)
        except InputError:
            self.close()
            raise

    def workers(self) -> tuple[str, ...]:
        """As many names as asked for, else as fit now; never drops a name that is busy."""
        self._refresh()
        count = self._options.workers or max(1, *(self.capacity(resources) for resources in self._options.resources))
        names = dict.fromkeys(f"worker-{number}" for number in range(1, count + 1))
        return (*names, *(slot.name for slot in self._busy() if slot.name not in names))

    def capacity(self, resources: Resources) -> int:
        """How many workers with ``resources`` the alive nodes hold."""
        need = self._need(resources)
        return sum(need.fits(node) for node in self._nodes)

    def submit(self, worker: str, task: Task) -> None:
        """Send the task; a ``Load`` first starts an actor of the right size if there is none."""
        slot = self._slots.setdefault(worker, _Slot(worker))
        if slot.stream is not None:
            raise RuntimeError(f"worker {worker} is busy")
        if isinstance(task, Load):
            need = self._need(task.resources)
            self._ensure_actor(slot, need)
            threads = task.engine.threads or _threads(need)
            task = replace(task, engine=replace(task.engine, threads=threads))
        if slot.actor is None:
            raise RuntimeError(f"worker {worker} holds no model")
        slot.stream = slot.actor.perform.options(num_returns="streaming").remote(task)

    def next_event(self, timeout: float | None) -> Event | None:
        """The next outcome of any worker."""
        busy = list(self._busy())
        if not busy:
            return None
        ready, _ = ray.wait([slot.stream for slot in busy], num_returns=1, timeout=timeout)
        return next((self._receive(slot) for slot in busy if any(slot.stream is stream for stream in ready)), None)

    def release(self, worker: str) -> None:
        """Kill the worker's actor, so that Ray can give its resources to another."""
        slot = self._slots.pop(worker, None)
        if slot is not None and slot.actor is not None:
            ray.kill(slot.actor)

    def close(self) -> None:
        """Kill every actor; then leave the cluster, or stop the Ray that was started here."""
        if ray.is_initialized():
            for name in list(self._slots):
                self.release(name)
            if self._connected_here:
                ray.shutdown()

    def _receive(self, slot: _Slot) -> Event:
        try:
            return as_event(slot.name, ray.get(next(slot.stream)))
        except StopIteration:
            slot.stream = None
            return TaskDone(slot.name)
        except ray.exceptions.RayTaskError:
            raise  # an error that escaped `perform` is a bug of ours, not a lost worker
        except ray.exceptions.RayError as error:
            self._slots.pop(slot.name)
            self._refreshed = float("-inf")
            return WorkerLost(slot.name, _first_lines(str(error)))

    def _busy(self) -> Iterator[_Slot]:
        return (slot for slot in self._slots.values() if slot.stream is not None)

    def _ensure_actor(self, slot: _Slot, need: Need) -> None:
        if slot.actor is not None and slot.need == need:
            return
        if slot.actor is not None:
            ray.kill(slot.actor)
        passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        slot.need = need
        slot.actor = start(Setup(self._options.worker, _threads(need), need.gpus > 0, passed_on), need.options())

    def _need(self, resources: Resources) -> Need:
        if resources.gpus:
            return Need(max(resources.cpus, 1.0), resources.gpus, resources.accelerator)
        return Need(max(resources.cpus, self._cpu_share()), 0.0, resources.accelerator)

    def _cpu_share(self) -> float:
        """The cores of one worker on machines without GPUs: all are used, none is used twice."""
        cores = [node["CPU"] for node in self._nodes if node.get("CPU", 0.0) >= 1] or [1.0]
        if self._options.workers is not None:
            share = sum(cores) / self._options.workers
            return float(int(share)) if share >= 1 else share
        smallest = min(cores)
        return float(smallest // max(1, round(smallest / CPUS_PER_WORKER)))

    def _refresh(self) -> None:
        if time.monotonic() - self._refreshed > REFRESH_SECONDS:
            self._nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self._refreshed = time.monotonic()

    def _check(self, joined: bool) -> None:
        """A machine on its own will not grow the GPU that a model needs; a cluster may."""
        self._refresh()
        if any(node.get("GPU") for node in self._nodes) and not any(one.gpus for one in self._options.resources):
            _log.warning("there are GPUs here, but no model of the sweep asks for one (gpus: 1): all runs on CPUs")
        for resources in self._options.resources:
            if self.capacity(resources):
                continue
            need = self._need(resources)
            what = f"a worker of {need.cpus:g} CPUs and {need.gpus:g} {need.accelerator or ''} GPUs".replace("  ", " ")
            have = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in self._nodes)
            if not joined:
                raise InputError.because(f"no machine here holds {what}; there is: {have}", field="resources")
            _log.warning("no node of the cluster holds %s now (there is: %s); waiting for one", what, have)


def _connect() -> bool:
    """Connect to Ray; whether that is a cluster which was there before (``ray start``, RAY_ADDRESS)."""
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    try:
        address = services.canonicalize_bootstrap_address(None)
        if address is not None and not _is_left_over(address):
            _reach(address)
            ray.init(runtime_env={"py_modules": [str(Path(actors.__file__).parent)]}, **quiet)
            return True
    except (OSError, ValueError) as error:  # ConnectionError is an OSError; ValueError: the address makes no sense
        message = f"cannot join the Ray cluster ({error}); start it, or set RAY_ADDRESS=local to run on this machine alone"
        raise InputError.because(message, field="RAY_ADDRESS") from error
    ray.init(address="local", object_store_memory=OBJECT_STORE_BYTES, **quiet)
    return False


def _is_left_over(address: str) -> bool:
    """Whether the address is only what a Ray that has ended left in its temporary folder: nobody asked for it, nobody answers."""
    if os.environ.get("RAY_ADDRESS"):
        return False
    try:
        _reach(address)
    except OSError:
        _log.warning("the Ray cluster that ran on this machine has ended: starting a local Ray")
        return True
    return False


def _reach(address: str) -> None:
    """OSError when nobody answers at ``host:port``; Ray itself would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()


def _threads(need: Need) -> int:
    return max(1, int(need.cpus))


def _first_lines(text: str, count: int = 6) -> str:
    return "\n".join(text.strip().splitlines()[:count])
