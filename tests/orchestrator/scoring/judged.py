"""Single texts, scored and judged as the responses of a cell are."""

from __future__ import annotations

from typing import Literal

from actors.types import Response
from orchestrator.scoring import Label, LabelSet
from orchestrator.scoring.answer import Answer
from orchestrator.scoring.planned import BehaviorScoring, Criterion, ScorerUse, Target
from orchestrator.scoring.score import Scorer
from orchestrator.scoring.uses import Scoring, default_scorers, default_scoring
from orchestrator.scoring.verdict import Verdicts


def response(text: str, finish_reason: str = "stop", prompt_id: str = "p", prompt: str = "") -> Response:
    """A response of nothing but ``text``."""
    finish: Literal["stop", "length"] = "length" if finish_reason == "length" else "stop"
    return Response(prompt_id, prompt, text, (), 0, finish)


def answer(text: str) -> Answer:
    """An answer without a thought before it."""
    return Answer("p", "Say something.", text)


class TextJudge:
    """What the labels of a behavior are whose first scorer is ``scorer`` (None: of one that names none)."""

    def __init__(self, scorer: Scorer | None = None, target: Target = None) -> None:
        if scorer is None:
            self._scoring = Scoring()
        else:
            criterion = Criterion(scorer.id, default_scoring().criterion.coherence, target)
            use = BehaviorScoring((ScorerUse("it", {}, scorer.id),), criterion)
            self._scoring = Scoring({"it": use}, {**default_scorers(), scorer.id: scorer})
        criterion = self._scoring.of("it").criterion
        verdicts = Verdicts(criterion, self._scoring.made[criterion.scorer].says)
        self.labels: LabelSet = verdicts.labels
        self.signature = verdicts.signature

    def label(self, prompt_id: str, prompt: str, text: str, finish_reason: str) -> Label:
        """The label of one response."""
        (found,) = self._scoring.labels("it", [response(text, finish_reason, prompt_id, prompt)])
        return found


TEXT = TextJudge()
