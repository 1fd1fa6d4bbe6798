"""Whole runs whose answers a model of the sweep judges: as work of its own, asked once, failed and killed like any other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from orchestrator import rescoring
from orchestrator.errors import InputError
from orchestrator.pool import POOLS
from orchestrator.report import write_report
from orchestrator.report.findings import SweepFindings
from orchestrator.report.sections import SECTIONS
from orchestrator.results.store import Store
from orchestrator.run import prepare
from orchestrator.scoring.judges import linear_probe
from orchestrator.scoring.rules import COHERENCE_VERSION
from tests.orchestrator.cli.test_commands import no_pool, prompts
from tests.orchestrator.quick_cli import quick_cli
from tests.orchestrator.test_scoring_as_work import SWEEP

ROOT = Path(__file__).parents[2]
JUDGE = "[{name: pool_judge, rubric: refusal, model: judge}, {name: length}]"
JUDGE_MODEL = """
  judge:
    hub: some/judge
    revision: 0123456789abcdef0123456789abcdef01234567
    shape: {n_layers: 8, d_model: 4, n_heads: 2, d_ff: 8, vocab_size: 100}
    steered: false
behaviors:"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], Counter[str]]:
    """How often each question was put to the judge, by its key."""
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    return lambda: Counter((tmp_path / "asked").read_text().split() if (tmp_path / "asked").exists() else ())


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rescoring, "write_report", lambda store: None)
    return quick_cli(monkeypatch)


def write(folder: Path, *texts: str, scorers: str = JUDGE) -> Path:
    (folder / "refusal.jsonl").write_text("\n".join(json.dumps(row) for row in prompts(*texts)))
    text = SWEEP.replace("SCORERS", scorers).replace("\nbehaviors:", JUDGE_MODEL)
    (folder / "sweep.yaml").write_text(text)
    return folder / "sweep.yaml"


def scores(out: Path) -> list[Any]:
    store = Store(out)
    files = sorted(out.glob("scores/pool_judge@*/*.parquet"))
    return [one for file in files for one in store.folder.score_part(file.parent.name, file.stem).scores]


def test_a_model_that_is_not_steered_judges_every_answer_once(
    cli: Callable[..., Result], tmp_path: Path, asked: Callable[[], Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = write(tmp_path, "Why?", "Name a river."), tmp_path / "out"
    plan = json.loads(cli("plan", sweep, "--json").stdout)
    ((judge, estimate),) = plan["judges"].items()
    assert (estimate["calls"], estimate["cost"]) == (6, None)
    planned = " ".join(cli("plan", sweep).output.split())
    assert "at most 6 calls" in planned
    assert f"tokens to read and {estimate['reply_tokens']:,} of replies to compare." in planned
    judging = next(one for one in prepare(sweep).plan.estimate.models if one.name == "judge")
    assert (judging.rows, judging.loads, judging.new_tokens) == (0, 1, 0)
    assert judging.prompt_tokens == estimate["prompt_tokens"] + estimate["reply_tokens"]
    told = cli("run", sweep, "--json")
    assert json.loads(told.stdout)["cells"] == {"planned": 3, "done": 3, "failed": 0, "ran": 3}, told.output
    assert sorted(one.label for one in scores(out)) == ["garbled"] * 4 + ["refuse"] * 2
    evidence = json.loads(scores(out)[0].evidence)
    assert evidence["tokens"] == [100, 10]
    assert sum(evidence["shares"]["label"].values()) == pytest.approx(1, abs=1e-3)
    # two of the three cells answer alike, so their questions are the same ones
    assert sorted(asked().values()) == [1] * len(asked())
    assert len(asked()) == 4
    rows = {row.multiplier: row for row in Store(out).cell_rows()}
    assert [(rows[one].labelled, rows[one].success_rate) for one in (None, 1, 4)] == [(True, 0), (True, 0), (True, 1)]
    table = SECTIONS["Judges"].table(SweepFindings(Store(out)))
    assert table is not None
    assert [[value.text for value in one] for one in table.rows] == [["judge", "refusal", "4", "400", "40", "", "2.0", judge]]
    assert [column.head for column in table.columns][4:6] == ["compared", "cost"], "it writes nothing"
    (about,) = [line for line in write_report(Store(out)).read_text().splitlines() if "reads answers" in line]
    assert about.startswith(
        f"| judge (reads answers) | hub: some/judge | {'0123456789abcdef' * 2}01234567 | no | float32 | none |"
    )
    assert [line.split()[0] for line in cli("status", out).output.splitlines()[2:]] == ["model", "small"], "it has no cells"
    before = asked()
    monkeypatch.setitem(POOLS, "local", no_pool)
    assert cli("run", sweep).exit_code == 0
    assert cli("score", out).exit_code == 0
    next((out / "scores" / judge).glob("*.parquet")).unlink()
    assert cli("score", out).exit_code == 0
    assert (len(scores(out)), asked()) == (6, before), "its replies are kept: no worker is needed"


def test_a_folder_that_is_finished_gets_a_judge_and_one_that_fails_is_retried(
    cli: Callable[..., Result], tmp_path: Path, asked: Callable[[], Counter[str]]
) -> None:
    texts = ("Why?", "Name a river. [judge fails]")
    sweep, out = write(tmp_path, *texts, scorers="[{name: length, target: {at_least: 1}}]"), tmp_path / "out"
    assert cli("run", sweep).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in (out / "responses").iterdir()}
    write(tmp_path, *texts)
    assert "0 of 3 cells to run, 3 done before, 3 items to judge, 3 done cells to score by pool_judge" in " ".join(
        cli("plan", sweep).output.split()
    )
    told = cli("run", sweep, "--json")
    summary = json.loads(told.stdout)
    assert (summary["exit_code"], summary["cells"]["ran"], len(summary["failures"])) == (1, 0, 3), told.output
    (message,) = {one["message"] for one in summary["failures"]}
    assert message.startswith("1 of 2 questions failed, such as that on the answer to ")
    assert message.endswith(": this question is too long for the judge")
    assert {path: path.stat().st_mtime_ns for path in (out / "responses").iterdir()} == before, "no cell is generated again"
    assert (len(scores(out)), {row.labelled for row in Store(out).cell_rows()}) == (0, {False}), "no label is invented"
    assert len(json.loads(cli("errors", out, "--json").stdout)["failures"]) == 3
    tries = asked()
    assert cli("score", out).exit_code == 1
    assert len(json.loads(cli("errors", out, "--json").stdout)["failures"]) == 3, "what score does not try stays as it was"
    assert cli("run", sweep).exit_code == 1
    assert asked() == tries, "it is not tried again by itself"
    assert cli("retry", out).exit_code == 1
    again = asked() - tries
    assert again
    assert all(number == 1 for key, number in asked().items() if key not in again), "the others' replies were kept"


def test_a_driver_killed_while_the_judge_is_asked_asks_nothing_twice_and_loses_nothing(
    cli: Callable[..., Result], tmp_path: Path, asked: Callable[[], Counter[str]]
) -> None:
    died = tmp_path / "died"
    sweep, out = write(tmp_path, "Why?", f"Name a river. [judge dies once {died}]"), tmp_path / "out"
    text = sweep.read_text()
    sweep.write_text(text.replace("multipliers: [1, 4]", "multipliers: [1]"))
    died.touch()  # not yet
    assert cli("run", sweep).exit_code == 0
    before = asked()
    sweep.write_text(text)
    died.unlink()
    command = [sys.executable, "-m", "tests.fake_cli", "run", str(sweep), "--quiet"]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, check=False, timeout=120)
    assert (ended.returncode, died.exists(), len(scores(out))) == (1, True, 4)
    assert len(list((out / "responses").iterdir())) == 3, "the cell itself is stored"
    assert cli("run", sweep).exit_code == 0
    assert [asked()[question] for question in before] == [1, 1], "what was answered is not asked again"
    assert max(asked().values()) <= 2, "what was under way is"
    assert sorted(one.label for one in scores(out)) == ["garbled"] * 4 + ["refuse"] * 2


@pytest.mark.parametrize(
    ("scorer", "told"),
    [
        ("{name: pool_judge, rubric: refusal, model: judg}", "model: .*judg.*did you mean 'judge'"),
        ("{name: pool_judge, rubric: refusal, model: judge, variant: x}", "'variant' follows from 'model'"),
        ("{name: pool_judge, rubric: refusal, modle: judge}", "reads, model, rubric, slots, target; did you mean 'model'"),
        ("{name: pool_judge, rubric: harm.md, model: judge, target: {at_least: 1}}", "chooses among whole numbers.*0 to 0.5"),
    ],
)
def test_what_cannot_judge_is_told(tmp_path: Path, scorer: str, told: str) -> None:
    (tmp_path / "harm.md").write_text("---\nscale: {low: 0, high: 0.5, unit: x}\n---\n{response}\n")
    with pytest.raises(InputError, match=told):
        prepare(write(tmp_path, "Why?", scorers=f"[{scorer}]"))


READER = "[{name: linear_probe, model: judge}, {name: refusal}]"
READER_MODEL = """
  judge: {embedded: smollm2-135m-instruct, steered: false}
behaviors:"""


def test_a_probe_reads_every_answer_once_and_decides_beside_the_rules(
    cli: Callable[..., Result], tmp_path: Path, asked: Callable[[], Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = write(tmp_path, "Why?", "Name a river."), tmp_path / "out"
    sweep.write_text(SWEEP.replace("SCORERS", READER).replace("\nbehaviors:", READER_MODEL))
    plan = json.loads(cli("plan", sweep, "--json").stdout)
    ((probe, estimate),) = plan["judges"].items()
    assert (probe.partition("@")[0], estimate["calls"], estimate["reply_tokens"]) == ("linear_probe", 6, 0)
    assert "Judge judge, linear_probe" in " ".join(cli("plan", sweep).output.split())
    told = cli("run", sweep, "--json")
    assert json.loads(told.stdout)["cells"] == {"planned": 3, "done": 3, "failed": 0, "ran": 3}, told.output
    assert sorted(asked().values()) == [1] * 4
    store = Store(out)
    rows = {row.multiplier: row for row in store.cell_rows()}
    assert [(rows[one].labelled, rows[one].success_rate) for one in (None, 1, 4)] == [(True, 0), (True, 0), (True, 1)]
    assert {row.classifier for row in rows.values()} == {f"{probe}=refusal+coherence@{COHERENCE_VERSION}"}
    (file,) = {file.parent.name: file for file in sorted(out.glob("scores/linear_probe@*/*.parquet"))}.values()
    evidence = json.loads(store.folder.score_part(probe, file.stem).scores[0].evidence)
    assert set(evidence) >= {"rule", "probability", "rules"}
    table = SECTIONS["Judges"].table(SweepFindings(store))
    assert table is not None
    assert [value.text for value in table.rows[0]][1:4] == ["linear_probe", "4", "400"]
    monkeypatch.setitem(POOLS, "local", no_pool)
    before = asked()
    next((out / "scores" / probe).glob("*.parquet")).unlink()
    assert cli("score", out).exit_code == 0
    assert (len(list((out / "scores" / probe).glob("*.parquet"))), asked()) == (3, before), "what was read is kept"
    monkeypatch.setattr(linear_probe, "REFUSAL_VERSION", "of a later version")
    assert cli("score", out).exit_code == 0
    (later,) = {one.name for one in out.glob("scores/linear_probe@*")} - {probe}
    assert (len(list((out / "scores" / later).glob("*.parquet"))), asked()) == (3, before), "other rules ask for no other reading"
    assert {row.labelled for row in Store(out).cell_rows()} == {True}


def test_a_reading_that_is_damaged_is_made_anew(
    cli: Callable[..., Result], tmp_path: Path, asked: Callable[[], Counter[str]]
) -> None:
    sweep, out = write(tmp_path, "Why?", "Name a river."), tmp_path / "out"
    sweep.write_text(SWEEP.replace("SCORERS", READER).replace("\nbehaviors:", READER_MODEL))
    assert cli("run", sweep).exit_code == 0
    (kept,) = out.glob("judgements/linear_probe@*/*.jsonl")
    kept.write_text(re.sub(r'"log_odds": [-0-9.]+', '"log_odds": null', kept.read_text(), count=1))
    for file in out.glob("scores/linear_probe@*/*.parquet"):
        file.unlink()
    short = cli("score", out)
    assert short.exit_code == 1, "it asks no model"
    assert ": not asked of every answer yet" in " ".join(short.output.split())
    told = cli("run", sweep)
    assert told.exit_code == 0, told.output
    assert asked().total() == 5, "one was asked again"
    assert {row.labelled for row in Store(out).cell_rows()} == {True}


def test_a_probe_of_a_model_that_it_was_not_fitted_on_is_refused(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write(tmp_path, "Why?", "Name a river.", scorers=READER)
    told = cli("plan", sweep)
    assert told.exit_code == 2
    assert "behaviors.refusal.scorers[0].model" in told.output
    assert "embedded smollm2-135m-instruct" in " ".join(told.output.split())
