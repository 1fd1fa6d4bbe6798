"""The Ray shell around a worker: an actor that runs tasks through ``perform`` and streams their outcomes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray

from actors.boundary import Outcome, Task, make_worker, perform


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
    """One actor, one process, at most one model."""

    def __init__(self, setup: Setup) -> None:
        for name, value in setup.environment.items():
            os.environ.setdefault(name, value)
        # OpenMP and CUDA read these when torch is imported, which making the worker brings about.
        os.environ["OMP_NUM_THREADS"] = str(setup.threads)
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        if not setup.gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._worker = make_worker(setup.worker)

    def perform(self, task: Task) -> Iterator[Outcome]:
        """Stream the outcomes of ``task``."""
        yield from perform(self._worker, task)


def start(setup: Setup, options: Mapping[str, object]) -> Any:
    """Start an actor with the given Ray options (``num_cpus``, ``num_gpus``, ``accelerator_type``); returns its handle.

    Ray itself neither restarts it nor repeats its tasks: a lost worker is the scheduler's decision.
    """
    return ray.remote(RemoteWorker).options(max_restarts=0, max_task_retries=0, **options).remote(setup)
