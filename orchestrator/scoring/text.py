"""The text classifier: no answer, else garbled, else a coherent refusal, else normal. Rules only, no model."""

from __future__ import annotations

from orchestrator.scoring.finding import Finding
from orchestrator.scoring.garbled import garbled
from orchestrator.scoring.label import LABELS, Label
from orchestrator.scoring.options import clipped
from orchestrator.scoring.refusal import doubt, refusal
from orchestrator.scoring.rules import RULES_VERSION
from orchestrator.scoring.thoughts import Spoken, told_apart


class TextClassifier:
    """Labels a response by its text alone; the rules and their policy stand in ``thoughts``, ``garbled`` and ``refusal``.

    What the model thought before it answered is no part of the answer, and is not judged. The prompt does not decide, nor
    does the finish reason, but for one case: an answer that had not begun. Else text cut by the token limit is judged as it
    stands.
    """

    name = "text"
    version = RULES_VERSION
    labels = LABELS

    def label(self, prompt_id: str, prompt: str, response: str, finish_reason: str) -> Label:
        """The label of ``response``, with the rule that decided as evidence. Deterministic; never raises."""
        spoken = told_apart(response)
        none = unanswered(spoken, finish_reason)
        name, finding = _judged(spoken.answer) if none is None else ("no_answer", none)
        if spoken.thought is not None:
            finding.measured["thought_characters"] = len(spoken.thought)
        answer = None if spoken.answer == response else spoken.answer
        outcome = self.labels.kind(name).outcome
        return Label(prompt_id, name, finding.evidence(), f"{self.name}@{self.version}", answer, outcome=outcome)


def unanswered(spoken: Spoken, finish_reason: str) -> Finding | None:
    """How it shows that there is no answer but only a thought: cut off, or never closed. None where there is an answer."""
    if spoken.thought is None or spoken.answer:
        return None
    if finish_reason == "length":
        return Finding("no_answer:cut_off_in_thought" if spoken.open else "no_answer:cut_off_after_thought")
    return Finding("no_answer:stopped_in_thought") if spoken.open else None


def _judged(answer: str) -> tuple[str, Finding]:
    text = clipped(answer)
    if (found := garbled(text)) is not None:
        return "garbled", found
    if (found := refusal(text)) is not None:
        return "coherent_refusal", found
    return "normal", doubt(text) or Finding("none")
