"""A results folder of the first version is read, compacted and reported; nothing in it is lost or moved away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from orchestrator.report import write_report
from orchestrator.results.schema import LABEL_PART, RECORD_KEY, open_writer
from orchestrator.results.store import Store
from tests.orchestrator.samples import filled, grid

NEW_COLUMNS = [
    "layer_selected",
    "in_sample",
    "prompts_sha256",
    "direction_cosine_to_full_precision",
    "cross_cosine",
    *(f"no_answer_{what}" for what in ("n", "rate", "low", "high")),
    "target",
]
SHARES = ("n", "rate", "low", "high")
NEW_PART_COLUMNS = {"responses": ["marked_response", "prompt_opens"], "labels": ["answer", "outcome"]}
NEW_AXES = ("layer_selected", "in_sample")


def aged(root: Path) -> Store:
    """A folder as version 1 wrote it."""
    filled(root, grid(), {(15, 8.0): (9, 1)}).compact()
    plan = json.loads((root / "plan.json").read_bytes())
    plan = {**plan, "version": 1, "classifier": "text"}
    del plan["incomparable"], plan["scoring"]
    for axes in plan["cells"]:
        for name in NEW_AXES:
            axes.pop(name, None)  # a plan leaves out what is the default
    for direction in plan["directions"]:
        del direction["prompts_sha256"]
    (root / "plan.json").write_text(json.dumps(plan))
    for path in (root / "responses").iterdir():
        table = pq.read_table(path)
        record = json.loads(table.schema.metadata[RECORD_KEY])
        del record["steered"], record["sha256"]
        for name in NEW_AXES:
            del record["axes"][name]
        _write(path, table.drop_columns(NEW_PART_COLUMNS["responses"]), record)
    store = Store(root)
    (root / "labels").mkdir()
    for one in store.cell_rows():
        table = LABEL_PART.table(store.read_labels(one.cell_id)).drop_columns(NEW_PART_COLUMNS["labels"])
        said: dict[str, object] = {"cell_id": one.cell_id, "labelled_at": "2026-01-01T00:00:00+00:00"}
        _write(root / "labels" / f"{one.cell_id}.parquet", table, said)
    shutil.rmtree(root / "scores")
    pq.write_table(_with_its_labels(pq.read_table(root / "cells.parquet").drop_columns(NEW_COLUMNS)), root / "cells.parquet")
    for name in (".compacted", "directions.parquet", "transfer.parquet", "rates.parquet", "scores.parquet"):
        (root / name).unlink()
    return Store(root)


def _with_its_labels(cells: Any) -> Any:
    """The labels of the only classifier that there was named the columns."""
    names = {f"success_{what}": f"coherent_refusal_{what}" for what in SHARES}
    table = cells.rename_columns([names.get(name, name) for name in cells.column_names])
    for what in SHARES:
        table = table.append_column(f"normal_{what}", table.column(f"coherent_refusal_{what}"))
    return table


def _write(path: Path, table: Any, record: dict[str, object]) -> None:
    """A part with the record of version 1."""
    metadata = {RECORD_KEY: json.dumps({**record, "version": 1}).encode()}
    with open_writer(path, table.schema.with_metadata(metadata)) as writer:
        writer.write_table(table.replace_schema_metadata(metadata))


def test_its_table_is_read_as_it_is(tmp_path: Path) -> None:
    store = aged(tmp_path)
    rows = store.cell_rows()
    assert len(rows) == 5
    assert (rows[-1].success_n, rows[-1].layers, rows[-1].source_layer) == (9, tuple(range(15, 30)), 15)
    assert (rows[-1].layer_selected, rows[-1].in_sample, rows[-1].prompts_sha256, rows[-1].cross_cosine) == (
        False,
        None,
        None,
        None,
    )
    assert (rows[-1].no_answer_n, rows[-1].count("no_answer"), rows[-1].labelled) == (None, 0, True)
    assert (rows[-1].target, rows[-1].garbled_n, rows[-1].count("other")) == ("coherent_refusal", 1, 0)
    assert store.rate_rows() == []
    assert (store.direction_rows(), store.transfer_rows()) == ([], [])
    assert not (tmp_path / "quarantine").exists()


def test_it_is_compacted_and_reported_without_losing_anything(tmp_path: Path) -> None:
    store = aged(tmp_path)
    parts = {path: path.read_bytes() for path in (tmp_path / "responses").iterdir()}
    summary = store.compact()
    assert (summary.cells, summary.unlabelled, summary.quarantined) == (5, 0, ())
    rows = store.cell_rows()
    assert (rows[-1].layers, rows[-1].source_layer, rows[-1].layer_selected) == (tuple(range(15, 30)), 15, False)
    assert (rows[-1].no_answer_n, rows[-1].no_answer_rate) == (0, 0.0)
    assert [(row.label, row.k) for row in store.rate_rows()][-4:] == [
        ("coherent_refusal", 9),
        ("garbled", 1),
        ("normal", 0),
        ("no_answer", 0),
    ]
    assert {one.prompt_opens for one in store.read_responses(rows[-1].cell_id)} == {None}
    assert rows[-1].prompts_sha256 == rows[0].prompts_sha256 is not None
    assert len(store.direction_rows()) == 30
    assert "9/10" in write_report(store).read_text()
    assert {path: path.read_bytes() for path in (tmp_path / "responses").iterdir()} == parts
    assert not (tmp_path / "quarantine").exists()
    assert store.planned().incomparable == ()


def test_the_same_plan_written_again_brings_it_up_to_date(tmp_path: Path) -> None:
    aged(tmp_path).compact()
    fresh = tmp_path / "fresh"
    filled(fresh, grid(), {(15, 8.0): (9, 1)}).compact()
    (tmp_path / "plan.json").write_bytes((fresh / "plan.json").read_bytes())
    store = Store(tmp_path)
    store.compact()
    assert [row.cell_id for row in store.cell_rows()] == [row.cell_id for row in Store(fresh).cell_rows()]
