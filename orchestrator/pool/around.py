"""A pool around another one: what it does not do in a way of its own, the other does."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from actors.boundary import Task
from actors.types import Resources
from orchestrator.pool import Pool


class PoolAround:
    """Everything of a pool but its events, handed on to ``pool``."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def workers(self) -> tuple[str, ...]:
        """As the pool."""
        return self._pool.workers()

    def capacity(self, resources: Resources, avoid: Collection[str] = ()) -> int:
        """As the pool."""
        return self._pool.capacity(resources, avoid)

    def wants(self, demand: Mapping[Resources, int]) -> None:
        """As the pool."""
        self._pool.wants(demand)

    def submit(self, worker: str, task: Task) -> None:
        """As the pool."""
        self._pool.submit(worker, task)

    def release(self, worker: str) -> None:
        """As the pool."""
        self._pool.release(worker)

    def close(self) -> None:
        """As the pool."""
        self._pool.close()
