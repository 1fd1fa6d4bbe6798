"""Whole runs whose answers a judge scores: what fails, what is asked again, and a driver that is killed in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from orchestrator import rescoring
from orchestrator.pool import POOLS
from orchestrator.report.findings import SweepFindings
from orchestrator.report.sections import SECTIONS
from orchestrator.results.store import Store
from orchestrator.run import prepare
from tests.judge_endpoint import KEY, Answered, JudgeEndpoint, fenced_in, verdict
from tests.orchestrator.cli.test_commands import no_pool, prompts
from tests.orchestrator.quick_cli import quick_cli
from tests.orchestrator.test_scoring_as_work import SWEEP

ROOT = Path(__file__).parents[2]
JUDGE = (
    "[{name: judge, rubric: refusal, model: some/judge, concurrency: CONCURRENCY, timeout: 5.0, retries: 0, "
    "price: {input: 1.0, output: 2.0}}, {name: length}]"
)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeEndpoint]:
    with JudgeEndpoint() as found:
        for name, value in found.environment().items():
            monkeypatch.setenv(name, value)
        yield found


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rescoring, "write_report", lambda store: None)
    return quick_cli(monkeypatch)


def write(folder: Path, concurrency: int = 2) -> Path:
    texts = ("Why?", "Name a river.", "Name a tree.")
    (folder / "refusal.jsonl").write_text("\n".join(json.dumps(row) for row in prompts(*texts)))
    (folder / "sweep.yaml").write_text(SWEEP.replace("SCORERS", JUDGE.replace("CONCURRENCY", str(concurrency))))
    return folder / "sweep.yaml"


def test_a_run_asks_once_fails_what_has_no_verdict_and_retry_asks_for_that_alone(
    cli: Callable[..., Result], tmp_path: Path, endpoint: JudgeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = write(tmp_path), tmp_path / "out"
    plan = json.loads(cli("plan", sweep, "--json").stdout)
    ((judge, estimate),) = plan["judges"].items()
    assert (estimate["calls"], estimate["reply_tokens"]) == (9, 9 * 400)
    assert estimate["cost"] == pytest.approx((estimate["prompt_tokens"] + 2 * estimate["reply_tokens"]) / 1e6)
    assert "at most 9 calls" in cli("plan", sweep).output
    good = endpoint.answer
    endpoint.answer = lambda request, number: (
        Answered("no verdict") if "river" in fenced_in(request["messages"][0]["content"])[0] else good(request, number)
    )
    told = cli("run", sweep, "--json")
    summary = json.loads(told.stdout)
    assert (summary["exit_code"], summary["cells"]["done"], endpoint.checks) == (1, 3, 1), told.output
    assert {one["kind"] for one in summary["failures"]} == {"scoring"}
    assert "it is no JSON object" in told.stderr
    assert not list((out / "scores" / judge).glob("*")) if (out / "scores" / judge).exists() else True
    assert {row.labelled for row in Store(out).cell_rows()} == {False}
    before = dict(endpoint.asked)
    monkeypatch.setitem(POOLS, "local", no_pool)
    assert cli("run", sweep, "--quiet").exit_code == 1
    assert (endpoint.asked, endpoint.checks) == (before, 1), "it is not tried again by itself"
    assert set(before.values()) == {1}, "no verdict is a reply, too, for every cell with the same answer"
    assert cli("score", out).exit_code == 1
    assert (endpoint.asked, endpoint.checks) == (before, 2), "nor by `score`"
    endpoint.answer = good
    assert cli("retry", out).exit_code == 0
    again = {question for question, number in endpoint.asked.items() if number > before[question]}
    assert all("river" in fenced_in(question)[0] for question in again)
    assert again
    assert {row.labelled for row in Store(out).cell_rows()} == {True}
    asked = dict(endpoint.asked)
    assert cli("run", sweep).exit_code == cli("score", out).exit_code == 0
    assert (endpoint.asked, endpoint.checks) == (asked, 3), "everything is scored: nobody is asked"
    next((out / "scores" / judge).glob("*.parquet")).unlink()
    assert cli("run", sweep).exit_code == 0
    assert (endpoint.asked, endpoint.checks) == (asked, 4), "its replies are kept"
    assert not [path for path in out.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    table = SECTIONS["Judges"].table(SweepFindings(Store(out)))
    assert table is not None
    calls = sum(asked.values())
    cost = f"{calls * (100 + 2 * 10) / 1e6:.4f}"
    row = ["some/judge", "refusal", str(calls), f"{calls * 100:,}", str(calls * 10), cost, "", judge]
    assert [[value.text for value in one] for one in table.rows] == [row]
    assert table.columns[4].head == "written"


def test_a_judge_that_is_away_stops_a_run_before_it_starts(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JudgeEndpoint() as gone:
        url = gone.url
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    told = cli("run", write(tmp_path))
    assert (told.exit_code, "judge: it cannot be reached" in told.output) == (2, True), told.output
    assert "Traceback" not in told.output
    assert f"{url.removeprefix('http://').removesuffix('/v1')} (OPENAI_BASE_URL)" in " ".join(told.output.split())
    assert not (tmp_path / "out" / "responses").exists()
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("SCORERS", "[{name: length, target: {at_least: 1}}]"))
    assert cli("run", tmp_path / "sweep.yaml").exit_code == 0
    sweep = write(tmp_path)
    Store(tmp_path / "out").write_plan(prepare(sweep).plan)
    for words in (("run", sweep), ("score", tmp_path / "out")):
        told = cli(*words)
        assert (told.exit_code, "judge: it cannot be reached" in told.output) == (2, True), told.output


def test_a_driver_killed_in_the_middle_of_a_cell_asks_nothing_twice_and_loses_nothing(
    cli: Callable[..., Result], tmp_path: Path, endpoint: JudgeEndpoint
) -> None:
    driver: list[subprocess.Popen[bytes]] = []

    def kill(request: Mapping[str, Any], number: int) -> Answered:
        if sum(endpoint.asked.values()) == 5:
            driver[0].kill()
            driver[0].wait()
        return Answered(verdict(request, label="comply"))

    endpoint.answer = kill
    sweep, out = write(tmp_path, concurrency=1), tmp_path / "out"
    command = [sys.executable, "-m", "tests.fake_cli", "run", str(sweep), "--quiet"]
    driver.append(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path))
    assert driver[0].wait(120) == -9
    kept = sum(len(path.read_bytes().splitlines()) for path in (out / "judgements").rglob("*.jsonl"))
    before = dict(endpoint.asked)
    assert (kept, len(before)) == (4, 5), "the fifth was under way"
    assert cli("run", sweep).exit_code == 0
    twice = [question for question, number in endpoint.asked.items() if number > 1]
    assert twice == [list(before)[4]], "what was under way is asked again, and nothing that was answered"
    store = Store(out)
    assert [(row.labelled, row.n) for row in store.cell_rows()] == [(True, 3)] * 3
    files = sorted(out.glob("scores/judge@*/*.parquet"))
    scores = [one for file in files for one in store.folder.score_part(file.parent.name, file.stem).scores]
    assert [one.label for one in scores] == ["comply"] * 9
