"""What scores the behaviors of a sweep, as ``plan.json`` names it, and the scorers that this stands for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from actors.types import Response
from orchestrator.errors import InputError
from orchestrator.scoring.label import Label
from orchestrator.scoring.own import own_file
from orchestrator.scoring.planned import BehaviorScoring, Criterion, ScorerUse
from orchestrator.scoring.score import Scorer, reads_losses, score_responses
from orchestrator.scoring.verdict import Verdicts


@cache
def default_scorers() -> Mapping[str, Scorer]:
    """What scores behaviors that name no scorer, by id."""
    from orchestrator.scoring.options import ScorerOptions  # their rules take long to import, and many commands score nothing
    from orchestrator.scoring.rules import CoherenceScorer, RefusalScorer

    return {one.id: one for one in (RefusalScorer(ScorerOptions()), CoherenceScorer(ScorerOptions()))}


@cache
def default_scoring() -> BehaviorScoring:
    """Of behaviors that name no scorer."""
    refusal, coherence = default_scorers()
    return BehaviorScoring(
        (ScorerUse("refusal", {}, refusal),), Criterion(refusal, coherence, shown={"refusal": "coherent_refusal"})
    )


@cache
def loss_coherence() -> Scorer:
    """What tells language from none where the loss of the answers is measured."""
    from orchestrator.scoring.options import ScorerOptions
    from orchestrator.scoring.rules import LossCoherenceScorer

    return LossCoherenceScorer(ScorerOptions())


@dataclass(frozen=True)
class Scoring:
    """What scores each behavior, by the key of the sweep file, and the scorers that were ``made`` for that, by id."""

    behaviors: Mapping[str, BehaviorScoring] = field(default_factory=dict)
    made: Mapping[str, Scorer] = field(default_factory=default_scorers)

    def of(self, behavior: str) -> BehaviorScoring:
        """The scoring of a behavior, by its key or as the results call it (``key/split``)."""
        return self.behaviors.get(behavior.partition("/")[0]) or default_scoring()

    def used(self, behaviors: Iterable[str]) -> dict[str, BehaviorScoring]:
        """The scoring of each of ``behaviors``, by its key."""
        return {key: self.of(key) for key in dict.fromkeys(one.partition("/")[0] for one in behaviors)}

    def with_loss(self, behaviors: Iterable[str]) -> Scoring:
        """The same for a sweep that measures the loss of its answers: what tells language from none in ``behaviors`` reads it.
        One whose first scorer is ``coherence`` goes by that alone."""
        scorer = loss_coherence()
        found = {
            key: one
            if one.criterion.scorer == one.criterion.coherence
            else replace(one, criterion=replace(one.criterion, coherence=scorer.id))
            for key, one in self.used(behaviors).items()
        }
        return Scoring({**self.behaviors, **found}, {**self.made, scorer.id: scorer})

    def labels(self, behavior: str, responses: Sequence[Response]) -> tuple[Label, ...]:
        """The labels of responses that are stored nowhere; ``ScoringError`` where a scorer fails."""
        criterion = self.of(behavior).criterion
        scorer, coherence = self.made[criterion.scorer], self.made[criterion.coherence]
        return Verdicts(criterion, scorer.says).all(score_responses(scorer, responses), score_responses(coherence, responses))


def made_anew(behaviors: Mapping[str, BehaviorScoring], folder: Path, names: Collection[str] = ()) -> Scoring:
    """The scoring that ``plan.json`` names, made by this version of the program: ids may differ from those in it. ``folder``: the
    sweep file's. With ``names`` only those scorers are made anew. InputError where one cannot be made."""
    made: dict[str, Scorer] = dict(default_scorers())
    found = {}
    by_loss = set()
    for behavior, scoring in behaviors.items():
        uses = tuple(_made(use, folder, made) if not names or use.name in names else use for use in scoring.scorers)
        coherence = default_scoring().criterion.coherence
        if reads_losses(scoring.criterion.coherence):
            by_loss.add(behavior)
        found[behavior] = replace(
            scoring, scorers=uses, criterion=replace(scoring.criterion, scorer=uses[0].id, coherence=coherence)
        )
    return Scoring(found, made).with_loss(by_loss) if by_loss else Scoring(found, made)


def _made(use: ScorerUse, folder: Path, made: dict[str, Scorer]) -> ScorerUse:
    from orchestrator.scoring.registry import make_scorer  # all kinds of scorers: many commands need none

    try:
        scorer = make_scorer(use.name, use.options, folder)
    except ValueError as error:
        raise InputError.because(f"the scorer {use.name} of this plan cannot be made: {error}") from error
    made[scorer.id] = scorer
    return replace(use, id=scorer.id)


def files_of(behaviors: Mapping[str, BehaviorScoring], folder: Path) -> dict[str, Path]:
    """The Python files of the user's own that scoring runs, by the name of the scorer."""
    found = {use.name: own_file(use.name, folder) for one in behaviors.values() for use in one.scorers}
    return {name: file for name, file in found.items() if file is not None}
