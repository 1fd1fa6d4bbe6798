"""Runs what is missing of a study, in this process, one form of the model after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import groupby

from actors.boundary import Answered, Ask, Load, Worker, make_worker, perform
from actors.errors import HungError
from actors.parity.jobs import ReadJob, SteerJob
from actors.types import EngineOptions, Failure, ModelSpec, Resources
from orchestrator.cells import variant_id
from orchestrator.parity.folder import ParityFolder
from orchestrator.parity.study import ParityItem, ParityStudy

Tell = Callable[[str], None]

WORKER = "actors.worker:ModelWorker"


def run_study(study: ParityStudy, folder: ParityFolder, tell: Tell, worker: str = WORKER) -> dict[str, str]:
    """Make every missing file; why there is none, by id, of the items that failed. These are tried again the next time."""
    failed: dict[str, str] = {}
    with folder.files.exclusive():
        missing = missing_of(study, folder)
        made = cache(partial(make_worker, worker))
        for spec, items in groupby(sorted(missing, key=lambda item: variant_id(item.spec)), key=lambda item: item.spec):
            failed |= _run_form(made, spec, list(items), folder, tell)
    return failed


def missing_of(study: ParityStudy, folder: ParityFolder) -> list[ParityItem]:
    """What of a study is still to be run."""
    return [item for item in study.items if folder.read(item.id) is None]


def _run_form(
    worker: Callable[[], Worker], spec: ModelSpec, items: Sequence[ParityItem], folder: ParityFolder, tell: Tell
) -> dict[str, str]:
    load = Load(variant_id(spec), spec, EngineOptions(), Resources())
    for outcome in perform(worker, load):
        if isinstance(outcome, Failure):
            tell(f"the model in {spec.dtype}: {outcome.message}")
            return {item.id: outcome.message for item in items}
    failed: dict[str, str] = {}
    hung: dict[str, str] = {}
    for item in items:
        if (name := _tool_of(item)) in hung:
            failed[item.id] = hung[name]
            continue
        for result in _results(perform(worker, Ask("parity", (item.job,)))):
            if isinstance(result, Failure):
                failed[item.id] = result.message
                if result.kind == HungError.kind:
                    hung[name] = f"{result.message}; it was not asked again"
                tell(f"{item.title}: {result.message}")
            else:
                folder.write(item, result.content)
                tell(f"{item.title} ({spec.dtype})")
    return failed


def _tool_of(item: ParityItem) -> str:
    """The name of what runs it: a tool's or a command's, else none."""
    job = item.job
    return "\0".join((job.tool, *job.command)) if isinstance(job, ReadJob | SteerJob) else ""


def _results(outcomes: Iterator[object]) -> Iterator[Answered | Failure]:
    return (one for one in outcomes if isinstance(one, Answered | Failure))
