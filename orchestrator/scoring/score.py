"""What a scorer says of one answer, what it may say at all, and the protocol that every scorer follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Score:
    """What one scorer says of one answer: a ``label``, or a ``value`` on its scale; the other one is None, and
    both are where a scorer of the user's own has failed.

    ``evidence`` is a JSON object: what decided. ``scorer`` is the scorer's id.
    """

    prompt_id: str
    label: str | None
    value: float | None
    evidence: str
    scorer: str


@dataclass(frozen=True)
class Labels:
    """The labels that a scorer may give, in the order in which they are shown. ``target``: the one that shows the behavior
    where the sweep names none."""

    names: tuple[str, ...]
    target: str | None = None


@dataclass(frozen=True)
class Scale:
    """What the numbers of a numeric scorer count or measure: ``unit`` in words, ``low`` and ``high`` (None: no bound)."""

    unit: str
    low: float | None = None
    high: float | None = None


class Scorer(Protocol):
    """Scores an answer from its text; deterministic."""

    @property
    def id(self) -> str:
        """What the scores depend on beside the text: the kind, its version, and its options, see ``options.scorer_id``."""

    @property
    def says(self) -> Labels | Scale:
        """All that it may say."""

    def score(self, prompt_id: str, prompt: str, answer: str) -> Score:
        """The score of ``answer``: what the model said after its thoughts."""
