"""The command line over fake workers, for tests that need a process of its own: ``python -m tests.fake_cli run ...``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

from orchestrator.cli import app
from orchestrator.control import detached
from orchestrator.pool import POOLS, Pool, PoolOptions

FAKE = "tests.fakes:FakeWorker"


def with_fake_worker(make: Callable[[PoolOptions], Pool]) -> Callable[[PoolOptions], Pool]:
    """The same pool, its workers fake."""
    return lambda options: make(replace(options, worker=FAKE))


if __name__ == "__main__":
    detached.PROGRAM = (sys.executable, "-m", "tests.fake_cli")
    POOLS.update({name: with_fake_worker(make) for name, make in POOLS.items()})
    app()
