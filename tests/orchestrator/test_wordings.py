"""Prompts of one model that were worded in two ways are told while it runs and on the page, never mixed in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from actors.types import ModelInfo
from orchestrator.cells import variant_id
from orchestrator.progress import Quiet
from orchestrator.recorder import Recorder
from orchestrator.report import write_report
from orchestrator.scoring import CLASSIFIERS
from orchestrator.scoring.verdict import Scoring
from orchestrator.wordings import mixed_wordings
from tests.orchestrator.samples import MODEL, direction_set, filled, grid, plan_of, result_of

VARIANT = variant_id(MODEL)


class Told(Quiet):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def noted(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


def info(digest: str) -> ModelInfo:
    """A model that renders prompts with that digest."""
    return ModelInfo(30, 4, "llama", "float32", "cpu", 8, 1.0, digest)


def test_a_model_that_renders_otherwise_than_the_stored_cells_is_told_once(tmp_path: Path) -> None:
    cells = grid()
    store = filled(tmp_path, cells[:3])
    store.write_plan(plan_of(cells))
    store.compact()
    told = Told()
    with Recorder(store, Scoring(CLASSIFIERS["text"]), (told,)) as recorder:
        recorder.loaded(VARIANT, "w", info("abc"))
        assert told.notes == []
        recorder.loaded(VARIANT, "w", info("def"))
        recorder.loaded(VARIANT, "v", info("def"))
        (note,) = told.notes
        assert "model smollm2: what is stored was made with prompts of different wording" in note
        assert "(chat template digests abc, def)" in note
        result = result_of(cells[3])
        recorder.cell(cells[3], replace(result, provenance={**result.provenance, "template_sha256": "def"}), 1)
    store.compact()
    (sentence,) = mixed_wordings(store.cell_rows())
    assert sentence == note
    write_report(store)
    assert "prompts of different wording" in (tmp_path / "report.md").read_text()


def test_a_stored_direction_of_another_wording_is_told(tmp_path: Path) -> None:
    cells, told = grid(), Told()
    store = filled(tmp_path, ())
    store.write_plan(plan_of(cells))
    steering = cells[1].steering
    assert steering is not None
    store.write_direction(steering.direction, replace(direction_set(), record={"template_sha256": "old"}))
    with Recorder(store, Scoring(CLASSIFIERS["text"]), (told,)) as recorder:
        recorder.loaded(VARIANT, "w", info("abc"))
        recorder.cell(cells[0], result_of(cells[0]), 1)
        assert told.notes == []
        for cell in cells[1:3]:
            recorder.cell(cell, result_of(cell), 1)
    assert ["(chat template digests abc, old)" in note for note in told.notes] == [True]


def test_one_wording_is_nothing_to_tell(tmp_path: Path) -> None:
    store = filled(tmp_path, grid())
    store.compact()
    assert mixed_wordings(store.cell_rows()) == []
