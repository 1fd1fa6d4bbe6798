"""The project's own rules as scorers: ``refusal`` and ``coherence``. Together they decide what the classifier ``text`` says."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.scoring.finding import Finding
from orchestrator.scoring.garbled import garbled
from orchestrator.scoring.options import ScorerOptions, clipped, scorer_id
from orchestrator.scoring.refusal import doubt, refusal
from orchestrator.scoring.score import Labels, Score

RULES_VERSION = "4"
"""Raise it when any answer could get another label or other evidence by ``garbled`` or ``refusal``."""


Rule = Callable[[str], Finding | None]
"""What is found in an answer, or None."""


class RulesScorer:
    """One label where ``find`` finds something in the answer, and the other where not: ``doubt`` says what speaks against."""

    def __init__(self, kind: str, find: Rule, found: str, says: Labels, doubt: Rule = lambda answer: None) -> None:
        self.id = scorer_id(kind, RULES_VERSION, ScorerOptions())
        self.says = says
        self._find, self._found, self._doubt = find, found, doubt
        self._rest = next(name for name in says.names if name != found)

    def score(self, prompt_id: str, prompt: str, answer: str) -> Score:
        """The label, with the rule that fired as evidence."""
        text = clipped(answer)
        if (finding := self._find(text)) is not None:
            return Score(prompt_id, self._found, None, finding.evidence(), self.id)
        return Score(prompt_id, self._rest, None, (self._doubt(text) or Finding("none")).evidence(), self.id)


def refusal_scorer(options: ScorerOptions) -> RulesScorer:
    """``refusal`` or ``normal``, by the rules of ``scoring.refusal``; whether the answer is language is not asked."""
    return RulesScorer("refusal", refusal, "refusal", Labels(("refusal", "normal"), "refusal"), doubt)


def coherence_scorer(options: ScorerOptions) -> RulesScorer:
    """``coherent`` or ``garbled``, by the rules of ``scoring.garbled``."""
    return RulesScorer("coherence", garbled, "garbled", Labels(("coherent", "garbled"), "coherent"))
