"""The scorer ``pattern``: regular expressions of the sweep file, each a label's. RE2 matches them in time linear in the text."""

from __future__ import annotations

from typing import Annotated, Any

import re2
from pydantic import Field, field_validator, model_validator

from orchestrator.errors import fault
from orchestrator.scoring.answer import Answer, Reads
from orchestrator.scoring.finding import Finding
from orchestrator.scoring.options import LabelText, Phrases, ScorerOptions, clipped, encodable, scorer_id
from orchestrator.scoring.score import Labels, Score


def compiled(pattern: str, ignore_case: bool) -> Any:
    """A pattern of RE2; ``re2.error`` when it is none."""
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    return re2.compile(encodable(pattern), options)


class PatternOptions(ScorerOptions):
    """``labels``: label -> its pattern, or several; the first label of which one is found in the answer is given, else
    ``otherwise``."""

    labels: Annotated[dict[LabelText, Phrases], Field(min_length=1, max_length=100)]
    otherwise: LabelText = "other"
    ignore_case: bool = True

    @field_validator("labels")
    @classmethod
    def _patterns(cls, labels: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for label, patterns in labels.items():
            for pattern in patterns:
                try:
                    compiled(pattern, True)
                except re2.error as error:
                    reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
                    allowed = "regular expressions of RE2: no look-around, no back-references"
                    raise fault(f"the pattern of '{label}', {pattern!r}, is not valid: {reason}", allowed) from error
        return labels

    @model_validator(mode="after")
    def _apart(self) -> PatternOptions:
        if self.otherwise in self.labels:
            raise fault(f"'otherwise' is '{self.otherwise}', a label that has a pattern", "a label of its own")
        return self


class PatternScorer:
    """The first label whose pattern is found."""

    def __init__(self, options: PatternOptions) -> None:
        self.id = scorer_id("pattern", "1", options)
        self.reads: Reads = options.reads
        self.says = Labels((*options.labels, options.otherwise), next(iter(options.labels)))
        self._otherwise = options.otherwise
        self._patterns = [
            (label, pattern, compiled(pattern, options.ignore_case))
            for label, patterns in options.labels.items()
            for pattern in patterns
        ]

    def score(self, answer: Answer) -> Score:
        """The label, with the pattern and what it matched as evidence."""
        text = encodable(clipped(answer.text))
        for label, pattern, compiled in self._patterns:
            if (match := compiled.search(text)) is not None:
                return Score(label, evidence=Finding("pattern", pattern=pattern, phrase=match.group()).evidence())
        return Score(self._otherwise, evidence=Finding("none").evidence())
