"""Which scores of finished cells are still to be made, from the names of files alone."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from orchestrator.results.folder_files import FolderFiles, scores_of
from orchestrator.results.plan_file import PlannedCells
from orchestrator.scoring.planned import scoring_item


def unscored(folder: FolderFiles, planned: PlannedCells, finished: Collection[str]) -> tuple[tuple[str, str], ...]:
    """The ids of scorer and cell of every score of ``finished`` cells that there is not, though it has not failed."""
    failed, of_scorer = folder.ids("failures"), cache(lambda scorer: folder.ids(scores_of(scorer)))
    return tuple(
        (scorer, cell_id)
        for scorer, cell_id in planned.scorings()
        if cell_id in finished and cell_id not in of_scorer(scorer) and scoring_item(scorer, cell_id) not in failed
    )
