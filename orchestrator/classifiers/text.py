"""The three-way text classifier: garbled, else a coherent refusal, else normal. Rules only, no model."""

from __future__ import annotations

from orchestrator.classifiers.finding import Finding
from orchestrator.classifiers.garbled import garbled
from orchestrator.classifiers.label import Label, LabelName
from orchestrator.classifiers.refusal import refusal

MAX_CHARS = 100_000
"""Longer responses are judged by their first and last halves of this; a sweep's responses are some hundred tokens long."""


class TextClassifier:
    """Labels a response by its text alone; the rules and their policy stand in ``garbled`` and ``refusal``.

    Neither the prompt nor the finish reason decides: text cut by the token limit is judged as it stands.
    """

    name = "text-3way"
    version = "2"

    def label(self, prompt_id: str, prompt: str, response: str, finish_reason: str) -> Label:
        """The label of ``response``, with the rule that decided as evidence. Deterministic; never raises."""
        name, finding = self._judge(response)
        return Label(prompt_id, name, finding.evidence(), f"{self.name}@{self.version}")

    def _judge(self, response: str) -> tuple[LabelName, Finding]:
        half = MAX_CHARS // 2
        text = response if len(response) <= MAX_CHARS else response[:half] + response[-half:]
        if (found := garbled(text)) is not None:
            return "garbled", found
        if (found := refusal(text)) is not None:
            return "coherent_refusal", found
        return "normal", Finding("none")
