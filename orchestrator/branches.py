"""A branch of the hub may move during a sweep or between its runs: all answers of a results folder are of one commit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from actors.boundary import Load, Task
from actors.types import ModelSpec
from orchestrator.models.files import is_pinned
from orchestrator.plan import Plan
from orchestrator.pool import Event, Loaded, Pool
from orchestrator.pool.around import PoolAround
from orchestrator.results.store import Store
from orchestrator.storage import UnreadableFileError

Branch = tuple[str, str | None]
"""A hub repository and a branch or tag of it."""


class OneCommitPool(PoolAround):
    """``pool``, whose workers load a branch at its commit in ``commits``, or where none is known at that of the first."""

    def __init__(self, pool: Pool, commits: Mapping[Branch, str]) -> None:
        super().__init__(pool)
        self._commits = dict(commits)
        self._loading: dict[str, Branch] = {}

    def submit(self, worker: str, task: Task) -> None:
        """As the pool; a load of a branch becomes one of its commit."""
        branch = branch_of(task.spec) if isinstance(task, Load) else None
        if branch is not None and isinstance(task, Load):
            self._loading[worker] = branch
            if branch in self._commits:
                task = replace(task, spec=replace(task.spec, revision=self._commits[branch]))
        self._pool.submit(worker, task)

    def next_event(self, timeout: float | None) -> Event | None:
        """As the pool; what was loaded first is remembered."""
        event = self._pool.next_event(timeout)
        if isinstance(event, Loaded) and event.worker in self._loading:
            branch, commit = self._loading.pop(event.worker), event.info.provenance.get("model_commit")
            if commit:
                self._commits.setdefault(branch, commit)
        return event


def branch_of(spec: ModelSpec) -> Branch | None:
    """The branch that a model is taken from; None for one that cannot move."""
    return (spec.location, spec.revision) if spec.source == "hub" and not is_pinned(spec.revision) else None


def commits_in(plan: Plan, store: Store) -> dict[Branch, str]:
    """The commits that the finished directions and cells of a results folder are of, for the branches that ``plan`` names."""
    branches = {branch for model in plan.models if (branch := branch_of(model.spec)) is not None}
    found: dict[Branch, str] = {}
    for branch, commit in _recorded(plan, store) if branches else ():
        if branch in branches and is_pinned(commit):
            found.setdefault(branch, commit)
    return found


def _recorded(plan: Plan, store: Store) -> Iterator[tuple[Branch, str]]:
    done = store.done_directions()
    for direction in plan.directions:
        branch = branch_of(direction.model)
        if branch is not None and direction.id in done:
            try:
                yield branch, store.kept_direction(direction.id).record.get("model_commit", "")
            except (FileNotFoundError, UnreadableFileError):
                continue  # it will be extracted anew
    for row in store.cell_rows():
        yield (row.location, row.revision), str(json.loads(row.provenance).get("model_commit", ""))
