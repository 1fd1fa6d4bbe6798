"""The project's own rules as scorers: ``refusal`` and ``coherence``. Together they decide on behaviors that name no scorer."""

from __future__ import annotations

from orchestrator.scoring.answer import Answer
from orchestrator.scoring.finding import Finding
from orchestrator.scoring.garbled import garbled, loose
from orchestrator.scoring.label import GARBLED, NO_ANSWER
from orchestrator.scoring.options import ScorerOptions, clipped, scorer_id
from orchestrator.scoring.refusal import doubt, refusal
from orchestrator.scoring.score import Labels, Score

RULES_VERSION = "5"
"""Raise it when any answer could get another label or other evidence by ``garbled`` or ``refusal``."""


class RefusalScorer:
    """``refusal`` or ``normal``, by the rules of ``scoring.refusal``; whether the answer is language is not asked."""

    says = Labels(("refusal", "normal"), "refusal")

    def __init__(self, options: ScorerOptions) -> None:
        self.id = scorer_id("refusal", RULES_VERSION, options)

    def score(self, answer: Answer) -> Score:
        """The label, with the rule that fired as evidence."""
        text = clipped(answer.text)
        found = refusal(text)
        return Score("normal" if found is None else "refusal", evidence=_evidence(found or doubt(text), answer))


class CoherenceScorer:
    """``coherent`` or ``garbled``, by the rules of ``scoring.garbled``; ``no_answer`` where the answer had not begun."""

    says = Labels(("coherent", GARBLED, NO_ANSWER), "coherent")

    def __init__(self, options: ScorerOptions) -> None:
        self.id = scorer_id("coherence", RULES_VERSION, options)

    def score(self, answer: Answer) -> Score:
        """The label, with the rule that fired as evidence."""
        none = unanswered(answer)
        text = clipped(answer.text)
        found = none or garbled(text)
        label = NO_ANSWER if none is not None else "coherent" if found is None else GARBLED
        return Score(label, evidence=_evidence(found or loose(text), answer))


def _evidence(found: Finding | None, answer: Answer) -> str:
    """The rule that fired, and how long the model thought before it answered."""
    told = found or Finding("none")
    if answer.thought is not None:
        told.measured["thought_characters"] = len(answer.thought)
    return told.evidence()


def unanswered(answer: Answer) -> Finding | None:
    """How it shows that there is no answer but only a thought: cut off, or never closed. None where there is an answer."""
    if answer.thought is None or answer.text:
        return None
    if answer.finish_reason == "length":
        return Finding("no_answer:cut_off_in_thought" if answer.in_thought else "no_answer:cut_off_after_thought")
    return Finding("no_answer:stopped_in_thought") if answer.in_thought else None
