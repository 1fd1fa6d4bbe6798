"""The scorer ``length``: how long an answer is, as a number."""

from __future__ import annotations

from typing import Literal

from orchestrator.scoring.options import ScorerOptions, scorer_id
from orchestrator.scoring.score import Scale, Score


class LengthOptions(ScorerOptions):
    """What is counted: ``words`` (between blanks) or ``characters``."""

    unit: Literal["words", "characters"] = "words"


class LengthScorer:
    """The number of words or characters."""

    def __init__(self, options: LengthOptions) -> None:
        self.id = scorer_id("length", "1", options)
        self.says = Scale(options.unit, low=0)

    def score(self, prompt_id: str, prompt: str, answer: str) -> Score:
        """The number; there is nothing else to show for it."""
        counted = answer.split() if self.says.unit == "words" else answer
        return Score(prompt_id, None, float(len(counted)), "{}", self.id)
