"""Prompts of one model that were worded in two ways are told while it runs and on the page, never mixed in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from actors.types import ModelInfo
from orchestrator.cells import variant_id
from orchestrator.news import CellStored, ModelLoaded, News, Noted
from orchestrator.report import write_report
from orchestrator.wordings import Wordings, mixed_wordings
from tests.orchestrator.recording import Recording
from tests.orchestrator.samples import MODEL, direction_set, filled, grid, plan_of, result_of

VARIANT = variant_id(MODEL)


def info(digest: str) -> ModelInfo:
    """A model that renders prompts with that digest."""
    return ModelInfo(30, 4, "llama", "float32", "cpu", 8, 1.0, digest)


def test_a_model_that_renders_otherwise_than_the_stored_cells_is_told_once(tmp_path: Path) -> None:
    cells = grid()
    store = filled(tmp_path, cells[:3])
    store.write_plan(plan_of(cells))
    store.compact()
    told: list[News] = []
    wordings = Wordings(store, told.append)
    wordings.hear(ModelLoaded(VARIANT, "w", info("abc")))
    assert told == []
    wordings.hear(ModelLoaded(VARIANT, "w", info("def")))
    wordings.hear(ModelLoaded(VARIANT, "v", info("def")))
    (note,) = told
    assert isinstance(note, Noted)
    assert "model smollm2: what is stored was made with prompts of different wording" in note.text
    assert "(chat template digests abc, def)" in note.text
    result = result_of(cells[3])
    with Recording(store) as recorder:
        recorder.cell(cells[3], replace(result, provenance={**result.provenance, "template_sha256": "def"}), 1)
    store.compact()
    (sentence,) = mixed_wordings(store.cell_rows())
    assert sentence == note.text
    write_report(store)
    assert "prompts of different wording" in (tmp_path / "report.md").read_text()


def test_a_stored_direction_of_another_wording_is_told(tmp_path: Path) -> None:
    cells, told = grid(), list[News]()
    store = filled(tmp_path, ())
    store.write_plan(plan_of(cells))
    steering = cells[1].steering
    assert steering is not None
    store.write_direction(steering.direction, replace(direction_set(), record={"template_sha256": "old"}))
    wordings = Wordings(store, told.append)
    wordings.hear(ModelLoaded(VARIANT, "w", info("abc")))
    wordings.hear(CellStored(cells[0], result_of(cells[0])))
    assert told == []
    for cell in cells[1:3]:
        wordings.hear(CellStored(cell, result_of(cell)))
    assert ["(chat template digests abc, old)" in str(note) for note in told] == [True]


def test_one_wording_is_nothing_to_tell(tmp_path: Path) -> None:
    store = filled(tmp_path, grid())
    store.compact()
    assert mixed_wordings(store.cell_rows()) == []
