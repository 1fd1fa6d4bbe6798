"""A scorer as a sweep file and ``plan.json`` name it, and the classifiers that follow from those names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.scoring import CLASSIFIERS
from orchestrator.scoring.registry import make_scorer
from orchestrator.scoring.verdict import BehaviorClassifier, Scoring, Threshold


@dataclass(frozen=True)
class ScorerUse:
    """The scorer of one behavior: its ``name``, its options and its target as they were written (a label, or a threshold's side
    and number), and the ``folder`` that a file of the user's own is relative to (None: it is none)."""

    name: str
    options: Mapping[str, object]
    target: str | Mapping[str, float] | None = None
    folder: str | None = None

    @property
    def file(self) -> Path | None:
        """The Python file that making the classifier runs; None where it is none of the user's own."""
        return None if self.folder is None else Path(self.folder) / self.name.rpartition(":")[0]

    def classifier(self) -> BehaviorClassifier:
        """What labels the behavior's responses; InputError or pydantic's ValidationError where it cannot be made."""
        target = Threshold.model_validate(dict(self.target)) if isinstance(self.target, Mapping) else self.target
        return BehaviorClassifier(make_scorer(self.name, self.options, Path(self.folder or ".")), target)


def scoring_of(classifier: str, uses: Mapping[str, ScorerUse]) -> Scoring:
    """The classifiers of a sweep: ``uses`` by behavior, ``classifier`` for all others; InputError for an unknown one."""
    if classifier not in CLASSIFIERS:
        nearest = nearest_name(classifier, CLASSIFIERS)
        raise InputError(Problem("classifier", classifier, "unknown classifier", ", ".join(CLASSIFIERS), nearest))
    try:
        return Scoring(CLASSIFIERS[classifier], {key: use.classifier() for key, use in uses.items()})
    except ValueError as error:
        raise InputError.because(f"a scorer of this plan cannot be made: {error}") from error
