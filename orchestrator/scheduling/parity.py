"""The kind of work items that compare tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from actors.boundary import Ask, Job
from orchestrator.news import ItemStored, News
from orchestrator.parity.findings import parity_arrays
from orchestrator.parity.study import ParityItem
from orchestrator.scheduling.work import Records


class ParityKind:
    """What a tool reads of a model, or makes it answer, and what planted mistakes do: ``analyses/parity/<id>``, an ``.npz``."""

    does, folder, several, counted = "compare tools", f"analyses/{ParityItem.kind}", False, False

    def job(self, item: ParityItem, needed: Mapping[str, Any], shared: dict[object, Any]) -> Job:
        """As the item says it."""
        return item.job

    def task(self, jobs: Sequence[Job]) -> Ask:
        """One of them: a tool may take minutes to install."""
        return Ask("parity", tuple(jobs))

    def begin(self, records: Records, item: ParityItem, result: bytes, attempt: int) -> Future[Any] | None:
        """There are few of them."""
        return None

    def store(self, records: Records, item: ParityItem, result: bytes, worker: str, attempt: int) -> News:
        """ValueError when it is no file of arrays."""
        parity_arrays(result)
        records.analysis(item.kind, item.id, result)
        return ItemStored(item.id, worker, "done")

    def read(self, records: Records, item_id: str) -> None:
        """Nobody needs them."""
        return
