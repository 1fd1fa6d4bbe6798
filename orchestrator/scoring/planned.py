"""What scores the behaviors of a sweep, as ``plan.json`` names it: ids and words alone, no rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Target = str | Mapping[str, float] | None
"""A label, or a threshold as it is written; None: the label that the scorer itself declares."""

OF_THE_POOL = frozenset({"pool_judge", "linear_probe"})
"""Scorers that a model of the sweep stands behind, by the names of their kinds: ids begin with these."""


def replies_of(scorer: str) -> str:
    """Under which name replies to the scorer of that id are kept: what a linear probe reads does not depend on what is made of
    it, which the end of its id names."""
    return scorer.partition(".")[0] if scorer.startswith("linear_probe@") else scorer


@dataclass(frozen=True)
class Criterion:
    """What counts as success of a behavior: that ``scorer`` gave the ``target`` to an answer that ``coherence`` found to be
    language. Both are ids of scorers. ``shown``: what the tables call the scorer's labels where that is another word."""

    scorer: str
    coherence: str
    target: Target = None
    shown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ScorerUse:
    """A scorer by its ``name``, its options as they were written, and the ``id`` of what was made of them. A file of the user's
    own is named relative to the sweep file."""

    name: str
    options: Mapping[str, object]
    id: str = ""


@dataclass(frozen=True)
class BehaviorScoring:
    """The scorers of a behavior, of which the ``criterion`` says what counts as success: the first one's target."""

    scorers: tuple[ScorerUse, ...]
    criterion: Criterion

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all its scorers, each once; what tells language from none is among them."""
        return tuple(dict.fromkeys((*(use.id for use in self.scorers), self.criterion.coherence)))

    @property
    def deciding(self) -> tuple[str, ...]:
        """Of those that decide what a response counts as."""
        return tuple(dict.fromkeys((self.criterion.scorer, self.criterion.coherence)))


def scoring_item(scorer: str, cell_id: str) -> str:
    """The id of the item that one scorer's scores of one cell are; the cell's comes first."""
    return f"{cell_id}.{scorer}"


def decode_scoring(stored: Mapping[str, Any]) -> BehaviorScoring:
    """A behavior's scoring of ``plan.json``; KeyError, TypeError where it is none. Plans of earlier versions name one scorer."""
    if "criterion" not in stored:
        use = ScorerUse(stored["name"], stored["options"])
        return BehaviorScoring((use,), Criterion("", "", stored.get("target")))
    return BehaviorScoring(tuple(ScorerUse(**use) for use in stored["scorers"]), Criterion(**stored["criterion"]))
