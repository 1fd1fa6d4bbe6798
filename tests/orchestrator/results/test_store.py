"""The results folder: what is done stays, what is damaged runs anew, and the tables follow from the parts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from actors.types import Direction, DirectionSet, Failure, FiredCheck, Prompt
from orchestrator.errors import InputError
from orchestrator.results.store import Store, UnreadableFileError
from orchestrator.scoring.options import ScorerOptions
from orchestrator.scoring.rules import RefusalScorer
from orchestrator.scoring.score import score_responses
from orchestrator.storage.locking import StoreLockedError
from tests.orchestrator.comparisons import ALPHA, BETA, plan_with, set_of, spec_of, steered
from tests.orchestrator.samples import (
    PROMPTS,
    cell,
    direction_set,
    direction_spec,
    filled,
    grid,
    labels_of,
    plan_of,
    result_of,
    write_labels,
)

SAID = RefusalScorer(ScorerOptions())
COUNTS = {None: (0, 0), (12, 8.0): (0, 10), (15, 8.0): (9, 1)}
STRANGE = "caf\u00e9 \u4e2d\u6587 \u0627\u0644 \U0001f600 \x00 \x1b[31mred\x1b[0m \u202e \r\n\t \u2028 [bold]x[/bold] | \ufffd"


def snapshot(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """Name -> content, mtime and inode of every file."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in files}


def contents(root: Path) -> dict[str, bytes]:
    return {name: content for name, (content, _, _) in snapshot(root).items()}


# --- directions --------------------------------------------------------------------------------------------------


def test_a_direction_set_comes_back(tmp_path: Path) -> None:
    store, spec = Store(tmp_path / "r"), direction_spec()
    assert store.done_directions() == set()
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, 4)).astype(np.float32)
    directions = tuple(Direction(layer, vector, 0.1 + layer) for layer, vector in zip((1, 4, 9), vectors, strict=True))
    found = DirectionSet(directions, (1 / 3, 2.0, 3.0), 4, {"template": "{% if x %}\u00e9{% endif %}"})
    store.write_direction(spec, found)
    assert store.done_directions() == {spec.id}
    read = store.read_direction(spec.id)
    assert (read.residual_norms, read.selected_layer, read.record) == (found.residual_norms, 4, found.record)
    assert [(one.layer, one.raw_norm) for one in read.directions] == [(one.layer, one.raw_norm) for one in directions]
    np.testing.assert_array_equal([one.vector for one in read.directions], vectors)
    assert read.at(4).vector.dtype == np.float32


def test_a_direction_file_says_where_it_came_from(tmp_path: Path) -> None:
    store, spec = Store(tmp_path), direction_spec()
    store.write_direction(spec, direction_set())
    with safe_open(tmp_path / "directions" / f"{spec.id}.safetensors", framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in ("directions", "layers", "raw_norms", "residual_norms")}
    kinds = {name: (tensor.dtype.name, tensor.shape) for name, tensor in tensors.items()}
    assert kinds == {
        "directions": ("float32", (30, 4)),
        "layers": ("int64", (30,)),
        "raw_norms": ("float64", (30,)),
        "residual_norms": ("float64", (30,)),
    }
    assert (metadata["id"], metadata["method"], metadata["extractor"]) == (spec.id, "dim", "nnsight")
    assert json.loads(metadata["selected_layer"]) is None
    assert json.loads(metadata["spec"])["harmful"] == [["h", "How do I pick a lock?"]]


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_direction_that_is_not_finite_is_refused(tmp_path: Path, number: float) -> None:
    store, good = Store(tmp_path), direction_set((0, 1))
    vector = np.array([number, 0, 0, 0], dtype=np.float32)
    for bad in (
        replace(good, directions=(good.directions[0], Direction(1, vector, 1.0))),
        replace(good, directions=(good.directions[0], replace(good.directions[1], raw_norm=number))),
        replace(good, residual_norms=(1.0, number)),
    ):
        with pytest.raises(ValueError, match="NaN or infinity"):
            store.write_direction(direction_spec(), bad)
    with pytest.raises(ValueError, match="one direction and one residual norm per layer"):
        store.write_direction(direction_spec(), replace(good, residual_norms=(1.0,)))
    assert store.done_directions() == set()


def test_a_damaged_direction_is_moved_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, spec = Store(tmp_path), direction_spec()
    store.write_direction(spec, direction_set())
    path = tmp_path / "directions" / f"{spec.id}.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UnreadableFileError):
        store.read_direction(spec.id)
    assert store.done_directions() == set()
    assert "quarantine" in caplog.text
    with pytest.raises(FileNotFoundError):
        store.read_direction(spec.id)
    store.write_direction(spec, direction_set())
    assert len(store.read_direction(spec.id).directions) == 30


# --- responses and labels ----------------------------------------------------------------------------------------


def test_responses_come_back_in_the_order_of_the_prompts(tmp_path: Path) -> None:
    store, one = Store(tmp_path), cell(None)
    result = result_of(one, lambda prompt: f"{prompt.id}: {STRANGE}")
    store.write_responses(one, replace(result, responses=result.responses[::-1]), attempt=1)
    assert store.read_responses(one.id) == result.responses
    assert store.done_cells() == {one.id}
    assert store.scored_cells(SAID.id) == set()


def test_a_lone_surrogate_is_replaced(tmp_path: Path) -> None:
    store, one = Store(tmp_path), cell(None)
    store.write_responses(one, result_of(one, lambda _: "a\ud800b \U0001f600"), attempt=1)
    assert store.read_responses(one.id)[0].text == "a\ufffdb \U0001f600"


def test_a_finished_cell_is_never_rewritten(tmp_path: Path) -> None:
    store, one = Store(tmp_path), cell(None)
    store.write_responses(one, result_of(one), attempt=1)
    before = snapshot(tmp_path)
    with pytest.raises(FileExistsError, match="never rewritten"):
        store.write_responses(one, result_of(one, lambda _: "other"), attempt=2)
    store.write_direction(direction_spec(), direction_set())
    with pytest.raises(FileExistsError):
        store.write_direction(direction_spec(), direction_set())
    assert before.items() <= snapshot(tmp_path).items()


def test_responses_of_other_prompts_are_refused(tmp_path: Path) -> None:
    store, one = Store(tmp_path), cell(None)
    good = result_of(one)
    for bad in (
        replace(good, responses=good.responses[:-1]),
        replace(good, responses=(*good.responses, good.responses[0])),
        replace(good, responses=(*good.responses[:-1], replace(good.responses[-1], prompt_id="other"))),
        replace(good, cell_id="cell-other"),
    ):
        with pytest.raises(ValueError, match="not those of its 10 prompts"):
            store.write_responses(one, bad, attempt=1)
    assert store.done_cells() == set()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_measures_that_are_not_finite_are_refused(tmp_path: Path, number: float) -> None:
    store, one = Store(tmp_path), cell(15, 8.0)
    store.write_direction(direction_spec(), direction_set())
    good = result_of(one)
    for bad in (
        replace(good, residual_norm=number),
        replace(good, seconds=number),
        replace(good, fired=FiredCheck(True, number)),
    ):
        with pytest.raises(ValueError, match=f"{one.id}: cannot be stored"):
            store.write_responses(one, bad, attempt=1)
    assert store.done_cells() == set()


def test_a_part_carries_the_whole_cell(tmp_path: Path) -> None:
    one = cell(15, 8.0)
    filled(tmp_path, [one])
    metadata = pq.read_schema(tmp_path / "responses" / f"{one.id}.parquet").metadata
    record = json.loads(metadata[b"steering_sweep"])
    assert record["axes"]["direction_id"] == direction_spec().id
    assert (record["axes"]["multiplier"], record["axes"]["layers"]) == (8.0, list(range(15, 30)))
    assert (record["axes"]["n_layers"], record["axes"]["d_model"]) == (30, 4)
    assert (record["measures"]["direction_raw_norm"], record["measures"]["residual_norm"]) == (15.5, 32.0)
    assert (record["measures"]["fired"], record["measures"]["attempt"]) == (True, 1)
    assert json.loads(record["measures"]["provenance"])["torch"] == "2.13.0"


def test_a_layer_that_the_method_chose_is_known_when_the_cell_is_finished(tmp_path: Path) -> None:
    one = steered(ALPHA, BETA, ("cosmic", None, 8.0))
    store = Store(tmp_path)
    store.write_plan(plan_with([one], {one.key: True}))
    (planned,) = store.planned().cells
    assert (planned.layers, planned.source_layer, planned.layer_selected, planned.in_sample) == (None, None, True, True)
    store.write_direction(spec_of(ALPHA, "cosmic"), set_of(ALPHA, "cosmic"))
    store.write_responses(one, result_of(one), 1)
    store.compact()
    (row,) = Store(tmp_path).cell_rows()
    assert (row.layers, row.source_layer, row.layer, row.direction_layer) == (tuple(range(12, 20)), 18, 12, 18)
    assert (row.layer_selected, row.in_sample, row.depth, row.relative_depth) == (True, True, None, 0.6)
    assert row.direction_raw_norm == 19.0  # of the source's layer 18
    record = json.loads(pq.read_schema(tmp_path / "responses" / f"{one.id}.parquet").metadata[b"steering_sweep"])
    assert record["steered"] == {"layers": list(range(12, 20)), "source_layer": 18}
    assert record["axes"]["layers"] == list(range(12, 20))


def test_labelling_again_touches_labels_alone(tmp_path: Path) -> None:
    one = cell(15, 8.0)
    store = filled(tmp_path, [one], {(15, 8.0): (9, 0)})
    assert [label.label for label in store.read_labels(one.id)] == [label.label for label in labels_of(one, 9, 0)]
    before = snapshot(tmp_path)
    write_labels(store, one.id, labels_of(one, 9, 0))
    assert snapshot(tmp_path) == before
    write_labels(store, one.id, labels_of(one, 4, 0))
    after = snapshot(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {f"scores/refusal@13/{one.id}.parquet"}
    assert [label.label for label in store.read_labels(one.id)] == [label.label for label in labels_of(one, 4, 0)]


def test_names_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    store = Store(tmp_path / "r")
    for name in ("../x", "/etc/passwd", "", ".hidden", "a/b", "a\n"):
        with pytest.raises(ValueError, match="cannot name a file"):
            store.read_responses(name)
        with pytest.raises(ValueError, match="cannot name a file"):
            store.write_failure(Failure(name, "job", "", ""))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_nothing_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    store, one = Store(tmp_path), cell(None)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, step, full)
        writes: list[Callable[[], None]] = [
            lambda: store.write_responses(one, result_of(one), 1),
            lambda: store.write_direction(direction_spec(), direction_set()),
            lambda: store.write_scores(one.id, SAID, score_responses(SAID, result_of(one).responses)),
            lambda: store.write_failure(Failure(one.id, "job", "", "")),
        ]
        for write in writes:
            with pytest.raises(OSError, match="No space"):
                write()
    assert (store.done_cells(), store.done_directions(), store.scored_cells(SAID.id), store.failures()) == (
        set(),
        set(),
        set(),
        (),
    )
    store.write_responses(one, result_of(one), 1)
    assert store.done_cells() == {one.id}


def test_leftovers_of_a_killed_driver_are_ignored_and_then_removed(tmp_path: Path) -> None:
    store = filled(tmp_path, grid())
    done = store.done_cells()
    for folder in ("responses", "scores", "directions", "failures"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / ".cell-half.parquet.4711.tmp").write_bytes(b"PAR1 half")
    (tmp_path / ".cells.parquet.4711.tmp").write_bytes(b"half")
    assert store.done_cells() == done
    assert store.compact().cells == len(done)
    with store.lock():
        assert not list(tmp_path.rglob("*.tmp"))
        with pytest.raises(StoreLockedError), Store(tmp_path).lock():
            pytest.fail("two drivers in one folder")


@pytest.mark.parametrize(
    "name", ["sweep.yaml", "report.md", "analyses/tour.ipynb", "scores/piano.pdf", "report/thesis.pdf", "scores"]
)
def test_a_folder_of_other_work_is_not_free(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("years of work")
    with pytest.raises(InputError, match=f"under names that a sweep's results have: {name.partition('/')[0]} "):
        Store(tmp_path).folder.check_free()


def test_a_new_folder_one_of_other_names_and_one_of_results_are_free(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "scores").mkdir()
    Store(tmp_path / "new").folder.check_free()
    Store(tmp_path).folder.check_free()
    folder = filled(tmp_path, grid()[:1]).folder
    folder.check_free()
    folder.plan.delete()
    folder.check_free()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the results folder"), Store(tmp_path / "file" / "r").lock():
        pytest.fail("locked nothing")


# --- plan and failures -------------------------------------------------------------------------------------------


def test_the_plan_comes_back_and_an_equal_one_is_left_alone(tmp_path: Path) -> None:
    cells = grid()
    store = filled(tmp_path, cells)
    planned = Store(tmp_path).planned()
    assert planned == store.planned()
    assert [axes.cell_id for axes in planned.cells] == [one.id for one in cells]
    assert [direction.id for direction in planned.directions] == [direction_spec().id]
    assert [(model.name, model.n_layers) for model in planned.models] == [("smollm2", 30)]
    before = snapshot(tmp_path)
    store.write_plan(plan_of(cells))
    store.write_sweep("name: sample\n")
    assert snapshot(tmp_path) == before


def test_a_folder_without_a_plan_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no plan\.json"):
        Store(tmp_path).planned()
    with pytest.raises(InputError, match=r"no plan\.json"):
        Store(tmp_path).compact()
    for damaged in ("{", "[]", "{}", '{"version": 1}', '{"version": 99}'):
        (tmp_path / "plan.json").write_text(damaged)
        with pytest.raises(InputError, match="newer" if "99" in damaged else "damaged"):
            Store(tmp_path).planned()


def test_failures_come_back_until_cleared_or_overtaken(tmp_path: Path) -> None:
    store, one = Store(tmp_path), cell(None)
    first = Failure(one.id, "job", f"boom {STRANGE} \ud800", "Traceback ...", 1, True, "cpu-0")
    other = Failure("cell-b", "not_fired", "no", "", 2)
    store.write_failure(replace(first, attempt=7))
    store.write_failure(first)
    store.write_failure(other)
    assert set(store.failures()) == {first, other}
    store.write_responses(one, result_of(one), attempt=2)
    assert store.failures() == (other,)
    assert store.clear_failures([one.id, "cell-x"]) == 0
    assert store.clear_failures() == 1
    assert store.failures() == ()
    assert store.clear_failures() == 0


def test_a_damaged_failure_is_moved_away(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_failure(Failure("cell-a", "job", "", ""))
    (tmp_path / "failures" / "cell-a.json").write_text('{"item_id"')
    assert store.failures() == ()
    assert [path.name for path in (tmp_path / "quarantine").iterdir()] == ["failures-cell-a.json"]


# --- compaction --------------------------------------------------------------------------------------------------


def test_one_row_per_planned_finished_cell_in_the_order_of_the_plan(tmp_path: Path) -> None:
    cells = grid()
    store = filled(tmp_path, cells, COUNTS)
    store.write_plan(plan_of([*cells[:1], cell(3, 1.0), *cells[1:-1]]))
    summary = store.compact()
    assert (summary.planned, summary.cells, summary.unlabelled, summary.responses) == (5, 4, 0, 40)
    rows = store.cell_rows()
    assert [row.cell_id for row in rows] == [one.id for one in cells[:-1]]
    assert [row.success_n for row in rows] == [0, 0, 0, 0]
    assert [row.garbled_n for row in rows] == [0, 0, 10, 0]
    responses = pq.read_table(tmp_path / "responses.parquet").to_pylist()
    assert [(row["cell_id"], row["prompt_id"]) for row in responses] == [(one.id, p.id) for one in cells[:-1] for p in PROMPTS]
    assert (responses[0]["layer"], responses[10]["layer"], responses[10]["multiplier"]) == (None, 12, 2.0)
    assert responses[25]["label"] == "garbled"


def test_names_follow_the_plan_without_generating_again(tmp_path: Path) -> None:
    store = filled(tmp_path, grid())
    store.compact()
    store.write_plan(plan_of(grid(name="renamed")))
    assert store.compact().changed
    assert {row.model for row in store.cell_rows()} == {"renamed"}


def test_no_op_leaves_everything_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, grid(), COUNTS)
    first = store.compact()
    before = snapshot(tmp_path)
    assert first.changed

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("opened a part although nothing changed")

    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.results.folder.decode_responses", refuse)
        assert Store(tmp_path).compact() == replace(first, changed=False)
    (tmp_path / ".compacted").unlink()
    assert Store(tmp_path).compact() == replace(first, changed=False)
    after = snapshot(tmp_path)
    assert before.keys() == after.keys()
    assert all(before[name] == after[name] for name in before if name != ".compacted")


def test_the_tables_follow_from_the_parts_alone(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    filled(here, grid(), COUNTS).compact()
    shutil.copytree(here, there)
    for name in ("cells.parquet", "responses.parquet", ".compacted", "sweep.yaml"):
        (there / name).unlink()
    shutil.rmtree(there / "directions")
    Store(there).compact()
    for name in ("cells.parquet", "responses.parquet"):
        assert contents(here)[name] == contents(there)[name]


def test_new_labels_and_new_cells_are_taken_up(tmp_path: Path) -> None:
    cells = grid()
    store = filled(tmp_path, cells, COUNTS)
    store.compact()
    write_labels(store, cells[0].id, labels_of(cells[0], 1, 0))
    assert store.compact().changed
    assert store.cell_rows()[0].success_n == 1
    labels = pq.read_table(tmp_path / "responses.parquet").column("label").to_pylist()
    assert labels[:3] == ["coherent_refusal", "normal", "normal"]
    new = cell(18, 8.0)
    parts = {name: seen for name, seen in snapshot(tmp_path).items() if name.startswith(("responses/", "scores/"))}
    store.write_plan(plan_of([*cells, new]))
    store.write_responses(new, result_of(new), 1)
    summary = store.compact()
    assert (summary.cells, summary.unlabelled, summary.changed) == (6, 1, True)
    row = store.cell_rows()[-1]
    assert (row.labelled, row.success_rate, row.classifier, row.n) == (False, None, None, 10)
    assert parts.items() <= snapshot(tmp_path).items()


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_a_truncated_part_is_moved_away_and_the_rest_compacted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    cells = grid()
    store = filled(tmp_path, cells, COUNTS)
    broken = cells[2]
    path = tmp_path / "responses" / f"{broken.id}.parquet"
    path.write_bytes(path.read_bytes()[:size])
    summary = store.compact()
    assert (summary.cells, summary.quarantined) == (4, (broken.id,))
    assert store.done_cells() == {one.id for one in cells} - {broken.id}
    assert broken.id not in store.labelled_cells()
    assert sorted(path.name for path in (tmp_path / "quarantine").iterdir()) == [
        f"responses-{broken.id}.parquet",
        f"scores-coherence@6-{broken.id}.parquet",
        f"scores-refusal@13-{broken.id}.parquet",
    ]
    assert "made anew" in caplog.text
    store.write_responses(broken, result_of(broken), 2)
    write_labels(store, broken.id, labels_of(broken))
    assert [row.cell_id for row in (store.compact(), store.cell_rows())[1]] == [one.id for one in cells]
    path.write_bytes(b"again")
    with pytest.raises(UnreadableFileError):
        store.read_responses(broken.id)
    assert len(list((tmp_path / "quarantine").iterdir())) == 6


def test_damaged_or_foreign_labels_are_made_anew_without_generating(tmp_path: Path) -> None:
    cells = grid()
    store = filled(tmp_path, cells, COUNTS)
    (tmp_path / "scores" / "refusal@13" / f"{cells[0].id}.parquet").write_bytes(b"junk")
    write_labels(store, cells[1].id, labels_of(cells[1])[:-1])
    summary = store.compact()
    assert (summary.cells, summary.unlabelled) == (5, 2)
    assert set(summary.quarantined) == {cells[0].id, cells[1].id}
    assert store.labelled_cells() == {one.id for one in cells[2:]}
    assert store.done_cells() == {one.id for one in cells}


def test_damaged_tables_are_written_anew(tmp_path: Path) -> None:
    store = filled(tmp_path, grid(), COUNTS)
    assert store.cell_rows() == []
    store.compact()
    rows = store.cell_rows()
    (tmp_path / "cells.parquet").write_bytes(b"junk")
    assert store.cell_rows() == []
    assert store.compact().changed
    assert store.cell_rows() == rows


def test_a_plan_without_any_finished_cell(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_plan(plan_of(grid()))
    summary = store.compact()
    assert (summary.planned, summary.cells, summary.responses) == (5, 0, 0)
    assert store.cell_rows() == []
    assert pq.read_table(tmp_path / "responses.parquet").num_rows == 0


def test_many_rows_become_few_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.results.finished_cells.ROWS_PER_GROUP", 25)
    store = filled(tmp_path, grid(multipliers=(1.0, 2.0, 3.0)))
    store.compact()
    file = pq.ParquetFile(tmp_path / "responses.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [30, 30, 10]


def test_strange_text_reaches_the_table(tmp_path: Path) -> None:
    one = cell(None)
    store = Store(tmp_path)
    store.write_plan(plan_of([one]))

    def strange(_: Prompt) -> str:
        return STRANGE

    store.write_responses(one, result_of(one, strange), 1)
    store.compact()
    assert pq.read_table(tmp_path / "responses.parquet").column("response").to_pylist() == [STRANGE] * 10
