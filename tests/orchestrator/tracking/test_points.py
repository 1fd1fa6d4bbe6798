"""What is tracked of a cell, a run and a results folder; and that no secret is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors.types import Failure
from actors.use import Use
from orchestrator.compare.selection import select
from orchestrator.redaction import SECRETS, redacted, redacted_values
from orchestrator.results.store import Store
from orchestrator.scheduling.board import Board
from orchestrator.tracking import axes, live_rates, metrics, run_config, shares, tags_of, use_points
from orchestrator.tracking.overview import curves_of, summary_of
from orchestrator.tracking.tables import RESPONSES_PER_CELL, SAMPLED_CELLS, TEXT_SHOWN, TrackedTable, files_of, tables_of
from tests.orchestrator import samples

CELLS = samples.grid()


def test_axes_and_metrics_of_a_steered_cell() -> None:
    cell = samples.cell(15, 8.0)
    assert axes(cell) == {
        "model": "smollm2",
        "quantization": "none",
        "behavior": "refusal",
        "scope": "from_layer",
        "depth": 0.5,
        "source_model": "smollm2",
        "transfer": False,
        "method": "dim",
        "layer": 15,
        "multiplier": 8.0,
        "intervention": "addition",
    }
    measured = {**metrics(samples.result_of(cell)), **shares(samples.labels_of(cell, refusals=7, garbled=1))}
    assert measured["success_rate"] == 0.7
    assert measured["garbled_rate"] == 0.1
    assert measured["other_rate"] == 0.2
    assert (measured["n"], measured["new_tokens"], measured["seconds"]) == (10, 30, 1.25)
    assert (measured["fired"], measured["shift_ratio_min"], measured["residual_norm"]) == (True, 0.99, 32.0)


def test_a_baseline_has_no_steering_axes() -> None:
    baseline = samples.cell(None)
    assert axes(baseline) == {"model": "smollm2", "quantization": "none", "behavior": "refusal", "multiplier": 0.0}
    assert "fired" not in metrics(samples.result_of(baseline))
    assert shares(())["success_rate"] == 0.0


MIB = 2**20


def test_what_workers_use_is_tracked_per_worker_and_over_all() -> None:
    uses = {
        "w1": Use(100 * MIB, 7 * MIB, 8 * MIB, 9 * MIB, 80 * MIB, 0.5),
        "w2": Use(300 * MIB, 3 * MIB, 4 * MIB, 5 * MIB, 80 * MIB, 1.0),
    }
    found = use_points(uses)
    assert {name: found[name] for name in found if name.endswith("/w1")} == {
        "memory_mib/w1": 100.0,
        "gpu_memory_mib/w1": 7.0,
        "gpu_reserved_mib/w1": 8.0,
        "gpu_peak_mib/w1": 9.0,
        "gpu_busy/w1": 0.5,
    }
    assert (found["memory_mib/most"], found["gpu_peak_mib/most"], found["gpu_busy/mean"]) == (300.0, 9.0, 0.75)


def test_without_a_gpu_only_memory_is_tracked() -> None:
    assert use_points({"w1": Use(64 * MIB)}) == {"memory_mib/w1": 64.0, "memory_mib/most": 64.0}
    assert use_points({}) == {}


def test_of_many_workers_only_the_sums_are_tracked() -> None:
    found = use_points({f"w{number}": Use(number * MIB, gpu_busy=0.25) for number in range(1, 101)})
    assert found == {"memory_mib/most": 100.0, "gpu_busy/mean": 0.25}


def test_live_rates_per_model() -> None:
    plan = samples.plan_of(CELLS)
    board = Board(plan, {one.id for one in plan.directions})
    assert live_rates(plan, board) == {"cells_done/smollm2": 0, "cells_failed/smollm2": 0}
    board.finish(CELLS[0].id, samples.result_of(CELLS[0]))
    rates = live_rates(plan, board)
    assert rates["cells_done/smollm2"] == 1
    assert rates["tokens_per_second/smollm2"] == pytest.approx(30 / 1.25)
    assert rates["seconds_left/smollm2"] == pytest.approx(4 * 1.25)


def test_the_config_says_what_was_asked_and_names_no_path() -> None:
    config = run_config("name: sample\n", samples.plan_of(CELLS))
    assert config["cells"] == 5
    assert config["sweep_file"] == "name: sample\n"
    model = config["models"]["smollm2"]  # type: ignore[index]
    assert model["adapter"] is True
    assert model["fingerprint"] == "f" * 20


def test_the_config_has_every_axis_to_group_by() -> None:
    config = run_config("name: sample\n", samples.plan_of(CELLS))
    assert (config["model"], config["behavior"], config["method"], config["scope"]) == ("smollm2", "refusal", "dim", "from_layer")
    assert (config["layer"], config["multiplier"]) == ([12, 15], [2.0, 8.0])
    assert (config["sweep"], config["max_new_tokens"], config["dtype"]) == ("sample", CELLS[0].decoding.max_new_tokens, "float32")


def test_tags_are_what_the_run_is_of() -> None:
    tags = tags_of(samples.plan_of(CELLS), ("mine", "x" * 80))
    assert tags[:4] == ("mine", "x" * 64, "refusal", "dim")
    assert "smollm2" in tags


def test_the_best_and_the_unsteered_cell_and_curves_over_real_axes(tmp_path: Path) -> None:
    store = samples.filled(tmp_path, CELLS, {(15, 8.0): (7, 1), (12, 2.0): (7, 3), (15, 2.0): (2, 0)})
    store.compact()
    rows = store.cell_rows()
    found = summary_of(rows)
    assert (found["best/layer"], found["best/multiplier"], found["best/success_rate"]) == (15, 8.0, 0.7), "fewer are garbled"
    assert found["best/selection"] == "model=smollm2,behavior=refusal,method=dim,layer=15,multiplier=8"
    assert [row.cell_id for row in select(rows, str(found["best/selection"]))] == [found["best/cell_id"]]
    assert found["baseline/success_rate"] == 0.0
    assert "baseline/layer" not in found
    points = list(curves_of(rows))
    by_layer = [(point["layer"], value) for point in points for key, value in point.items() if key.endswith("multiplier=8")]
    assert next(point for point in by_layer if point[0] == 15) == (15, 0.7)
    assert [layer for layer, _ in by_layer] == sorted(layer for layer, _ in by_layer)
    name = "by_multiplier/success_rate/smollm2 refusal dim from_layer layer=15"
    assert [(point["multiplier"], point[name]) for point in points if name in point] == [(2.0, 0.2), (8.0, 0.7)]


def test_several_models_have_a_best_each(tmp_path: Path) -> None:
    store = samples.filled(tmp_path, CELLS, {(15, 8.0): (7, 1)})
    store.compact()
    rows = store.cell_rows()
    other = [replace(row, model="big") for row in rows if row.layer != 15]
    found = summary_of([*rows, *other])
    assert found["best/smollm2/refusal/layer"] == found["best/layer"] == 15
    assert found["best/model"] == "smollm2"
    assert found["best/big/refusal/layer"] == 12
    assert found["baseline/big/refusal/n"] == 10


def named(tables: list[TrackedTable], name: str) -> list[dict[str, object]]:
    (table,) = (table for table in tables if table.name == name)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_tables_of_a_results_folder(tmp_path: Path) -> None:
    store = samples.filled(tmp_path, CELLS, {(15, 8.0): (7, 1)})
    store.compact()
    tables = tables_of(store)
    (steered,) = (row for row in named(tables, "cells") if row["layer"] == 15 and row["multiplier"] == 8.0)
    assert steered["success_rate"] == 0.7
    assert steered["success_low"] == pytest.approx(0.397, abs=1e-3)  # Wilson, 7 of 10
    assert steered["fired"] is True
    responses = named(tables, "responses")
    assert len(responses) == sum(cell.rows for cell in CELLS), "a small run's responses are all there"
    assert {row["method"] for row in responses} == {None, "dim"}
    assert all(row["response"] == f"Answer to {row['prompt_id']}." for row in responses)
    assert named(tables, "failures") == []


def test_the_sample_of_responses_is_bounded_and_always_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = samples.grid(range(20), (1.0, 2.0, 4.0, 8.0))
    assert len(cells) > SAMPLED_CELLS
    monkeypatch.setattr("orchestrator.tracking.tables.MAX_RESPONSES", 100)
    one, other = samples.filled(tmp_path / "one", cells), samples.filled(tmp_path / "other", tuple(reversed(cells)))
    one.compact()
    other.compact()
    sample = named(tables_of(one), "responses")
    assert len(sample) == SAMPLED_CELLS * RESPONSES_PER_CELL
    assert named(tables_of(other), "responses") == sample


def test_what_a_model_wrote_stays_text(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_plan(samples.plan_of(CELLS[:1]))
    hostile = "<script>alert(1)</script>\x1b[2J\u202e" + "x" * 5000
    store.write_responses(CELLS[0], samples.result_of(CELLS[0], lambda _: hostile), 1)
    samples.write_labels(store, CELLS[0].id, samples.labels_of(CELLS[0]))
    store.compact()
    shown = str(named(tables_of(store), "responses")[0]["response"])
    assert shown.startswith("<script>alert(1)</script>\\x1b[2J\\u202e")
    assert len(shown) < TEXT_SHOWN + 30
    assert shown.isprintable()


def write_report(root: Path) -> None:
    (root / "report.md").write_text("# page\n")
    (root / "report").mkdir()
    (root / "report" / "heat-map-01.svg").write_bytes(b"<svg/>")


def test_only_the_report_and_the_tables_are_kept(tmp_path: Path) -> None:
    store = samples.filled(tmp_path, CELLS)
    store.compact()
    write_report(tmp_path)
    (tmp_path / "secret.md").symlink_to("/etc/hostname")
    (tmp_path / ".env").write_text("WANDB_API_KEY=x")
    names = {name for _, name in files_of(store)}
    assert {"report.md", "cells.parquet", "responses.parquet", "report/heat-map-01.svg"} <= names
    assert not {"secret.md", ".env", "sweep.yaml", "plan.json"} & names


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_sent(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(name, "hf_very_secret_token")
    assert redacted("401 for hf_very_secret_token!") == f"401 for [{name}]!"
    assert redacted_values({"a": ["x hf_very_secret_token", 3]}) == {"a": [f"x [{name}]", 3]}
    store = samples.filled(tmp_path, CELLS[:1])
    store.write_failure(Failure("cell-" + "0" * 20, "hub", "GET https://x/?token=hf_very_secret_token failed", "trace"))
    assert named(tables_of(store), "failures")[0]["message"] == f"GET https://x/?token=[{name}] failed"


def test_short_values_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "none")
    assert redacted("nonetheless") == "nonetheless"
