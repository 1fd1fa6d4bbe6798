"""The scores of finished cells, and what they come to: read from ``scores/``, or of earlier versions from ``labels/``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from actors.types import SampleKey
from orchestrator.results.folder import LABELS_OF_OLD, Folder, scores_of
from orchestrator.results.parts import StoredScores
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.rows import CellAxes
from orchestrator.scoring import LABELS, Label, LabelSet
from orchestrator.scoring.verdict import Criterion, Verdicts
from orchestrator.storage import UnreadableFileError


@dataclass(frozen=True, eq=False)
class CellScores:
    """What is known of a cell: its scores by the id of the scorer, and the ``labels`` that follow (None: what decides has not
    scored it), which are some of those ``declared``. ``damaged``: whether a file of them was moved away."""

    by_scorer: Mapping[str, StoredScores] = field(default_factory=dict)
    labels: tuple[Label, ...] | None = None
    declared: LabelSet = LABELS
    labelled_at: datetime | None = None
    damaged: bool = False


class ScoredCells:
    """The scores of the cells of a plan, or of ``only`` one. Which there are is looked up once, their content when it is asked
    for."""

    def __init__(self, folder: Folder, planned: PlannedCells, only: str | None = None) -> None:
        self._folder, self._planned, self._only = folder, planned, only
        self._there: dict[str, set[str]] = {}

    def have(self, scorer: str) -> set[str]:
        """The cells that a scorer, by its id, has scored."""
        return self._in(scores_of(scorer))

    @property
    def _old(self) -> set[str]:
        return self._in(LABELS_OF_OLD)

    def _in(self, kind: str) -> set[str]:
        if kind not in self._there:
            one = self._only
            there = self._folder.ids(kind) if one is None else {one} if self._folder.path(kind, one).exists() else set()
            self._there[kind] = there
        return self._there[kind]

    def labelled(self, cells: Iterable[CellAxes]) -> set[str]:
        """Those of ``cells`` that have labels."""
        return {one.cell_id for one in cells if self._decided(one.behavior, one.cell_id) or one.cell_id in self._old}

    def of(self, axes: CellAxes, keys: Sequence[SampleKey] | None = None) -> CellScores:
        """The scores of a cell; ``keys``: of its responses, in order. A damaged file is moved away and left out."""
        scoring, cell_id = self._planned.scoring_of(axes.behavior), axes.cell_id
        found: dict[str, StoredScores] = {}
        damaged = False
        for scorer in self._planned.scorers_of(axes):
            if cell_id in self.have(scorer):
                try:
                    found[scorer] = self._folder.score_part(scorer, cell_id, keys)
                except (FileNotFoundError, UnreadableFileError):
                    damaged = True
                else:
                    keys = keys or [one.key for one in found[scorer].scores]
        if all(scorer in found for scorer in scoring.deciding):
            return _judged(scoring.criterion, found, damaged)
        if cell_id not in self._old:
            return CellScores(found, damaged=damaged)
        try:
            old = self._folder.label_part(cell_id, keys)
        except (FileNotFoundError, UnreadableFileError):
            return CellScores(found, damaged=True)
        return CellScores(found, old.labels, old.declared, old.labelled_at, damaged)

    def _decided(self, behavior: str, cell_id: str) -> bool:
        return all(scorer and cell_id in self.have(scorer) for scorer in self._planned.scoring_of(behavior).deciding)


def _judged(criterion: Criterion, found: Mapping[str, StoredScores], damaged: bool) -> CellScores:
    first, coherence = found[criterion.scorer], found[criterion.coherence]
    verdict = Verdicts(criterion, first.says)
    labels = verdict.all(first.scores, coherence.scores)
    return CellScores(found, labels, verdict.labels, max(first.scored_at, coherence.scored_at), damaged)
