"""The kind of work items that measure something for analyses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from actors.boundary import Ask, Job
from orchestrator.measuring import MeasuringItem, arrays_of
from orchestrator.news import ItemStored, News
from orchestrator.scheduling.work import Records


class MeasuringKind:
    """Numbers by prompt, in ``analyses/<kind>/<id>``. ``does``: what a worker is said to do, ``what``: its method."""

    several, counted = True, False

    def __init__(self, does: str, what: str) -> None:
        self.does, self.what, self.folder = does, what, f"analyses/{what}"

    def job(self, item: Any, needed: Mapping[str, Any], shared: dict[object, Any]) -> Job:
        """As the item says it."""
        job: Job = item.job(needed)
        return job

    def task(self, jobs: Sequence[Job]) -> Ask:
        """All of them."""
        return Ask(self.what, tuple(jobs))

    def begin(self, records: Records, item: MeasuringItem, result: bytes, attempt: int) -> Future[Any] | None:
        """There are few of them."""
        return None

    def store(self, records: Records, item: MeasuringItem, result: bytes, worker: str, attempt: int) -> News:
        """ValueError when it is not of all that was asked, or not finite."""
        item.check(arrays_of(result))
        records.analysis(item.kind, item.id, result)
        return ItemStored(item.id, worker, "done")

    def read(self, records: Records, item_id: str) -> bytes | None:
        """As it is."""
        return records.read_analysis(self.what, item_id)
