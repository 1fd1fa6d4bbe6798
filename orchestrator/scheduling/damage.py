"""The kind of work items that measures damage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from actors.boundary import Ask
from actors.types import DamageJob, Response
from orchestrator.damage import DamageItem, MeasuredDamage
from orchestrator.news import ItemStored, News
from orchestrator.scheduling.jobs import steering_of
from orchestrator.scheduling.work import Records


class DamageKind:
    """What a cell's steering does beside its effect: ``analyses/damage/<id>``."""

    does, folder, several, counted = "measure damage", "analyses/damage", True, False

    def job(self, item: DamageItem, needed: Mapping[str, Any], shared: dict[object, Any]) -> DamageJob:
        """The steering, the neutral prompts and the cell's answers."""
        settings, cell = item.settings, item.cell
        prompts = {prompt.id: prompt for prompt in cell.prompts}
        responses: Sequence[Response] = needed[cell.id] if settings.answers != 0 else ()
        answers = tuple((prompts[one.prompt_id], one.token_ids[: settings.answers]) for one in responses)
        return DamageJob(item.id, steering_of(cell, needed, shared), settings.prompts, settings.tokens, answers)

    def task(self, jobs: Sequence[DamageJob]) -> Ask:
        """All of them share batches, and the unsteered answers to the neutral prompts."""
        return Ask("damage", tuple(jobs))

    def begin(self, records: Records, item: DamageItem, result: bytes, attempt: int) -> Future[Any] | None:
        """They are small."""
        return None

    def store(self, records: Records, item: DamageItem, result: bytes, worker: str, attempt: int) -> News:
        """ValueError when it is not of all neutral prompts, or not finite."""
        found = MeasuredDamage.decode(result)
        if len(found.kl) != len(item.settings.prompts):
            raise ValueError(f"{len(found.kl)} divergences were measured on {len(item.settings.prompts)} prompts")
        if len(found.losses) != (item.cell.rows if item.settings.answers != 0 else 0):
            raise ValueError(f"{len(found.losses)} losses were measured of {item.cell.rows} answers")
        records.analysis(item.kind, item.id, found.encode())
        return ItemStored(item.id, worker, "done")

    def read(self, records: Records, item_id: str) -> bytes | None:
        """As it is."""
        return records.read_analysis(DamageItem.kind, item_id)
