"""Scoring is work of its own: items that are done, fail and run again by themselves, beside the generation."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from orchestrator.news import CellScored, ItemFailed, News, Noted
from orchestrator.pool import POOLS
from orchestrator.results.store import Store
from orchestrator.scheduler import Scheduler
from orchestrator.scheduling.board import Board
from orchestrator.scorekeeper import Scorekeeper
from orchestrator.scoring.answer import Answer
from orchestrator.scoring.own import OwnScorer
from orchestrator.scoring.planned import BehaviorScoring, Criterion, ScorerUse
from orchestrator.scoring.score import Labels
from orchestrator.scoring.uses import Scoring, default_scorers, default_scoring
from tests.orchestrator.cli.test_commands import no_pool, prompts
from tests.orchestrator.quick_cli import quick_cli
from tests.orchestrator.recording import Recording
from tests.orchestrator.samples import grid, plan_of, result_of
from tests.orchestrator.test_scheduler import FakePool

SWEEP = """
name: scored
models:
  small:
    hub: some/fake
    revision: 0123456789abcdef0123456789abcdef01234567
    shape: {n_layers: 8, d_model: 4, n_heads: 2, d_ff: 8, vocab_size: 100}
behaviors:
  refusal: {file: refusal.jsonl, scorers: SCORERS}
decoding: {max_new_tokens: 8}
engine: {slots: 4}
pool: local
results: out
layers: [3]
multipliers: [1, 4]
"""
MINE = """
open("loaded", "a").write("x")

def judged(prompt, response):
    assert "river" not in prompt, "rivers are too deep"
    return "long" if len(response) > 10 else "short"
"""
OWN = "[{name: 'mine.py:judged', labels: [long, short], target: long}, {name: length, unit: tokens}]"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return quick_cli(monkeypatch)


def write(folder: Path, scorers: str, code: str = MINE) -> Path:
    (folder / "refusal.jsonl").write_text("\n".join(json.dumps(row) for row in prompts("Why?", "Name a river.")))
    (folder / "mine.py").write_text(code)
    (folder / "sweep.yaml").write_text(SWEEP.replace("SCORERS", scorers))
    return folder / "sweep.yaml"


def scored(folder: Path) -> dict[str, int]:
    """How many cells each scorer, by its kind, has scored."""
    return {path.name.partition("@")[0]: len(list(path.glob("*.parquet"))) for path in (folder / "out" / "scores").iterdir()}


def test_a_scorer_that_raises_fails_its_own_items_until_it_is_mended(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = write(tmp_path, OWN), tmp_path / "out"
    told = cli("run", sweep, "--json")
    summary = json.loads(told.stdout)
    assert (summary["exit_code"], summary["cells"]) == (1, {"planned": 3, "done": 3, "failed": 0, "ran": 3}), told.output
    assert {one["kind"] for one in summary["failures"]} == {"scoring"}
    cells = {row.cell_id: row for row in Store(out).cell_rows()}
    assert {one["item_id"].partition(".")[0] for one in summary["failures"]} == set(cells)
    assert "response to prompt" in told.stderr
    assert "AssertionError: rivers are too deep" in told.stderr
    assert "failed: cell-" not in told.stderr, "its cell is told in words"
    assert {(row.success_n, row.labelled, row.n) for row in cells.values()} == {(None, False, 2)}
    assert scored(tmp_path) == {"length": 3, "coherence": 3}
    assert {row.mean for row in Store(out).rate_rows() if row.scorer.startswith("length")} != {None}
    assert (tmp_path / "loaded").read_text() == "xx", "its file is run once, and once in the process that scores"
    assert str(tmp_path) not in (out / "plan.json").read_text()
    status = json.loads(cli("status", out, "--json").stdout)
    assert (len(status["failures"]), status["cells"]["failed"]) == (3, 0)
    assert "scored by mine.judged@" in cli("status", out).output
    monkeypatch.setitem(POOLS, "local", no_pool)
    assert cli("run", sweep, "--quiet").exit_code == 1, "it is not tried again by itself"
    assert "3 failures cleared" in cli("retry", out, "--kind", "scoring").output
    assert len(json.loads(cli("errors", out, "--json").stdout)["failures"]) == 3, "it was tried, and failed again"
    write(tmp_path, OWN, MINE.replace("    assert", "    # assert"))
    assert cli("run", sweep).exit_code == 0
    assert {row.labelled for row in Store(out).cell_rows()} == {True}


def test_a_scorer_that_is_added_scores_what_is_there_and_one_that_is_left_out_keeps_its_files(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    cli("run", write(tmp_path, "[{name: refusal}]"))
    before = {path: path.stat().st_mtime_ns for kind in ("responses", "scores") for path in (out / kind).rglob("*.parquet")}
    monkeypatch.setitem(POOLS, "local", no_pool)
    added = cli("run", write(tmp_path, "[{name: refusal}, {name: length}]"))
    assert added.exit_code == 0
    assert "3 of 3 cells done; nothing had to be generated, 3 scored now" in added.output
    assert "Other scorers" in added.output
    assert scored(tmp_path) == {"refusal": 3, "coherence": 3, "length": 3}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {row.scorer.partition("@")[0] for row in Store(out).rate_rows()} == {"refusal", "coherence", "length"}
    targets = [row.success_n for row in Store(out).cell_rows()]
    other = cli("run", write(tmp_path, "[{name: refusal, target: normal}]"))
    assert other.exit_code == 0
    assert "3 of 3 cells done; no cell had to be run" in other.output
    assert [row.success_n for row in Store(out).cell_rows()] != targets
    assert scored(tmp_path) == {"refusal": 3, "coherence": 3, "length": 3}
    assert {row.scorer.partition("@")[0] for row in Store(out).rate_rows()} == {"refusal", "coherence"}
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_score_makes_one_scorer_s_scores_anew(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli("run", write(tmp_path, "[{name: refusal}, {name: length}]"))
    for path in out.glob("scores/*/*.parquet"):
        path.unlink()
    told = json.loads(cli("score", out, "--scorer", "length", "--json").stdout)
    assert [one.partition("@")[0] for one in told["scorers"]] == ["length"]
    wrong = cli("score", out, "--scorer", "lenght")
    assert (wrong.exit_code, "did you mean 'length'?" in wrong.output) == (2, True)
    assert cli("score", out).exit_code == 0
    assert scored(tmp_path) == {"refusal": 3, "coherence": 3, "length": 3}


OUTER = """
print("made")

def judged(prompt, response):
    print("scored")
    return open("said").read()
"""


def test_scores_that_cannot_be_made_anew_are_told_and_stay(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "said").write_text("long")
    own = "[{name: 'mine.py:judged', labels: [long, short], target: long}]"
    told = cli("run", write(tmp_path, own, OUTER), "--json")
    assert json.loads(told.stdout)["exit_code"] == 0, "what a scorer prints goes elsewhere"
    assert "scored" in told.stderr
    (tmp_path / "said").write_text("neither")
    told = cli("score", out, "--json")
    summary = json.loads(told.stdout)
    assert (told.exit_code, len(summary["failed"]), summary["labels"]) == (1, 3, {"long": 6})
    assert "gave 'neither'; declared: long, short" in summary["failures"][0]
    assert json.loads(cli("status", out, "--json").stdout)["failures"] == []
    assert json.loads(cli("errors", out, "--json").stdout)["failures"] == [], "what is scored has not failed"
    (tmp_path / "said").write_text("short")
    assert cli("score", out).exit_code == 0
    assert [row.success_n for row in Store(out).cell_rows()] == [0, 0, 0]


class Blocking:
    """A function of the user's own that answers nothing until it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.begun = threading.Event()

    def __call__(self, prompt: str, response: str) -> str:
        self.begun.set()
        assert self.may.wait(120)
        return "yes"


def blocked(tmp_path: Path) -> tuple[Blocking, Store, Scoring]:
    """A store whose behavior is scored by a function that blocks."""
    function, store = Blocking(), Store(tmp_path)
    scorer = OwnScorer("slow@1", Labels(("yes", "no"), "yes"), function)
    scoring = BehaviorScoring((ScorerUse("slow", {}, scorer.id),), Criterion(scorer.id, default_scoring().criterion.coherence))
    return function, store, Scoring({"refusal": scoring}, {**default_scorers(), scorer.id: scorer})


def with_scoring(scoring: Scoring) -> Any:
    """The plan of the sample cells, scored so."""
    return replace(plan_of(grid((2, 3))), scoring=scoring)


def test_work_is_handed_out_while_a_scorer_still_blocks(tmp_path: Path) -> None:
    function, store, scoring = blocked(tmp_path)
    plan = with_scoring(scoring)
    store.write_plan(plan)
    board = Board(plan)
    with store.lock(), Recording(store, scoring=scoring) as recorder:
        Scheduler(plan, board, FakePool(1), recorder).run()
        assert not board.unfinished(), "every cell was handed out and came back"
        assert function.begun.is_set()
        assert store.scored_cells("slow@1") == set()
        function.may.set()
    assert store.failures() == ()
    assert store.scored_cells("slow@1") == store.done_cells() == {cell.id for cell in plan.cells}


def test_an_interrupt_waits_for_no_scorer_and_the_next_run_scores_the_rest(tmp_path: Path) -> None:
    function, store, scoring = blocked(tmp_path)
    plan = with_scoring(scoring)
    store.write_plan(plan)
    scores = Scorekeeper(store, scoring)
    for cell in plan.cells:
        store.write_responses(cell, result_of(cell), 1)
        scores.score(cell.id)
    assert function.begun.wait(120)
    scores.__exit__(KeyboardInterrupt, None, None)
    function.may.set()
    assert store.scored_cells("slow@1") == set()
    heard: list[News] = []
    with Scorekeeper(store, scoring, heard.append) as scores:
        scores.ask(store.unscored())
    assert store.scored_cells("slow@1") == {cell.id for cell in plan.cells}
    assert not any(isinstance(news, ItemFailed) for news in heard)
    assert store.unscored() == ()
    assert {len(news.labels) for news in heard if isinstance(news, CellScored)} <= {10}


def test_a_long_wait_says_whom_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.scorekeeper.PATIENCE_SECONDS", 0.05)
    function, store, scoring = blocked(tmp_path)
    plan = with_scoring(scoring)
    store.write_plan(plan)
    store.write_responses(plan.cells[0], result_of(plan.cells[0]), 1)
    heard: list[News] = []

    def tell(news: News) -> None:
        heard.append(news)
        if isinstance(news, Noted):
            function.may.set()

    with Scorekeeper(store, scoring, tell) as scores:
        scores.ask([("slow@1", plan.cells[0].id)])
        scores.wait()
    assert Noted("waiting for scores: 1 cell of slow@1") in heard


def test_an_error_of_the_disk_is_raised_where_scores_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, cells = Store(tmp_path), grid()
    store.write_plan(plan_of(cells))
    store.write_responses(cells[0], result_of(cells[0]), 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write_scores", full)
    scores = Scorekeeper(store, Scoring())
    scores.score(cells[0].id)
    with pytest.raises(OSError, match="No space left"):
        scores.wait()


def test_what_is_scored_is_the_answer() -> None:
    scorer = OwnScorer("mine@1", Labels(("a",)), lambda prompt, response: (response, {"prompt": prompt}))
    score = scorer.score(Answer("p", "Why?", "a", thought="b"))
    assert (score.label, score.evidence) == ("a", '{"prompt": "Why?"}')
