"""What a plan has beside cells and directions, as the results folder keeps it: analyses, and pairs that are not run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from orchestrator.errors import InputError, Problem


@dataclass(frozen=True)
class PlannedAnalysis:
    """An analysis by its ``name`` in ``ANALYSES``, of a model (as the plan names it) and a behavior. ``options``: those that a
    sweep file gives. ``needs``: the ids of what workers measure for it, by the part that it has in the analysis.

    Its prompts: the first so many are ``positive``, the others negative; or with a ``cell_id`` they are classed by the answers of
    this unsteered cell. ``prompts``: their ids; ``categories``: of each (None: none).
    ``method``: what found the direction that is added (empty: none is), ``kept``: the layers that are looked at then.
    """

    name: str
    model: str = ""
    behavior: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    positive: int = 0
    cell_id: str = ""
    prompts: tuple[str, ...] = ()
    method: str = ""
    kept: tuple[int, ...] = ()
    categories: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class IncomparablePair:
    """A transfer pair (models by their names in the plan) that is not run, with both widths (d_model) and the reason in words."""

    source: str
    target: str
    source_width: int
    target_width: int
    reason: str


def twin_text(name: str, first: str) -> str:
    """That the model ``name`` has no rows of its own."""
    return f"models {first} and {name} are the same model: it runs once, and its rows say {first}, none says {name}"


def twin_texts(twins: Mapping[str, str]) -> list[str]:
    """The same of every name that stands for the model of an earlier one."""
    return [twin_text(*pair) for pair in twins.items()]


@contextmanager
def twins_told(twins: Mapping[str, str]) -> Iterator[None]:
    """An InputError for a value that is such a name says so."""
    try:
        yield
    except InputError as error:
        raise InputError(*(_with_twin(one, twins) for one in error.problems)) from error


def _with_twin(problem: Problem, twins: Mapping[str, str]) -> Problem:
    first = twins.get(str(problem.value))
    if first is None:
        return problem
    return replace(problem, message=f"{problem.message}: {twin_text(str(problem.value), first)}", nearest=first)
