"""Asking the cluster that was joined to grow and to shrink with the work.

Ray's autoscaler takes a request as the least that the cluster must be able to hold, what runs included; it is no reservation.
There is one request for the whole cluster, which stands until another takes its place: so the drivers of a cluster keep one book
of what each of them asks for, and the book asks for the sum.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any

import ray
import ray.exceptions

from actors.remote import demand_book
from orchestrator.pool.ray_nodes import Need, bounded

MOST_WORKERS = 1024
"""More than this many are not asked for at once: the cluster's own ``max_workers`` is the bound that is meant."""

SILENT_SECONDS = 600.0
"""A driver that has not asked for so long is taken for dead, and what it asked for is taken back."""

LAST_WORD_SECONDS = 10.0
"""How long a driver that ends waits until the book has heard so."""

_log = logging.getLogger(__name__)


class Demand:
    """What this driver asks the cluster for. The book strikes it out should the driver be killed."""

    def __init__(self) -> None:
        self._driver = uuid.uuid4().hex
        self._book: Any = None
        self._answer: Any = None

    def ask(self, wanted: Mapping[Need, int], most: int | None) -> None:
        """Ask for so many workers with each need, ``most`` in all. To be called every now and then as long as it holds."""
        bundles = [need.bundle() for need in bounded(wanted, most or MOST_WORKERS)]
        bundles.sort(key=lambda bundle: sorted(bundle.items()))
        if not bundles and self._book is None:
            return  # nothing was asked for yet
        try:
            if self._book is None or not self._was_heard():
                self._book = demand_book(SILENT_SECONDS)
            self._answer = self._book.ask.remote(self._driver, bundles)
        except ray.exceptions.RayError as error:  # a hint that did not arrive must not end a sweep
            self._book = None
            _log.warning("the cluster could not be asked for %d workers: %s", len(bundles), error)

    def take_back(self) -> None:
        """Ask for nothing: machines without work may go."""
        if self._book is None:
            return
        book, self._book, self._answer = self._book, None, None
        try:
            if ray.get(book.leave.remote(self._driver), timeout=LAST_WORD_SECONDS):
                ray.kill(book)  # a driver that has just asked notices, and begins another
        except ray.exceptions.RayError as error:
            _log.warning("what was asked of the cluster could not be taken back at once: %s", error)

    def _was_heard(self) -> bool:
        """Whether the book lives, as far as its answer to the last request tells."""
        if self._answer is None or not ray.wait([self._answer], timeout=0)[0]:
            return True
        try:
            ray.get(self._answer)
        except ray.exceptions.RayActorError:
            return False
        return True
