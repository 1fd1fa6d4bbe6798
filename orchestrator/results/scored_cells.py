"""The scores of finished cells, and what they come to: read from ``scores/``, or of earlier versions from ``labels/``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.folder import Folder
from orchestrator.results.folder_files import LABELS_OF_OLD, scores_of
from orchestrator.results.parts import StoredScores, same_responses
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.rate_rows import Given
from orchestrator.results.schema import LABEL_PART, Table
from orchestrator.scoring import LABELS, LabelSet
from orchestrator.scoring.planned import Criterion
from orchestrator.scoring.score import Labels, Scale
from orchestrator.scoring.verdict import Verdicts
from orchestrator.storage import UnreadableFileError


@dataclass(frozen=True, eq=False)
class CellScores:
    """What is known of a cell: its scores by the id of the scorer, and the ``labels`` that follow, a ``LABEL_PART`` table (None:
    what decides has not scored it), which are some of those ``declared``. ``damaged``: whether a file of them was moved away."""

    by_scorer: Mapping[str, StoredScores] = field(default_factory=dict)
    labels: Table | None = None
    declared: LabelSet = LABELS
    labelled_at: datetime | None = None
    damaged: bool = False


class ScoredCells:
    """The scores of the cells of a plan, or of ``only`` one. Which there are is looked up once, their content when it is asked
    for."""

    def __init__(self, folder: Folder, planned: PlannedCells, only: str | None = None) -> None:
        self._folder, self._planned, self._only = folder, planned, only
        self._there: dict[str, set[str]] = {}
        self._verdicts: dict[tuple[str, Labels | Scale], Verdicts] = {}

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

    def of(self, axes: CellAxes, responses: Table | None = None) -> CellScores:
        """The scores of a cell; ``responses``: its ``RESPONSE_PART`` table. A damaged file is moved away and left out."""
        scoring, cell_id = self._planned.scoring_of(axes.behavior), axes.cell_id
        found: dict[str, StoredScores] = {}
        damaged = False
        for scorer in self._planned.scorers_of(axes.behavior):
            if cell_id in self.have(scorer):
                try:
                    found[scorer] = self._folder.score_part(scorer, cell_id, responses)
                except (FileNotFoundError, UnreadableFileError):
                    damaged = True
                else:
                    responses = found[scorer].table if responses is None else responses
        if all(scorer in found for scorer in scoring.deciding):
            return self._judged(axes.behavior, scoring.criterion, found, damaged)
        if cell_id not in self._old:
            return CellScores(found, damaged=damaged)
        try:
            old = self._folder.label_part(cell_id, responses)
        except (FileNotFoundError, UnreadableFileError):
            return CellScores(found, damaged=True)
        return CellScores(found, LABEL_PART.table(old.labels), old.declared, old.labelled_at, damaged)

    def _decided(self, behavior: str, cell_id: str) -> bool:
        return all(scorer and cell_id in self.have(scorer) for scorer in self._planned.scoring_of(behavior).deciding)

    def _judged(self, behavior: str, criterion: Criterion, found: Mapping[str, StoredScores], damaged: bool) -> CellScores:
        first, coherence = found[criterion.scorer], found[criterion.coherence]
        if (behavior, first.says) not in self._verdicts:
            self._verdicts[behavior, first.says] = Verdicts(criterion, first.says)
        verdicts = self._verdicts[behavior, first.says]
        labels = judged(verdicts, first.table, coherence.table)
        return CellScores(found, labels, verdicts.labels, max(first.scored_at, coherence.scored_at), damaged)


def judged(verdicts: Verdicts, scores: Table, coherences: Table) -> Table:
    """The labels of a cell, a ``LABEL_PART`` table, from two ``SCORE_PART`` tables; ValueError unless both are of the same
    responses."""
    if not same_responses(scores, coherences):
        raise ValueError("two scorers scored different responses")
    values, coherent = (table.column(name).to_pylist() for table, name in ((scores, "value"), (coherences, "label")))
    names = list(map(verdicts.name, scores.column("label").to_pylist(), values, coherent))
    evidence = scores.column("evidence")
    if verdicts.numeric or any(map(verdicts.rejects, coherent)):
        given = zip(values, evidence.to_pylist(), coherent, coherences.column("evidence").to_pylist(), strict=True)
        evidence = [why if verdicts.rejects(label) else verdicts.evidence(value, own) for value, own, label, why in given]
    columns = {
        "prompt_id": scores.column("prompt_id"),
        "label": names,
        "evidence": evidence,
        "classifier": [verdicts.signature] * len(names),
        "answer": scores.column("answer"),
        "outcome": list(map(verdicts.outcome, names)),
        "sample": scores.column("sample"),
    }
    return LABEL_PART.of(columns)


def given(by: str, table: Table) -> Given:
    """What a ``SCORE_PART`` or a ``LABEL_PART`` table says."""
    values = table.column("value").to_pylist() if "value" in table.schema.names else ()
    return Given(by, table.column("prompt_id").to_pylist(), list(map(str, table.column("label").to_pylist())), values)


def given_labels(table: Table) -> Given:
    """What a ``LABEL_PART`` table says; every classifier of its labels said so."""
    return given(", ".join(sorted(set(table.column("classifier").to_pylist()))), table)
