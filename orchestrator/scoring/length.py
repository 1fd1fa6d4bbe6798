"""The scorer ``length``: how long an answer is, as a number."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from orchestrator.errors import fault
from orchestrator.scoring.answer import Answer, Reads
from orchestrator.scoring.options import ScorerOptions, scorer_id
from orchestrator.scoring.score import Scale, Score


class LengthOptions(ScorerOptions):
    """What is counted: ``words`` (between blanks) or ``characters`` of the answer, or ``tokens`` of the whole response."""

    unit: Literal["words", "characters", "tokens"] = "words"

    @model_validator(mode="after")
    def _countable(self) -> LengthOptions:
        if self.unit == "tokens" and self.reads != "answer":
            raise fault("tokens are those of the whole response, whatever is read", "words or characters beside reads")
        return self


class LengthScorer:
    """The number of words, characters or tokens."""

    def __init__(self, options: LengthOptions) -> None:
        self.id = scorer_id("length", "1", options)
        self.reads: Reads = options.reads
        self.says = Scale(options.unit, low=0)

    def score(self, answer: Answer) -> Score:
        """The number; there is nothing else to show for it."""
        if self.says.unit == "tokens":
            return Score(value=float(answer.new_tokens))
        return Score(value=float(len(answer.text.split() if self.says.unit == "words" else answer.text)))
