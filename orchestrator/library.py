"""What a script or a notebook needs beside a model: a behavior's prompts from its file, and what answers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from actors.methods.options import faults_of
from actors.types import CellResult, Response
from orchestrator.behaviors import Behavior, BehaviorFile, read_behavior
from orchestrator.errors import InputError
from orchestrator.outcome import Outcome
from orchestrator.scoring import Label
from orchestrator.scoring.planned import BehaviorScoring, Criterion, ScorerUse
from orchestrator.scoring.registry import make_scorer
from orchestrator.scoring.uses import Scoring, default_scorers, default_scoring
from orchestrator.statistics import rate_text

_BEHAVIOR = "behavior"


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The labels of some answers, in their order; each has its ``outcome`` and its ``evidence``."""

    labels: tuple[Label, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many answers have each label, the commonest first."""
        names = [one.label for one in self.labels]
        return {name: names.count(name) for name in sorted(set(names), key=lambda one: (-names.count(one), one))}

    def rate(self, outcome: Outcome = "success") -> float:
        """The share of the answers that count as ``outcome``."""
        return sum(one.outcome == outcome for one in self.labels) / len(self.labels)

    def __repr__(self) -> str:
        n = len(self.labels)
        return f"Evaluation({', '.join(f'{name} {rate_text(count, n)}' for name, count in self.counts.items())})"


def load_behavior(file: str | Path, tests: str | Path | None = None) -> Behavior:
    """The contrast prompts (``positive``, ``negative``) and ``test`` prompts of a behavior file; ``tests``: where they lie apart.
    InputError with everything that is wrong in it."""
    path = Path(file)
    beside = None if tests is None else BehaviorFile(Path(tests))
    return read_behavior(path.stem, BehaviorFile(path), beside).behavior


def evaluate(answers: CellResult | Sequence[Response], scorer: Mapping[str, object] | None = None) -> Evaluation:
    """What answers are: by ``scorer``, written as in a sweep file (``{"name": "language", "target": "fr"}``; None: refusals).

    InputError for a scorer that cannot be made, and for no answers; ``ScoringError`` where it fails.
    """
    responses = answers.responses if isinstance(answers, CellResult) else tuple(answers)
    if not responses:
        raise InputError.because("there is nothing to evaluate", "answers")
    return Evaluation((Scoring() if scorer is None else _scoring(scorer)).labels(_BEHAVIOR, responses))


def _scoring(given: Mapping[str, object]) -> Scoring:
    options = {key: value for key, value in given.items() if key not in ("name", "target")}
    try:
        scorer = make_scorer(str(given.get("name")), options, Path.cwd())
    except ValidationError as error:
        raise InputError.because(faults_of(error), f"scorer {given.get('name')}") from error
    criterion = Criterion(scorer.id, default_scoring().criterion.coherence, given.get("target"))  # type: ignore[arg-type]
    use = ScorerUse(str(given["name"]), options, scorer.id)
    return Scoring({_BEHAVIOR: BehaviorScoring((use,), criterion)}, {**default_scorers(), scorer.id: scorer})
