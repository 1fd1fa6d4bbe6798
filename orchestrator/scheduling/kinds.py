"""The kinds of work items that there are. Nobody else asks what kind an item is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from actors.boundary import Ask, Extract, Generate
from actors.errors import JobError
from actors.types import CapabilityJob, CellResult, DirectionSet, ExtractionJob, GenerationJob, JudgeJob, Response
from orchestrator.capability import CapabilityItem
from orchestrator.cells import Cell, DirectionSpec
from orchestrator.counting import counted
from orchestrator.judging import JudgingItem
from orchestrator.news import CellStored, ItemStored, News
from orchestrator.results.capability import CAPABILITIES, encode_capability
from orchestrator.scheduling.damage import DamageKind
from orchestrator.scheduling.jobs import extraction_job, generation_job, steering_of
from orchestrator.scheduling.measuring import MeasuringKind
from orchestrator.scheduling.parity import ParityKind
from orchestrator.scheduling.work import Records, WorkKind
from orchestrator.scoring.answer import answer_of


class ExtractionKind:
    """A direction set from one model's activations: ``directions/<id>.safetensors``."""

    does, folder, several, counted = "extract", "directions", False, False

    def job(self, item: DirectionSpec, needed: Mapping[str, Any], shared: dict[object, Any]) -> ExtractionJob:
        """The contrast prompts and the method."""
        return extraction_job(item)

    def task(self, jobs: Sequence[ExtractionJob]) -> Extract:
        """One extraction: others wait for it."""
        return Extract(jobs[0])

    def begin(self, records: Records, item: DirectionSpec, result: DirectionSet, attempt: int) -> Future[Any] | None:
        """There are few of them."""
        return None

    def store(self, records: Records, item: DirectionSpec, result: DirectionSet, worker: str, attempt: int) -> News:
        """ValueError when it is not finite."""
        records.direction(item, result)
        return ItemStored(item.id, worker, "extracted")

    def read(self, records: Records, item_id: str) -> DirectionSet | None:
        """The directions of all layers."""
        return records.read_direction(item_id)


class GenerationKind:
    """The responses of a cell: ``responses/<id>.parquet``."""

    does, folder, several, counted = "generate", "responses", True, True

    def job(self, item: Cell, needed: Mapping[str, DirectionSet], shared: dict[object, Any]) -> GenerationJob:
        """Its rows. Equal vectors of a task are one array, so they cross the wire once."""
        return generation_job(item, steering_of(item, needed, shared))

    def task(self, jobs: Sequence[GenerationJob]) -> Generate:
        """The rows of all of them share one batch."""
        return Generate(tuple(jobs))

    def begin(self, records: Records, item: Cell, result: CellResult, attempt: int) -> Future[Any] | None:
        """By a thread of its own."""
        return records.begin(item, result, attempt)

    def store(self, records: Records, item: Cell, result: CellResult, worker: str, attempt: int) -> News:
        """Its scores follow by themselves. ValueError when the responses are not those of its prompts."""
        records.cell(item, result, attempt)
        return CellStored(item, result)

    def read(self, records: Records, item_id: str) -> Sequence[Response] | None:
        """The responses."""
        return records.read_cell(item_id)


class JudgingKind:
    """The scores that a scorer of the pool gives a cell, ``scores/<scorer>/<cell id>.parquet``: made of the replies that are
    kept."""

    does, folder, several, counted = "judge", "scores", True, False

    def job(self, item: JudgingItem, needed: Mapping[str, Sequence[Response]], shared: dict[object, Any]) -> JudgeJob:
        """The questions that have no reply yet."""
        kept = shared[Records].judgements(item.judge.id)
        answers = [answer_of(one, item.judge.reads) for one in needed[item.cell.id]]
        questions = item.judge.questions([one for one in answers if one.missing is None])
        return item.judge.job(item.id, {key: asked for key, asked in questions.items() if not item.judge.usable(kept.get(key))})

    def task(self, jobs: Sequence[JudgeJob]) -> Ask:
        """All questions share a batch."""
        return Ask("judge", tuple(jobs))

    def begin(self, records: Records, item: JudgingItem, result: bytes, attempt: int) -> Future[Any] | None:
        """A reply is kept before anything is made of it."""
        return None

    def store(self, records: Records, item: JudgingItem, result: bytes, worker: str, attempt: int) -> News:
        """Whoever hears of it makes the scores. ValueError when what was measured is not what was asked for; JobError when some
        questions failed, after the replies to the others are kept."""
        kept = records.judgements(item.judge.id)
        replies, failed = item.judge.verdicts(result), item.judge.failed(result)
        kept.update({key: one for key, one in replies.items() if not item.judge.usable(kept.get(key))})
        if failed:
            raise JobError(_failed_questions(item, records.read_cell(item.cell.id) or (), failed, len(failed) + len(replies)))
        return ItemStored(item.id, worker, "done")

    def read(self, records: Records, item_id: str) -> None:
        """Nobody needs them."""
        return


def _failed_questions(item: JudgingItem, responses: Sequence[Response], failed: Mapping[str, str], of: int) -> str:
    """How many of the questions ``failed``, one prompt's id, and why."""
    answers = (answer_of(one, item.judge.reads) for one in responses)
    asked = ((one.prompt_id, item.judge.questions([one])) for one in answers if one.missing is None)
    name = next((prompt_id for prompt_id, keys in asked if not failed.keys().isdisjoint(keys)), None)
    such = "" if name is None else f", such as that on the answer to {name}"
    return f"{len(failed)} of {counted(of, 'question')} failed{such}: {next(iter(failed.values()))}"


class CapabilityKind:
    """What a task of lm-evaluation-harness gives under a steering: ``analyses/capability/<id>``, a JSON object."""

    does, folder, several, counted = "test", CAPABILITIES, False, False

    def job(self, item: CapabilityItem, needed: Mapping[str, DirectionSet], shared: dict[object, Any]) -> CapabilityJob:
        """The task under its steering."""
        steering = steering_of(item.cell, needed, shared)
        return CapabilityJob(item.id, steering, item.task.file or item.task.name, item.limit, item.shots)

    def task(self, jobs: Sequence[CapabilityJob]) -> Ask:
        """One task of the harness at a time, whose documents share batches."""
        return Ask("capability", tuple(jobs))

    def begin(self, records: Records, item: CapabilityItem, result: bytes, attempt: int) -> Future[Any] | None:
        """There are few of them."""
        return None

    def store(self, records: Records, item: CapabilityItem, result: bytes, worker: str, attempt: int) -> News:
        """With what they are of. ValueError when it is no result."""
        records.analysis(item.kind, item.id, encode_capability(item, result))
        return ItemStored(item.id, worker, "done")

    def read(self, records: Records, item_id: str) -> None:
        """Nobody needs them."""
        return


KINDS: dict[str, WorkKind] = {
    "extraction": ExtractionKind(),
    "generation": GenerationKind(),
    "judging": JudgingKind(),
    "capability": CapabilityKind(),
    "damage": DamageKind(),
    "activations": MeasuringKind("read activations", "activations"),
    "shifts": MeasuringKind("measure shifts", "shifts"),
    "divergences": MeasuringKind("measure divergences", "divergences"),
    "parity": ParityKind(),
}
"""Every kind by its name; a further one adds its line here."""


BEFORE_CELLS = ("extraction", "generation")
"""The kinds of items that a sweep has for its answers; all others are about stored answers and cells."""


def left_text(kinds: Iterable[str]) -> str:
    """``12 items to measure damage, 1 item to test``: one kind for each item that is left; empty for none."""
    counts = Counter(kind for kind in kinds if kind not in BEFORE_CELLS)
    return ", ".join(f"{count:,} item{'s' if count > 1 else ''} to {KINDS[kind].does}" for kind, count in counts.items())


def item_folders() -> set[str]:
    """Where the files of items lie: one that has its file is done."""
    return {kind.folder for kind in KINDS.values()}
