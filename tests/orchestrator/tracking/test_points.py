"""What is tracked of a cell, a run and a results folder; and that no secret is."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.types import Failure
from actors.use import Use
from orchestrator.redaction import SECRETS, redacted, redacted_values
from orchestrator.results.store import Store
from orchestrator.scheduling.board import Board
from orchestrator.tracking import axes, live_rates, metrics, run_config, shares, use_points
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
    assert len(responses) == len(CELLS) * RESPONSES_PER_CELL
    assert all(row["response"] == f"Answer to {row['prompt_id']}." for row in responses)
    assert named(tables, "failures") == []


def test_the_sample_of_responses_is_bounded_and_always_the_same(tmp_path: Path) -> None:
    cells = samples.grid(range(20), (1.0, 2.0, 4.0, 8.0))
    assert len(cells) > SAMPLED_CELLS
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
