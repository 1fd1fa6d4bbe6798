"""What a scorer of a results folder says of every response: the sweep's own, those beside it, and people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.outcome import Outcome
from orchestrator.results.frames import Frames, asked_once
from orchestrator.results.ratings import ResponseKey, is_rater
from orchestrator.scoring.score import UNREAD

SWEEP = "sweep"
"""The name here of what labels the responses in all tables: what decides on each behavior."""


@dataclass(frozen=True)
class Opinion:
    """What one scorer says of one response, and what that counts as (None: it is none of the labels of what decides)."""

    label: str
    outcome: Outcome | None


@dataclass(frozen=True)
class Opinions:
    """All that ``scorer`` says: labels, or of one that gives numbers ``values``. ``order``: labels, as they are shown.
    ``declared``: the labels that it may give the responses of a cell, used or not, by the cell's id."""

    scorer: str
    said: Mapping[ResponseKey, Opinion] = field(default_factory=dict)
    values: Mapping[ResponseKey, float] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    declared: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def keys(self) -> Sequence[ResponseKey]:
        """The responses that it speaks of."""
        return list(self.said or self.values)


def scorer_names(results: Frames) -> list[str]:
    """All that have judged: ``sweep``, the scorers by id, then the raters."""
    return [SWEEP, *sorted(results.scores["scorer"].unique(), key=lambda one: (is_rater(one), one))]


def named_scorer(results: Frames, name: str) -> Opinions:
    """The scorer of this name, or whose name alone begins so; InputError."""
    known = scorer_names(results)
    begun = [one for one in known if one.startswith(name)]
    if name in known or len(begun) == 1:
        return opinions_of(results, name if name in known else begun[0])
    raise InputError(Problem("scorer", name, "no scorer of this folder", ", ".join(known), nearest_name(name, known)))


def opinions_of(results: Frames, scorer: str) -> Opinions:
    """All that the scorer of this very name says. A rater's labels count as what decides on the behavior says of them."""
    if scorer == SWEEP or is_rater(scorer):  # people are asked for the labels of what decides
        rates = asked_once(results.rates).drop_nulls("outcome")
    else:
        rates = results.rates.filter(scorer=scorer).drop_nulls("label")
    order, declared = tuple(rates["label"].unique(maintain_order=True)), _declared(rates.select("cell_id", "label").iter_rows())
    if scorer == SWEEP:
        columns = ("cell_id", "prompt_id", "sample", "label", "outcome")
        rows = asked_once(results.responses).select(columns).drop_nulls("label").iter_rows()
        return Opinions(
            SWEEP,
            {(cell, prompt, sample): Opinion(label, outcome) for cell, prompt, sample, label, outcome in rows},
            order=order,
            declared=declared,
        )
    scores = results.scores.filter(results.scores["scorer"] == scorer).select("cell_id", "prompt_id", "sample", "label", "value")
    values = {(cell, prompt, sample): value for cell, prompt, sample, _, value in scores.drop_nulls("value").iter_rows()}
    outcomes = _outcomes(results) if is_rater(scorer) else {}
    labels = scores.drop_nulls("label").iter_rows()
    said = {(cell, prompt, sample): Opinion(label, outcomes.get((cell, label))) for cell, prompt, sample, label, _ in labels}
    return Opinions(scorer, said, values, order, declared)


def _declared(rates: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """The labels that may be given, by cell: ``rates`` has a cell and a label for each. Those that stand for nothing to score are
    left out: they have a row only where a response has them."""
    found: dict[str, set[str]] = {}
    for cell_id, label in rates:
        found.setdefault(cell_id, set()).add(label)
    return {cell_id: frozenset(labels.difference(UNREAD)) for cell_id, labels in found.items()}


def _outcomes(results: Frames) -> dict[tuple[str, str], Outcome]:
    """What a label of what decides on a cell counts as, by cell and label."""
    rows = asked_once(results.rates).drop_nulls("outcome").select("cell_id", "label", "outcome").iter_rows()
    return {(cell_id, label): outcome for cell_id, label, outcome in rows}


def shared(first: Opinions, second: Opinions) -> Sequence[ResponseKey]:
    """The responses that both judge, in the first's order."""
    there = set(second.keys)
    return [key for key in first.keys if key in there]
