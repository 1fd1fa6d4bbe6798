"""Runs whose later grids follow from the results of earlier ones, end to end over fake workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.pool import POOLS
from orchestrator.results.store import Store
from tests.fake_cli import with_fake_worker
from tests.orchestrator.cli.test_commands import no_pool, prompts

SWEEP = """
name: rounds
models:
  small:
    hub: some/fake
    revision: 0123456789abcdef0123456789abcdef01234567
    shape: {n_layers: 8, d_model: 4, n_heads: 2, d_ff: 8, vocab_size: 100}
behaviors:
  refusal: {file: refusal.jsonl, splits: {select: 0.5, report: 0.5}}
decoding: {max_new_tokens: 8}
engine: {slots: 4}
pool: local
results: out
grids:
- name: pilot
  behaviors: {refusal: {split: select}}
  layers: [3, 5]
  multipliers: MULTIPLIERS
- name: final
  behaviors: {refusal: {split: report}}
  choose: {from: pilot, layer: best, multiplier: calibrated}
- name: after
  behaviors: {refusal: {split: report}}
  choose: {from: final, layer: best, multiplier: calibrated, around: [0.5, 1]}
"""
TEXTS = ("Why is the sky blue?", "Name a river.", "How do I bake bread rolls?", "What is a prime number?")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in this process; the local pool's worker is a fake, which refuses from 2 on and garbles from 8 on."""
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


def write(folder: Path, multipliers: str = "[1, 4, 6, 9]", texts: tuple[str, ...] = TEXTS) -> Path:
    (folder / "refusal.jsonl").write_text("\n".join(json.dumps(row) for row in prompts(*texts)))
    path = folder / "rounds.yaml"
    path.write_text(SWEEP.replace("MULTIPLIERS", multipliers))
    return path


def as_json(told: Result) -> Any:
    return json.loads(told.stdout)


def settings(folder: Path) -> dict[str, set[tuple[int | None, float | None, bool | None]]]:
    """behavior -> (layer, multiplier, in sample) of every finished cell."""
    found: dict[str, set[tuple[int | None, float | None, bool | None]]] = {}
    for row in Store(folder / "out").cell_rows():
        found.setdefault(row.behavior, set()).add((row.source_layer, row.multiplier, row.in_sample))
    return found


def test_one_command_runs_every_round(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write(tmp_path)
    planned = as_json(cli("plan", sweep, "--json"))
    assert (planned["totals"]["cells"], [one["cells"] for one in planned["deferred"]]) == (10, [1, 2])
    told = cli("run", sweep)
    assert told.exit_code == 0, told.output
    assert "12 of 12 cells done" in told.output
    assert "grid final: at most 1 cell to follow" in told.output
    chosen = "layer 3, multiplier 6 (2 of 2 successes, 0 garbled; best of 8 in grid pilot)"
    assert f"chosen: grid final, small, refusal, dim: {chosen}" in told.output
    found = settings(tmp_path)
    assert found["refusal/report"] == {(None, None, None), (3, 6.0, True), (3, 3.0, True)}, (
        "final chooses for after, on its own prompts"
    )
    assert found["refusal/select"] >= {(layer, multiplier, True) for layer in (3, 5) for multiplier in (1.0, 4.0, 6.0, 9.0)}
    choices = json.loads((tmp_path / "out" / "choices.json").read_text())["choices"]
    assert [(one["grid"], one["chosen"]["multiplier"]) for one in choices] == [("final", 6.0), ("after", 6.0)]
    assert len(choices[0]["considered"]) == 8


def test_a_finished_sweep_opens_no_pool_and_plans_the_same(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = write(tmp_path)
    cli("run", sweep)
    monkeypatch.setitem(POOLS, "local", no_pool)
    again = as_json(cli("run", sweep, "--json"))
    assert (again["cells"]["planned"], again["cells"]["ran"], again["exit_code"]) == (12, 0, 0)
    planned = as_json(cli("plan", sweep, "--json"))
    assert (planned["totals"]["cells"], planned["deferred"], planned["progress"]["to_run"]) == (12, [], 0)


def test_it_continues_where_it_stopped(cli: Callable[..., Result], tmp_path: Path) -> None:
    """Whatever is lost of a run, the next one does exactly that: here two chosen cells and the tables."""
    sweep = write(tmp_path)
    cli("run", sweep)
    out = tmp_path / "out"
    chosen = [row.cell_id for row in Store(out).cell_rows() if row.behavior == "refusal/report" and row.multiplier is not None]
    for cell_id in chosen:
        (out / "responses" / f"{cell_id}.parquet").unlink()
        (out / "scores" / "refusal@13" / f"{cell_id}.parquet").unlink()
    for name in ("cells.parquet", "responses.parquet", ".compacted", "choices.json"):
        (out / name).unlink()
    summary = as_json(cli("run", sweep, "--json"))
    assert (summary["cells"]["ran"], summary["cells"]["done"]) == (2, 12)
    assert [row.cell_id for row in Store(out).cell_rows() if row.cell_id in chosen] == chosen


def test_where_everything_is_garbled_what_depends_on_it_is_told_and_not_run(cli: Callable[..., Result], tmp_path: Path) -> None:
    told = cli("run", write(tmp_path, "[8, 9]"))
    assert told.exit_code == 0, told.output
    assert "6 of 6 cells done" in told.output
    reason = "not run: none of the 4 settings of grid pilot stays within 0% garbled"
    assert f"grid final: 1 cell of small (refusal/report, dim): {reason}" in told.output
    assert "grid after: at most 2 cells to follow" in told.output
    choices = json.loads((tmp_path / "out" / "choices.json").read_text())["choices"]
    assert [one["chosen"] for one in choices] == [None]


def test_a_failed_cell_keeps_its_group_waiting(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write(tmp_path, "[1, 4]", ("[job error]", *TEXTS[1:]))
    summary = as_json(cli("run", sweep, "--json"))
    assert summary["exit_code"] == 1
    waiting = [one for one in summary["deferred"] if one["waiting"]]
    assert waiting
    write(tmp_path, "[1, 4]")
    assert as_json(cli("run", sweep, "--json"))["deferred"] == []


def test_a_choice_waits_for_no_scorer_that_has_no_part_in_it(cli: Callable[..., Result], tmp_path: Path) -> None:
    """The scorer that does not decide waits until a cell of a later grid is there: for ever, were it waited for itself."""
    sweep = write(tmp_path)
    (tmp_path / "patient.py").write_text(PATIENT.format(responses=str(tmp_path / "out" / "responses"), planned=10))
    sweep.write_text(sweep.read_text().replace("report: 0.5}}", "report: 0.5}, scorers: [refusal, 'patient.py:patient']}"))
    told = cli("run", sweep)
    assert told.exit_code == 0, told.output
    assert "12 of 12 cells done" in told.output
    scored = {path.parent.name for path in (tmp_path / "out" / "scores").glob("*/*.parquet")}
    assert len(scored) == 3
    assert not Store(tmp_path / "out").lacking()


PATIENT = """
import time
from pathlib import Path


def patient(prompt, response):
    ends = time.monotonic() + 60
    while len(list(Path({responses!r}).glob("*.parquet"))) <= {planned}:
        assert time.monotonic() < ends, "no cell of a later grid has come"
        time.sleep(0.01)
    return 1.0
"""
