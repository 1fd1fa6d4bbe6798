"""What a scorer is that a model of the sweep itself stands behind: it is asked as work (``orchestrator.judging``), and scores are
made of the replies that were kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from actors.types import FAILED, JudgeJob
from orchestrator.json_text import parse_json
from orchestrator.scoring.answer import Answer, Reads
from orchestrator.scoring.options import LabelText, ScorerOptions
from orchestrator.scoring.score import Kept, Labels, Scale, Score, Usage


class NotJudgedError(Exception):
    """The model was not asked yet: a run asks it."""


class PoolScorerOptions(ScorerOptions):
    """``model``: as the sweep file calls it. ``variant``: the id of that model."""

    FILLED_IN: ClassVar[tuple[str, ...]] = ("variant",)
    model: LabelText
    variant: str = ""


class PoolScorer(ABC):
    """``variant``: the id of the model that is asked."""

    id: str
    says: Labels | Scale
    reads: Reads
    variant: str

    @property
    @abstractmethod
    def work(self) -> int:
        """About how many tokens an answer takes beside those that are read."""

    @abstractmethod
    def questions(self, answers: Sequence[Answer]) -> Mapping[str, Any]:
        """What is asked of ``answers``, by the key under which the reply is kept."""

    @abstractmethod
    def job(self, item_id: str, questions: Mapping[str, Any]) -> JudgeJob:
        """What a worker is asked."""

    def verdicts(self, content: bytes) -> dict[str, Mapping[str, Any]]:
        """The replies that follow from what a worker measured, by the keys of their questions. ValueError when it cannot be
        right."""
        return {key: self.reply(one) for key, one in _measured(content).items() if FAILED not in one}

    def failed(self, content: bytes) -> dict[str, str]:
        """Why there is none to the others. ValueError as above."""
        return {key: str(one[FAILED]) for key, one in _measured(content).items() if FAILED in one}

    @abstractmethod
    def reply(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """The reply that follows from what was measured to a question. ValueError when it cannot be right."""

    @abstractmethod
    def estimate(self, prompts: Sequence[str], new_tokens: int) -> Usage:
        """What answers of so many tokens to ``prompts`` take."""

    @abstractmethod
    def read(self, said: Mapping[str, Any]) -> Any:
        """What a kept reply says, which is never None; KeyError, TypeError or ValueError where it is no reply."""

    @abstractmethod
    def told(self, answer: Answer, read: Any) -> Score:
        """The score of ``answer`` that follows from what the reply to its question says."""

    def check(self) -> None:  # noqa: B027 - there is nothing to check
        """Whether the model can be loaded is found out when it is."""

    def score(self, answer: Answer) -> Score:
        """``NotJudgedError``: nothing is kept here."""
        raise self._not_asked(answer)

    def score_all(self, answers: Sequence[Answer], kept: Kept) -> Sequence[Score | Exception]:
        """The scores that follow from the replies that are ``kept``; ``NotJudgedError`` in place of the others."""
        found: list[Score | Exception] = []
        for answer in answers:
            (key,) = self.questions([answer])
            said = kept.get(key)
            read = None if said is None else self._read(said)
            found.append(self._not_asked(answer) if read is None else self.told(answer, read))
        return found

    def usable(self, said: Mapping[str, Any] | None) -> bool:
        """Whether something can be made of what was kept."""
        return said is not None and self._read(said) is not None

    def _read(self, said: Mapping[str, Any]) -> Any:
        """What a kept reply says; None where it is none, as after damage."""
        try:
            return self.read(said)
        except (KeyError, TypeError, ValueError):
            return None

    def _not_asked(self, answer: Answer) -> NotJudgedError:
        return NotJudgedError(f"{self.id} has not been asked about the answer to {answer.prompt_id}")


def _measured(content: bytes) -> dict[str, dict[str, Any]]:
    measured = parse_json(content)
    if not isinstance(measured, dict) or not all(isinstance(one, dict) for one in measured.values()):
        raise ValueError("what the model measured is no JSON object of such")
    return measured
