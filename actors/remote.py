"""The Ray shell around a worker: an actor that runs tasks through ``perform`` and streams their outcomes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import ray
import ray.exceptions

from actors.boundary import Outcome, Task, make_worker, perform
from actors.library_settings import set_up_libraries
from actors.use import UseMeter


@dataclass(frozen=True)
class Setup:
    """What an actor starts from. ``threads``: its share of the CPUs; ``gpu``: whether it has one (otherwise it sees none);
    ``environment``: variables that its node may lack.

    The environment can hold tokens: it is never shown, and it does not go through Ray's runtime_env, which is logged.
    """

    worker: str
    threads: int
    gpu: bool
    environment: Mapping[str, str] = field(repr=False)


class RemoteWorker:
    """One actor, one process, at most one model. It is there at once: its worker is made with the first task."""

    def __init__(self, setup: Setup) -> None:
        for name, value in setup.environment.items():
            os.environ.setdefault(name, value)
        # OpenMP and CUDA read these when torch is imported, which the first load brings about.
        os.environ["OMP_NUM_THREADS"] = str(setup.threads)
        set_up_libraries()
        if not setup.gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._worker, self._meter = cache(partial(make_worker, setup.worker)), UseMeter()

    def machine(self) -> str:
        """Ray's id of the machine that the actor got: it has started."""
        node_id: str = ray.get_runtime_context().get_node_id()
        return node_id

    def perform(self, task: Task) -> Iterator[Outcome]:
        """Stream the outcomes of ``task``."""
        yield from perform(self._worker, task, self._meter)


def start(setup: Setup, options: Mapping[str, object]) -> Any:
    """Start an actor with the given Ray options (``num_cpus``, ``num_gpus``, ``accelerator_type``); returns its handle.

    Ray itself neither restarts it nor repeats its tasks: a lost worker is the scheduler's decision.
    """
    return ray.remote(RemoteWorker).options(max_restarts=0, max_task_retries=0, **options).remote(setup)


class DemandBook:
    """What every driver asks of the cluster's autoscaler, which knows one request for the whole cluster: their sum.

    It outlives the drivers. One that was not heard of for ``seconds`` is struck out: otherwise the machines of a driver that was
    killed would stay. Without any driver for so long the book ends itself.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, time.monotonic()
        self._asked: dict[str, tuple[float, list[dict[str, float]]]] = {}
        self._told: list[dict[str, float]] | None = None
        self._turn = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def ask(self, driver: str, bundles: list[dict[str, float]]) -> None:
        """``driver`` lives and asks for this, no less and no more, from now on."""
        with self._turn:
            self._last = time.monotonic()
            self._asked[driver] = (self._last, bundles)
            self._tell()

    def leave(self, driver: str) -> bool:
        """``driver`` asks for nothing any more. Returns whether it was the last one, so that the book may be closed."""
        with self._turn:
            self._asked.pop(driver, None)
            self._tell()
            return not self._asked

    def strike_out(self) -> None:
        """Forget the drivers that have not been heard of for too long."""
        with self._turn:
            now = time.monotonic()
            self._asked = {one: asked for one, asked in self._asked.items() if now - asked[0] <= self._seconds}
            self._tell()

    def _watch(self) -> None:
        while time.monotonic() - self._last < 2 * self._seconds:
            time.sleep(self._seconds / 20)
            with suppress(ray.exceptions.RayError):  # the head is busy: the next time will do
                self.strike_out()
        os._exit(0)

    def _tell(self) -> None:
        from ray.autoscaler.sdk import request_resources

        wanted = [bundle for driver in sorted(self._asked) for bundle in self._asked[driver][1]]
        if wanted != self._told:
            request_resources(bundles=wanted)
            self._told = wanted


def demand_book(seconds: float) -> Any:
    """The book of this cluster, on its head, where it takes nothing from any worker; started if there is none."""
    return (
        ray.remote(DemandBook)
        .options(
            name="demand-book",
            namespace="steering",
            get_if_exists=True,
            lifetime="detached",
            num_cpus=0,
            resources={"node:__internal_head__": 0.001},
        )
        .remote(seconds)
    )
