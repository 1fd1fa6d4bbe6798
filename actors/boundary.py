"""Where driver and worker meet: a task goes in, outcomes come out one by one, and no exception crosses but the worker's end.

Both pools run a task through ``perform``, in the process that holds the model, so an error means the same in both.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import socket
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from actors.errors import DeviceLostError, JobError, ModelLoadError, NotHereError, OutOfMemoryError, WorkerError
from actors.faults import Fault, fault_of
from actors.remarks import Remark, Remarks
from actors.types import (
    FAILED,
    CellResult,
    DirectionSet,
    EngineOptions,
    ExtractionJob,
    Failure,
    GenerationJob,
    ModelInfo,
    ModelSpec,
    Resources,
    Underway,
)
from actors.use import Use, UseMeter

TRACEBACK_CHARACTERS = 20_000
UNDERWAY_SECONDS = 2.0
"""A worker that generates says in this time how far it is, if there is nothing else to say."""


@dataclass(frozen=True)
class Load:
    """Put the model of ``spec`` into the worker (in place of what it holds); ``variant`` names it in a failure; ``avoid``:
    machines, by their ids, on which it could not be loaded."""

    variant: str
    spec: ModelSpec
    engine: EngineOptions
    resources: Resources
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Extract:
    """Extract one direction set from the model that the worker holds."""

    job: ExtractionJob


@dataclass(frozen=True, eq=False)
class Generate:
    """Answer the rows of many cells in one batch with the model that the worker holds."""

    jobs: tuple[GenerationJob, ...]


class Job(Protocol):
    """What one item asks of a worker."""

    @property
    def item_id(self) -> str:
        """The item that it is of."""
        ...


@dataclass(frozen=True, eq=False)
class Ask:
    """Anything else that a worker can do with the model that it holds: its method ``what`` takes the jobs and gives, for each, an
    ``Answered`` with the bytes of its file, or a ``Failure``."""

    what: str
    jobs: tuple[Job, ...]


Task = Load | Extract | Generate | Ask


@dataclass(frozen=True)
class Answered:
    """What a job gives to its item: a ``DirectionSet``, a ``CellResult``, or the bytes of another kind's file."""

    item_id: str
    content: Any


Result = ModelInfo | Answered | Failure
Outcome = Result | Underway | Remark | Use
"""What comes out of a task: one result for each of its items, and between them how far it is, what the worker logged and what it
uses."""


class Worker(Protocol):
    """Holds at most one model; ``actors.worker.ModelWorker`` is the real one."""

    def load(self, spec: ModelSpec, engine: EngineOptions) -> ModelInfo:
        """Load a model; raises ``ModelLoadError``."""
        ...

    def extract(self, job: ExtractionJob) -> DirectionSet:
        """Extract one direction set."""
        ...

    def generate(self, jobs: Sequence[GenerationJob], often: float) -> Iterator[CellResult | Failure | Underway]:
        """One outcome per job, in the order in which they finish, and how far they are where there is none for ``often`` s."""
        ...


def make_worker(path: str) -> Worker:
    """An instance of the worker class at ``module:name``; the import is what brings torch into a process."""
    module, _, name = path.partition(":")
    worker: Worker = getattr(importlib.import_module(module), name)()
    return worker


def here() -> dict[str, str]:
    """Where a worker runs: its machine and process, for whoever looks for it."""
    return {"host": socket.gethostname(), "pid": str(os.getpid())}


def item_ids(task: Task) -> tuple[str, ...]:
    """The items that ``task`` is to give an outcome for: the variant, the extraction job, or the cells."""
    match task:
        case Load():
            return (task.variant,)
        case Extract():
            return (task.job.job_id,)
        case Generate() | Ask():
            return tuple(job.item_id for job in task.jobs)


def perform(worker: Callable[[], Worker], task: Task, meter: UseMeter | None = None) -> Iterator[Outcome]:
    """Run ``task``, giving each result as soon as it is there: exactly one for each of ``item_ids(task)``. What the worker
    logged on the way comes as remarks before the result that it led to; what its process uses, by ``meter``, after a result.

    ``worker`` gives the worker, which it makes when it is asked first: what keeps torch from being imported is told like
    anything else that keeps a model from being loaded.

    An error that ends the whole task becomes a failure of every item still open. When there are several, nobody knows
    which one is to blame, so these failures are retryable: the scheduler runs each of them again alone.

    Raises ``DeviceLostError`` where nothing more can be run in this process: the open items are nobody's fault.
    """
    with Remarks() as remarks:
        for result in _results(worker, task):
            yield from remarks.taken()
            yield result
            if meter is not None:
                yield from meter.due()
        yield from remarks.taken()


def _results(worker: Callable[[], Worker], task: Task) -> Iterator[Result | Underway]:
    open_items = dict.fromkeys(item_ids(task))
    try:
        for result in _raw_results(worker(), task):
            if not isinstance(result, Underway):
                open_items.pop(item_ids(task)[0] if isinstance(result, ModelInfo) else result.item_id, None)
            yield result
        if open_items:
            raise JobError(f"the worker returned without an outcome for {', '.join(open_items)}")
    except Exception as error:  # the one broad except: whatever a job raises becomes a failure row
        if fault_of(error) is Fault.DEVICE:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise DeviceLostError(f"its device can no longer be used by this process: {said[0]}") from error
        for item_id in open_items:
            yield as_failure(item_id, error, shared=len(open_items) > 1)


def as_failure(item_id: str, error: Exception, shared: bool = False) -> Failure:
    """``error`` as a failure row of ``item_id``; ``shared``: it ended other items too, so it may not be this one's fault."""
    kind, retryable = _nature(error)
    return Failure(
        item_id=item_id,
        kind=kind,
        message=str(error) or type(error).__name__,
        traceback="".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:],
        retryable=shared or retryable,
    )


def outcome_of(item_id: str, found: Mapping[str, dict[str, object] | WorkerError]) -> Answered | Failure:
    """A job's outcome, of what was ``found`` to each of its questions, by their keys. A question that failed costs no other: the
    ``Answered`` holds its message, ``{"failed": ...}``; the job fails where all did."""
    errors = [one for one in found.values() if isinstance(one, WorkerError)]
    if errors and len(errors) == len(found):
        return as_failure(item_id, errors[0])
    told = {key: {FAILED: str(one)} if isinstance(one, WorkerError) else one for key, one in found.items()}
    return Answered(item_id, json.dumps(told, allow_nan=False).encode())


def _nature(error: Exception) -> tuple[str, bool]:
    """The kind of an error, and whether its item may be tried again."""
    fault = fault_of(error)
    if fault is Fault.MEMORY:
        return OutOfMemoryError.kind, OutOfMemoryError.retryable
    if fault is Fault.MACHINE and type(error) is ModelLoadError:
        return NotHereError.kind, False
    if isinstance(error, WorkerError):
        return error.kind, error.retryable
    return type(error).__name__, False


def _raw_results(worker: Worker, task: Task) -> Iterator[Result | Underway]:
    match task:
        case Load():
            asked = task.resources
            share = asked.gpus if 0 < asked.gpus < 1 else 1.0
            devices = math.ceil(asked.gpus)
            engine = replace(task.engine, devices=devices, gpu_memory=asked.gpu_memory, gpu_share=share)
            info = worker.load(task.spec, engine)
            yield replace(info, provenance={**here(), **info.provenance})
        case Extract():
            yield Answered(task.job.job_id, worker.extract(task.job))
        case Generate():
            for one in worker.generate(task.jobs, UNDERWAY_SECONDS):
                yield Answered(one.cell_id, one) if isinstance(one, CellResult) else one
        case Ask():
            yield from getattr(worker, task.what)(task.jobs)
