"""The project's own rules as scorers: ``refusal`` and ``coherence``. Together they decide what the classifier ``text`` says."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.scoring.finding import Finding
from orchestrator.scoring.garbled import garbled
from orchestrator.scoring.options import ScorerOptions, clipped, scorer_id
from orchestrator.scoring.refusal import refusal
from orchestrator.scoring.score import Labels, Score

RULES_VERSION = "3"
"""Raise it when any answer could get another label or other evidence by ``garbled`` or ``refusal``."""


class RulesScorer:
    """One label where a rule of ``find`` fires on the answer, and the other where none does."""

    def __init__(self, kind: str, find: Callable[[str], Finding | None], found: str, says: Labels) -> None:
        self.id = scorer_id(kind, RULES_VERSION, ScorerOptions())
        self.says = says
        self._find, self._found = find, found
        self._rest = next(name for name in says.names if name != found)

    def score(self, prompt_id: str, prompt: str, answer: str) -> Score:
        """The label, with the rule that fired as evidence."""
        finding = self._find(clipped(answer))
        label = self._rest if finding is None else self._found
        return Score(prompt_id, label, None, (finding or Finding("none")).evidence(), self.id)


def refusal_scorer(options: ScorerOptions) -> RulesScorer:
    """``refusal`` or ``normal``, by the rules of ``scoring.refusal``; whether the answer is language is not asked."""
    return RulesScorer("refusal", refusal, "refusal", Labels(("refusal", "normal"), "refusal"))


def coherence_scorer(options: ScorerOptions) -> RulesScorer:
    """``coherent`` or ``garbled``, by the rules of ``scoring.garbled``."""
    return RulesScorer("coherence", garbled, "garbled", Labels(("coherent", "garbled"), "coherent"))
