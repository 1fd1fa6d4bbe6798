"""The scorer ``contains``: does the answer hold one of some words or phrases?"""

from __future__ import annotations

from orchestrator.scoring.answer import Answer, Reads
from orchestrator.scoring.finding import Finding
from orchestrator.scoring.options import Phrases, ScorerOptions, clipped, scorer_id
from orchestrator.scoring.score import Labels, Score


class ContainsOptions(ScorerOptions):
    """``phrases`` to look for, as whole words unless ``whole_words`` is off; ``ignore_case`` folds case in any script."""

    phrases: Phrases
    ignore_case: bool = True
    whole_words: bool = True


class ContainsScorer:
    """``contains`` where one of the phrases stands in the answer, else ``lacks``."""

    says = Labels(("contains", "lacks"), "contains")

    def __init__(self, options: ContainsOptions) -> None:
        self.id = scorer_id("contains", "1", options)
        self.reads: Reads = options.reads
        self._options = options

    def score(self, answer: Answer) -> Score:
        """The label, with the first phrase of the list that was found as evidence."""
        text = self._folded(clipped(answer.text))
        for phrase in self._options.phrases:
            if _found(text, self._folded(phrase), self._options.whole_words):
                return Score("contains", evidence=Finding("contains", phrase=phrase).evidence())
        return Score("lacks", evidence=Finding("none").evidence())

    def _folded(self, text: str) -> str:
        return text.casefold() if self._options.ignore_case else text


def _found(text: str, phrase: str, whole: bool) -> bool:
    at = text.find(phrase)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(phrase) : at + len(phrase) + 1]
        inside = (before.isalnum() and phrase[0].isalnum()) or (after.isalnum() and phrase[-1].isalnum())
        if not (whole and inside):
            return True
        at = text.find(phrase, at + 1)
    return False
