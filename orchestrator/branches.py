"""A branch of the hub may move during a sweep or between its runs: all answers of a results folder are of one commit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from actors.types import ModelInfo, ModelSpec
from orchestrator.models.files import is_pinned
from orchestrator.plan import Plan
from orchestrator.results.store import Store
from orchestrator.storage import UnreadableFileError

Branch = tuple[str, str | None]
"""A hub repository and a branch or tag of it."""


class Commits:
    """At which commit each branch is loaded: the one in ``known``, or where none is known that of the first load."""

    def __init__(self, known: Mapping[Branch, str] | None = None) -> None:
        self._known = dict(known or {})

    def pinned(self, spec: ModelSpec) -> ModelSpec:
        """The model at the commit of its branch, once that is known."""
        commit = self._known.get(branch_of(spec) or ("", None))
        return spec if commit is None else replace(spec, revision=commit)

    def learn(self, spec: ModelSpec, info: ModelInfo) -> None:
        """The model was loaded: its branch stays at that commit from now on."""
        branch, commit = branch_of(spec), info.provenance.get("model_commit")
        if branch is not None and commit:
            self._known.setdefault(branch, commit)


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
