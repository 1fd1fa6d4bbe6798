"""What the scores of a response come to: a label and its outcome, which follow from two scores and the target alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pydantic import Field, model_validator

from orchestrator.errors import InputError, Problem, fault, nearest_name
from orchestrator.outcome import Outcome
from orchestrator.scoring.answer import NO_ANSWER
from orchestrator.scoring.label import GARBLED, Label, LabelKind, LabelSet
from orchestrator.scoring.planned import Criterion
from orchestrator.scoring.score import Labels, ResponseScore, Scale
from orchestrator.strict import Entry


class Threshold(Entry):
    """From which number on, or up to which, a numeric scorer's behavior is shown."""

    at_least: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one(self) -> Threshold:
        if (self.at_least is None) == (self.at_most is None):
            raise fault("a threshold has one side", "{at_least: 50}, or {at_most: 50}")
        return self

    def met(self, value: float) -> bool:
        """Whether the behavior is shown."""
        return value >= self.at_least if self.at_least is not None else value <= (self.at_most or 0.0)

    @property
    def words(self) -> tuple[str, str]:
        """The label where it is met, and where not."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}", f"below {self.at_least:g}"
        return f"at most {self.at_most:g}", f"above {self.at_most:g}"

    def check(self, scale: Scale) -> None:
        """InputError, field ``target.at_least`` or ``target.at_most``, where every number of the scale meets it, or none does."""
        low, high = (float("-inf") if scale.low is None else scale.low), (float("inf") if scale.high is None else scale.high)
        if self.at_least is not None:
            side, given, every, none = "at_least", self.at_least, self.at_least <= low, self.at_least > high
        else:
            side, given = "at_most", float(self.at_most or 0.0)
            every, none = given >= high, given < low
        if every or none:
            told = f"{'every' if every else 'no'} answer would count as success: the scale ({scale.unit}) goes {scale.words}"
            raise InputError(Problem(f"target.{side}", given, told, _within(side, scale)))


class Verdicts:
    """The labels of a behavior's responses under ``criterion``, whose scorer ``says`` what it does.

    A response that is no language is labelled so whatever the scorer gave, and so is one whose answer had not begun.
    InputError, field ``target``, for one that the scorer cannot give.
    """

    def __init__(self, criterion: Criterion, says: Labels | Scale) -> None:
        target = criterion.target
        asked = Threshold.model_validate(dict(target)) if isinstance(target, Mapping) else target
        self._threshold = asked if isinstance(asked, Threshold) else None
        own, success = _names(says, asked)
        if criterion.scorer == criterion.coherence:  # its other labels are those that every behavior has
            own = tuple(name for name in own if name not in (GARBLED, NO_ANSWER))
        self._shown = {name: criterion.shown.get(name, name) for name in own}
        names = tuple(self._shown.values())
        self._garbled, self._unanswered = _free(GARBLED, names), _free(NO_ANSWER, names)
        kinds = [LabelKind(shown, "success" if name == success else "other") for name, shown in self._shown.items()]
        self.labels = LabelSet((*kinds, LabelKind(self._garbled, "garbled"), LabelKind(self._unanswered, "no_answer")))
        self.signature = f"{criterion.scorer}={success}+{criterion.coherence}"
        self._outcomes = {kind.name: kind.outcome for kind in self.labels.kinds}

    def of(self, score: ResponseScore, coherence: ResponseScore) -> Label:
        """The label of one response, with the evidence of what decided."""
        name = self.name(score.label, score.value, coherence.label)
        evidence = coherence.evidence if self.rejects(coherence.label) else self.evidence(score.value, score.evidence)
        return Label(score.prompt_id, name, evidence, self.signature, score.answer, self.outcome(name), score.sample)

    def name(self, label: str | None, value: float | None, coherence: str | None) -> str:
        """The label of a response to which the scorer gave ``label`` or ``value``, and what tells language ``coherence``."""
        if self.rejects(coherence):
            return self._unanswered if coherence == NO_ANSWER else self._garbled
        if self._threshold is not None and value is not None:
            met, missed = self._threshold.words
            return met if self._threshold.met(value) else missed
        return self._shown.get(str(label), self._unanswered)

    @property
    def numeric(self) -> bool:
        """Whether the scorer gives numbers."""
        return self._threshold is not None

    def rejects(self, coherence: str | None) -> bool:
        """Whether it is decided without the scorer, and the evidence is that of what tells language."""
        return coherence in (NO_ANSWER, GARBLED)

    def evidence(self, value: float | None, given: str) -> str:
        """The evidence of a verdict that follows from the scorer, which has ``given`` its own."""
        if self._threshold is None or value is None:
            return given
        return json.dumps({"value": value, **json.loads(given)}, ensure_ascii=False)

    def outcome(self, name: str) -> Outcome:
        """What a label counts as."""
        return self._outcomes[name]

    def all(self, scores: Sequence[ResponseScore], coherences: Sequence[ResponseScore]) -> tuple[Label, ...]:
        """The labels of responses, in their order; ValueError unless both are scores of the same ones."""
        if [one.key for one in scores] != [one.key for one in coherences]:
            raise ValueError("two scorers scored different responses")
        return tuple(map(self.of, scores, coherences))


def _names(says: Labels | Scale, target: str | Threshold | None) -> tuple[tuple[str, ...], str]:
    """The labels that a scorer gives, and the one that shows the behavior; InputError, field ``target``."""
    if not isinstance(says, Labels):
        if not isinstance(target, Threshold):
            raise InputError(Problem("target", target, "a numeric scorer needs a threshold", "{at_least: 50}, or {at_most: 50}"))
        return target.words, target.words[0]
    allowed = ", ".join(says.names)
    if isinstance(target, Threshold):
        raise InputError(Problem("target", None, "a threshold goes with a numeric scorer", allowed))
    chosen = target or says.target
    if chosen is None:
        raise InputError(Problem("target", None, "this scorer needs a target: the label that shows the behavior", allowed))
    if chosen not in says.names:
        raise InputError(Problem("target", chosen, "the scorer has no such label", allowed, nearest_name(chosen, says.names)))
    return says.names, chosen


def _within(side: str, scale: Scale) -> str:
    """The thresholds on a scale that some of its numbers meet and others do not."""
    low, high = ("above", "up to") if side == "at_least" else ("from", "below")
    ends = [f"{word} {end:g}" for word, end in ((low, scale.low), (high, scale.high)) if end is not None]
    return f"a number {', '.join(ends)}"


def _free(name: str, taken: tuple[str, ...]) -> str:
    """``name``, marked where the scorer has a label of this name."""
    return name if name not in taken else _free(f"{name}*", taken)
