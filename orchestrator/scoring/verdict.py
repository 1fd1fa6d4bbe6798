"""The labels of a behavior: its scorer's, of answers that are language, and what each of them counts as."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, model_validator

from orchestrator.errors import InputError, Problem, fault, nearest_name
from orchestrator.scoring.label import Classifier, Label, LabelKind, LabelSet
from orchestrator.scoring.options import ScorerOptions
from orchestrator.scoring.rules import coherence_scorer
from orchestrator.scoring.score import Labels, Scorer
from orchestrator.scoring.text import unanswered
from orchestrator.scoring.thoughts import told_apart


class Threshold(ScorerOptions):
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


Target = str | Threshold | None


class BehaviorClassifier:
    """Labels a response by ``scorer``. ``target``: its label that shows the behavior, or the threshold (None: as it declares).

    An answer that is no language is labelled so whatever the scorer would say, and one that had not begun is not scored.
    InputError for a target that the scorer cannot give.
    """

    def __init__(self, scorer: Scorer, target: Target = None) -> None:
        self._scorer, self._coherence = scorer, coherence_scorer(ScorerOptions())
        names, success = _names(scorer, target)
        self._threshold = target if isinstance(target, Threshold) else None
        self._garbled, self._unanswered, self._failed = (_free(name, names) for name in ("garbled", "no_answer", "scorer_failed"))
        kinds = [LabelKind(name, "success" if name == success else "other") for name in names]
        self.labels = LabelSet(
            (
                *kinds,
                LabelKind(self._garbled, "garbled"),
                LabelKind(self._unanswered, "no_answer"),
                LabelKind(self._failed, "other"),
            )
        )
        self.name, _, version = scorer.id.partition("@")
        self.version = f"{version}={success}+{self._coherence.id}"

    def label(self, prompt_id: str, prompt: str, response: str, finish_reason: str) -> Label:
        """The label of ``response``, with the evidence of what decided."""
        spoken = told_apart(response)
        if (finding := unanswered(spoken, finish_reason)) is not None:
            name, evidence = self._unanswered, finding.evidence()
        elif (coherence := self._coherence.score(prompt_id, prompt, spoken.answer)).label == "garbled":
            name, evidence = self._garbled, coherence.evidence
        else:
            name, evidence = self._scored(prompt_id, prompt, spoken.answer)
        answer = None if spoken.answer == response else spoken.answer
        outcome = self.labels.kind(name).outcome
        return Label(prompt_id, name, evidence, f"{self.name}@{self.version}", answer, outcome=outcome)

    def _scored(self, prompt_id: str, prompt: str, answer: str) -> tuple[str, str]:
        score = self._scorer.score(prompt_id, prompt, answer)
        if score.label is not None:
            return score.label, score.evidence
        if score.value is None or self._threshold is None:
            return self._failed, score.evidence
        met, missed = self._threshold.words
        evidence = {"value": score.value, **json.loads(score.evidence)}
        return met if self._threshold.met(score.value) else missed, json.dumps(evidence, ensure_ascii=False)


def _names(scorer: Scorer, target: Target) -> tuple[tuple[str, ...], str]:
    """The labels that a scorer gives, and the one that shows the behavior; InputError, field ``target``."""
    says = scorer.says
    if not isinstance(says, Labels):
        if not isinstance(target, Threshold):
            shown = None if target is None else str(target)
            raise InputError(Problem("target", shown, "a numeric scorer needs a threshold", "{at_least: 50}, or {at_most: 50}"))
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


def _free(name: str, taken: tuple[str, ...]) -> str:
    """``name``, marked where the scorer has a label of this name."""
    return name if name not in taken else _free(f"{name}*", taken)


@dataclass(frozen=True)
class Scoring:
    """Which classifier labels the responses of a behavior: its own, or the ``default``. Keys are the sweep file's."""

    default: Classifier
    own: Mapping[str, Classifier] = field(default_factory=dict)

    def of(self, behavior: str) -> Classifier:
        """The classifier of a behavior, by its key or as the results call it (``key/split``)."""
        return self.own.get(behavior.partition("/")[0], self.default)

    def signature(self, behavior: str) -> str:
        """``name@version`` of it, as labels carry it."""
        classifier: Any = self.of(behavior)
        return f"{classifier.name}@{classifier.version}"
