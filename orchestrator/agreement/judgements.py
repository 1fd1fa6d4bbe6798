"""What every scorer of a results folder says of every response: the sweep's own, those beside it, and people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.outcome import Outcome
from orchestrator.results.folder import Folder
from orchestrator.results.frames import Results
from orchestrator.results.ratings import ResponseKey, rater_scorer, ratings_of
from orchestrator.results.rows import digest_of

SWEEP = "sweep"
"""The name here of what labels the responses in all tables: the scorer of each behavior."""


@dataclass(frozen=True)
class Judgement:
    """What one scorer says of one response, and what it counts as."""

    label: str
    outcome: Outcome


@dataclass(frozen=True)
class Judged:
    """All that ``scorer`` says. ``order``: its labels, as they are shown."""

    scorer: str
    said: Mapping[ResponseKey, Judgement]
    order: tuple[str, ...] = ()


def judgements_of(folder: Folder, results: Results) -> dict[str, Judged]:
    """By the scorer's name: ``sweep``, then the raters."""
    columns = ("cell_id", "prompt_id", "label", "outcome", "response", "classifier")
    said: dict[ResponseKey, Judgement] = {}
    texts: dict[ResponseKey, tuple[str, str]] = {}
    for cell_id, prompt_id, label, outcome, response, classifier in results.responses.select(columns).iter_rows():
        if label is not None:
            said[cell_id, prompt_id] = Judgement(label, outcome)
            texts[cell_id, prompt_id] = response, classifier
    rates = results.rates.drop_nulls("outcome")  # of what decides
    order = tuple(rates["label"].unique(maintain_order=True))
    outcomes = {(scorer, label): outcome for scorer, label, outcome in rates.select("scorer", "label", "outcome").iter_rows()}
    found = {SWEEP: Judged(SWEEP, said, order)}
    for rater, ratings in ratings_of(folder).items():
        current: dict[ResponseKey, Judgement] = {}
        for key, one in ratings.items():
            response, classifier = texts.get(key, ("", ""))
            outcome = outcomes.get((classifier, one.label))
            if one.label is not None and outcome is not None and digest_of(response) == one.response_sha256:
                current[key] = Judgement(one.label, outcome)
        found[rater_scorer(rater)] = Judged(rater_scorer(rater), current, order)
    return found


def named_scorer(found: Mapping[str, Judged], name: str) -> Judged:
    """The scorer of this name, or whose name alone begins so; InputError."""
    begun = [one for one in found if one.startswith(name)]
    if name in found or len(begun) == 1:
        return found[name if name in found else begun[0]]
    raise InputError(Problem("scorer", name, "no scorer of this folder", ", ".join(found), nearest_name(name, found)))


def shared(first: Judged, second: Judged) -> Sequence[ResponseKey]:
    """The responses that both judge, in the first's order."""
    return [key for key in first.said if key in second.said]
