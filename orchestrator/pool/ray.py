"""The pool on Ray: one actor per worker, on the machines of a cluster that may grow and shrink.

A worker is a name and, from its first ``Load`` on, an actor. An actor that dies, or whose machine goes, is dropped; the next
``Load`` under the same name starts another. An actor is also replaced when a model needs other resources than it has.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import ray
import ray.exceptions

from actors.boundary import Load, Task
from actors.errors import DeviceLostError
from actors.remote import Setup
from actors.types import Resources
from orchestrator.errors import InputError
from orchestrator.pool import Event, PoolOptions, WorkerLost, ray_actor
from orchestrator.pool.environment import handed_over
from orchestrator.pool.ray_actor import RayWorker
from orchestrator.pool.ray_demand import Demand
from orchestrator.pool.ray_head import Answer, Head, leave_without_a_word
from orchestrator.pool.ray_join import connect
from orchestrator.pool.ray_nodes import Machine, Need, Room, at_once, cpu_share, need_of, too_small

REFRESH_SECONDS = 5.0
"""How old what is known of the machines may be."""

LOOK_SECONDS = 0.2
"""How often to look at every worker for what no stream tells."""

PAUSE_SECONDS = 0.5
"""How long to wait at once when no worker has a task."""

_log = logging.getLogger(__name__)


class RayPool:
    """Workers as Ray actors. Leaves an already initialised Ray running; shuts down one that it connected to itself."""

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._connection = None if ray.is_initialized() else connect(options.environment)
        address = "" if self._connection is None else self._connection.head
        self._head = Head(address) if address else None
        self._demand = Demand() if address else None
        self._workers: dict[str, RayWorker] = {}
        self._ready: deque[RayWorker] = deque()
        self._machines: dict[str, Machine] = {}
        self._hosts: dict[str, str] = {}
        self._refreshed = self._looked = float("-inf")
        try:
            self._check(bool(address))
        except InputError:
            self.close()
            raise

    def workers(self) -> tuple[str, ...]:
        """Those that have an actor, and as many new names as can stand beside them on the machines that are there now, but no
        more than were asked for and at least one."""
        self._refresh()
        fit = at_once(self._machines.values(), [self._need(one) for one in self._options.resources])
        count = max(1, fit if self._options.workers is None else min(fit, self._options.workers))
        names = dict.fromkeys(one.name for one in self._workers.values() if one.has_actor)
        number = 1
        while len(names) < count:
            names[f"worker-{number}"] = None
            number += 1
        return tuple(names)

    def capacity(self, resources: Resources, avoid: Collection[str] = ()) -> int:
        """How many workers with ``resources`` the machines that are there, save those to ``avoid``, hold, were they empty."""
        need = self._need(resources)
        return sum(Room(machine).fits(need) for name, machine in self._machines.items() if name not in avoid)

    def wants(self, demand: Mapping[Resources, int]) -> None:
        """Ask the cluster that was joined to grow to the demand, as far as ``workers`` allows, or to shrink."""
        if self._demand is not None:
            asked = self._demand
            needs = {self._need(resources): count for resources, count in demand.items()}
            self._ask(lambda: asked.ask(needs, self._options.workers))

    def submit(self, worker: str, task: Task) -> None:
        """Send the task; a ``Load`` first starts an actor of the right size if there is none."""
        one = self._workers.setdefault(worker, RayWorker(worker))
        if one.busy:
            raise RuntimeError(f"worker {worker} is busy")
        if isinstance(task, Load):
            need = self._need(task.resources)
            avoid = task.avoid.union(name for name, machine in self._machines.items() if too_small(machine, need))
            self._ask(lambda: one.provide(need, self._machines, avoid, lambda: self._setup(need)))
            threads = task.engine.threads or _threads(need)
            task = replace(task, engine=replace(task.engine, threads=threads))
        one.run(task)

    def next_event(self, timeout: float | None) -> Event | None:
        """The next outcome of any worker, each in its turn; or that a worker is lost, be it idle."""
        ends = time.monotonic() + (math.inf if timeout is None else timeout)
        while True:
            if self._head is not None and timeout != 0:
                self._head.check()
            if (lost := self._noticed()) is not None:
                return lost
            left = max(0.0, ends - time.monotonic())
            if not any(one.busy for one in self._workers.values()):
                time.sleep(min(left, PAUSE_SECONDS) if timeout else 0.0)
                return None
            teller = self._next_teller(min(left, REFRESH_SECONDS))
            event = None if teller is None else self._told(teller)
            if event is not None or time.monotonic() >= ends:
                return event

    def release(self, worker: str) -> None:
        """Kill the worker's actor, so that Ray can give its resources to another."""
        one = self._workers.pop(worker, None)
        if one is not None:
            one.kill()

    def close(self) -> None:
        """Kill every actor and take back what was asked of the cluster; then leave it, or stop the Ray that was started here."""
        if self._head is not None:
            self._head.close()
            if ray.is_initialized() and not self._head.answers():
                leave_without_a_word()
                return
        if ray.is_initialized():
            if self._demand is not None:
                self._demand.take_back()
            for name in list(self._workers):
                self.release(name)
        if self._connection is not None:
            self._connection.close()

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """A call of Ray for which a head that hangs would let the driver wait."""
        return question() if self._head is None else self._head.ask(question)

    # ---- events ------------------------------------------------------------------------------------------------

    def _next_teller(self, timeout: float) -> RayWorker | None:
        """A worker that has something to tell. All that have are asked before any is asked again."""
        while self._ready:
            one = self._ready.popleft()
            if one.stream is not None and self._workers.get(one.name) is one:
                return one
        running = [one for one in self._workers.values() if one.stream is not None]
        if not running:  # those that are busy cannot be reached
            time.sleep(min(timeout, PAUSE_SECONDS))
            return None
        streams = [one.stream for one in running]
        ready, _ = ray.wait(streams, num_returns=1, timeout=timeout)
        if ready and len(streams) > 1:
            ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0)
        told = {id(stream) for stream in ready}
        self._ready.extend(one for one in running if id(one.stream) in told)
        return self._ready.popleft() if self._ready else None

    def _told(self, one: RayWorker) -> Event | None:
        try:
            return one.told(self._hosts)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, DeviceLostError):
                return self._lost(one, str(error.cause), device_on=one.where())
            raise  # any other error that escaped `perform` is a bug of ours, not a lost worker
        except ray.exceptions.ActorUnavailableError as error:
            message = _first_lines(str(error))
            return None if one.may_be_unharmed(message) else self._lost(one, message)
        except ray.exceptions.RayError as error:
            return self._lost(one, _first_lines(str(error)))

    def _noticed(self) -> WorkerLost | None:
        """What no stream tells: an actor that found no room, one whose machine is gone, one that cannot be reached."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return None
        self._refresh()
        for one in self._workers.values():
            if one.found_no_room():
                self.release(one.name)
                message = f"no machine had room for {one.need} within {ray_actor.START_SECONDS:g} s"
                return WorkerLost(one.name, message, placed=False)
            if one.stream is None and one.machine and one.machine not in self._machines:
                return self._lost(one, "its machine is gone")
            if message := one.given_up():
                return self._lost(one, message)
        self._looked = time.monotonic()
        return None

    def _lost(self, one: RayWorker, message: str, device_on: str = "") -> WorkerLost:
        self.release(one.name)
        self._refreshed = float("-inf")
        self._refresh()
        gone, host = one.gone_with(self._machines), self._hosts.get(device_on, "")
        return WorkerLost(one.name, message, machine=gone, device_on=device_on, host=host)

    # ---- actors and machines -----------------------------------------------------------------------------------

    def _setup(self, need: Need) -> Setup:
        environment = handed_over(os.environ, self._options.environment)
        return Setup(self._options.worker, _threads(need), need.gpus > 0, environment)

    def _need(self, resources: Resources) -> Need:
        machines = list(self._machines.values())
        return need_of(resources, cpu_share(machines, self._options.resources, self._options.workers))

    def _refresh(self) -> None:
        if self._head is not None and self._head.lost:
            return  # nothing new will be heard of them
        if time.monotonic() - self._refreshed > REFRESH_SECONDS:
            nodes = [node for node in self._ask(ray.nodes) if node["Alive"]]
            self._machines = {node["NodeID"]: node["Resources"] for node in nodes}
            self._hosts |= {node["NodeID"]: node["NodeManagerHostname"] for node in nodes}
            self._refreshed = time.monotonic()

    def _check(self, joined: bool) -> None:
        """A machine on its own will not grow the GPU that a model needs; a cluster may."""
        self._refresh()
        machines = self._machines.values()
        if any(machine.get("GPU") for machine in machines) and not any(one.gpus for one in self._options.resources):
            _log.warning("there are GPUs here, but no model of the sweep asks for one (gpus: 1): all runs on CPUs")
        for resources in self._options.resources:
            if self.capacity(resources):
                continue
            what = f"a worker of {self._need(resources)}"
            have = ", ".join(f"{one.get('CPU', 0):g} CPUs and {one.get('GPU', 0):g} GPUs" for one in machines)
            if not joined:
                raise InputError.because(f"no machine here holds {what}; there is: {have}", field="resources")
            _log.warning("no node of the cluster holds %s now (there is: %s); waiting for one", what, have)


def _threads(need: Need) -> int:
    return max(1, int(need.cpus))


def _first_lines(text: str, count: int = 6) -> str:
    return "\n".join(text.strip().splitlines()[:count])
