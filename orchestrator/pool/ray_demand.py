"""Asking the cluster that was joined to grow and to shrink with the work.

Ray's autoscaler takes a request as the least that the cluster must be able to hold, what runs included; it is no reservation. It
stands until another takes its place, also when the driver that made it is gone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray
import ray.exceptions

from actors.remote import guard_demand
from orchestrator.pool.ray_nodes import Need, bounded

MOST_WORKERS = 1024
"""More than this many are not asked for at once: the cluster's own ``max_workers`` is the bound that is meant."""

GUARD_SECONDS = 600.0
"""A driver that has not asked for so long is taken for dead, and what it asked for is taken back."""

_log = logging.getLogger(__name__)


class Demand:
    """What this driver has asked the autoscaler for; a guard on the cluster takes it back should the driver be killed."""

    def __init__(self) -> None:
        self._asked: list[Mapping[str, float]] = []
        self._heard = float("-inf")
        self._guard: Any = None

    def ask(self, wanted: Mapping[Need, int], most: int | None) -> None:
        """Ask for so many workers with each need, ``most`` in all, unless that is what was asked last. To be called every now and
        then as long as it holds."""
        bundles: list[Mapping[str, float]] = [need.bundle() for need in bounded(wanted, most or MOST_WORKERS)]
        bundles.sort(key=lambda bundle: sorted(bundle.items()))
        try:
            forgotten = bool(bundles) and not self._tell_the_guard()
            if bundles != self._asked or forgotten:
                _request(bundles)
                self._asked = bundles
        except ray.exceptions.RayError as error:  # a hint that did not arrive must not end a sweep
            _log.warning("the cluster could not be asked for %d workers: %s", len(bundles), error)

    def take_back(self) -> None:
        """Ask for nothing: machines without work may go."""
        self.ask({}, None)
        if self._guard is not None:
            ray.kill(self._guard)
            self._guard = None

    def _tell_the_guard(self) -> bool:
        """Say that the driver lives; False when the guard may have given up on it (a run that was paused), and another starts."""
        now = time.monotonic()
        in_time = now - self._heard < GUARD_SECONDS / 2
        self._heard = now
        if not in_time:
            self._guard = guard_demand(GUARD_SECONDS)
        self._guard.hear.remote()
        return in_time


def _request(bundles: Sequence[Mapping[str, float]]) -> None:
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[dict(bundle) for bundle in bundles])
