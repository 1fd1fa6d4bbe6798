"""One worker of the Ray pool: a name and, from its first ``Load`` on, an actor on some machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions

from actors.boundary import Load, Task
from actors.remote import Setup, start
from orchestrator.pool import TaskDone, WorkerGave
from orchestrator.pool.ray_nodes import Need

START_SECONDS = 120.0
"""An actor that has not started by then found no room. Where machines are still coming, its load is asked for again."""

DOUBT_SECONDS = 30.0
"""Ray finds out within about 20 s that a machine is gone; an actor that cannot be reached for longer is lost for itself."""

PROBE_SECONDS = 1.0


@dataclass(eq=False)
class RayWorker:
    """``stream``: what its task still has to tell. ``machine``: Ray's id of where the actor runs, once it has started;
    ``choice``: the machines that were there when it was asked for."""

    name: str
    need: Need | None = None
    stream: Any = None
    machine: str = ""
    choice: frozenset[str] = frozenset()
    _actor: Any = None
    _answer: Any = None
    _asked: float = 0.0
    _loading: bool = False
    _doubt: str = ""
    _since: float = 0.0

    @property
    def has_actor(self) -> bool:
        """Whether there is an actor, started or not."""
        return self._actor is not None

    @property
    def busy(self) -> bool:
        """Whether it has a task that has not ended."""
        return self.stream is not None or bool(self._doubt)

    def provide(self, need: Need, machines: Collection[str], avoid: Collection[str], setup: Callable[[], Setup]) -> None:
        """Start an actor of the right size if there is none, on one of ``machines`` or of those that come save those to avoid."""
        if self._actor is not None and self.need == need and self.where() not in avoid:
            return
        self.kill()
        choice = frozenset(machines).difference(avoid)
        self.need, self.machine, self.choice, self._asked = need, "", choice, time.monotonic()
        self._actor = start(setup(), {**need.options(), **_elsewhere(avoid)})
        self._answer = self._actor.machine.remote()

    def where(self) -> str:
        """The machine that its actor runs on; empty: it has not told."""
        self._hear()
        return self.machine

    def gone_with(self, machines: Collection[str]) -> str:
        """The machine that it was on and that is not among ``machines`` any more; empty: there is none.

        Ray may choose a machine of which it does not know yet that it is dead: an actor that never started goes with any that
        has gone since.
        """
        lost = {self.machine} if self.machine else self.choice
        return min(lost.difference(machines), default="")

    def run(self, task: Task) -> None:
        """Send the task to the actor."""
        if self._actor is None:
            raise RuntimeError(f"worker {self.name} holds no model")
        self._loading = isinstance(task, Load)
        self.stream = self._actor.perform.options(num_returns="streaming").remote(task)

    def told(self, hosts: Mapping[str, str]) -> WorkerGave | TaskDone:
        """What its task gives next, which ``ray.wait`` says is there, or that it has ended. ``hosts``: the names of machines.
        Raises Ray's errors."""
        try:
            outcome = ray.get(next(self.stream))
        except StopIteration:
            self.stream = None
            return TaskDone(self.name)
        machine = self.where()
        return WorkerGave(self.name, outcome, machine, hosts.get(machine, ""))

    def kill(self) -> None:
        """End the actor. What cannot be reached may yet hold a GPU, so it is told all the same."""
        if self._actor is not None:
            ray.kill(self._actor)
        self._actor = self._answer = self.stream = None

    # ---- starting, and being out of reach ----------------------------------------------------------------------

    def found_no_room(self) -> bool:
        """Whether the actor should have started by now and has not."""
        self._hear()
        return bool(self._loading and not self.machine and not self._doubt and self._answer is not None) and self._late()

    def may_be_unharmed(self, message: str) -> bool:
        """Its task broke off as the actor cannot be reached, says ``message``: whether to wait for what Ray finds out.

        Only a load is worth the wait: it matters whose fault its end was, and it keeps no items from others.
        """
        if not self._loading:
            return False
        self.stream, self._doubt, self._since = None, message, time.monotonic()
        self._probe()
        return True

    def given_up(self) -> str:
        """Why the actor that could not be reached is lost after all; empty: it is not, or it is too early to tell."""
        if not self._doubt:
            return ""
        if time.monotonic() - self._since > DOUBT_SECONDS or self._is_dead():
            return self._doubt
        return ""

    def _late(self) -> bool:
        return time.monotonic() - self._asked > START_SECONDS

    def _probe(self) -> None:
        self._answer, self._asked = self._actor.machine.remote(), time.monotonic()

    def _is_dead(self) -> bool:
        """Whether Ray says so, instead of that it cannot be reached. One that answers again is of no use: its task is broken."""
        if time.monotonic() - self._asked < PROBE_SECONDS or not ray.wait([self._answer], timeout=0)[0]:
            return False
        try:
            ray.get(self._answer)
        except ray.exceptions.ActorUnavailableError:
            self._probe()
            return False
        except ray.exceptions.RayError:
            return True
        return True

    def _hear(self) -> None:
        """Take in where the actor runs, if it has told."""
        if self._answer is None or self.machine or self._doubt or not ray.wait([self._answer], timeout=0)[0]:
            return
        answer, self._answer = self._answer, None
        try:
            self.machine = ray.get(answer)
        except ray.exceptions.RayError:
            self.machine = ""  # it died at once, as its task will tell


def _elsewhere(avoid: Collection[str]) -> dict[str, object]:
    """The Ray option for an actor that is to start on none of these machines."""
    return {"label_selector": {"ray.io/node-id": f"!in({', '.join(sorted(avoid))})"}} if avoid else {}
