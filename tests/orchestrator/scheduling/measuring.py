"""A third kind of work items, as somebody would add it: one file, and its line in ``KINDS``.

It asks the worker for something else than directions or answers, needs a direction or a cell, and leaves a file in
``analyses/measuring``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from actors.boundary import Answered, Ask, Task, as_failure
from actors.errors import JobError
from actors.types import DirectionSet, Failure, ModelSpec
from orchestrator.cells import Cell, DirectionSpec, content_id, variant_id
from orchestrator.news import ItemStored, News
from orchestrator.scheduling.work import Records
from tests.fakes import FakeWorker


@dataclass(frozen=True)
class Measuring:
    """How large another item's result is to a model; ``text`` may be a cue."""

    model: ModelSpec
    of: DirectionSpec | Cell
    text: str = ""
    kind: ClassVar[str] = "measuring"
    rows: ClassVar[int] = 1
    budget: ClassVar[int] = 1

    @property
    def id(self) -> str:
        """Content id."""
        return content_id("measuring", {"model": variant_id(self.model), "of": self.of.id, "text": self.text})

    @property
    def variant(self) -> str:
        """The model that it is measured in."""
        return variant_id(self.model)

    @property
    def needs(self) -> tuple[str, ...]:
        """What it measures."""
        return (self.of.id,)


@dataclass(frozen=True)
class MeasuringJob:
    """What crosses to the worker."""

    item_id: str
    size: int
    text: str


class MeasuringKind:
    """As ``WorkKind`` has it."""

    does, folder, several, counted = "measure", "analyses/measuring", True, False

    def job(self, item: Measuring, needed: Mapping[str, Any], shared: dict[object, Any]) -> MeasuringJob:
        """The number of layers or responses, from the other item's file."""
        found = needed[item.of.id]
        return MeasuringJob(item.id, len(found.directions if isinstance(found, DirectionSet) else found), item.text)

    def task(self, jobs: Sequence[MeasuringJob]) -> Task:
        """Many at once."""
        return Ask("measure", tuple(jobs))

    def begin(self, records: Records, item: Measuring, result: bytes, attempt: int) -> None:
        """They are small."""

    def store(self, records: Records, item: Measuring, result: bytes, worker: str, attempt: int) -> News:
        """As it is."""
        records.analysis(item.kind, item.id, result)
        return ItemStored(item.id, worker, "done")

    def read(self, records: Records, item_id: str) -> bytes | None:
        """As it is."""
        return records.read_analysis("measuring", item_id)


class MeasuringWorker(FakeWorker):
    """A worker that can do it."""

    def measure(self, jobs: Sequence[MeasuringJob]) -> Iterator[Answered | Failure]:
        """One answer for each job."""
        for job in jobs:
            self.act_on_cue(job.text)
            if "[job error]" in job.text:
                yield as_failure(job.item_id, JobError("cannot be measured"))
            else:
                yield Answered(job.item_id, f"{job.size} things".encode())
