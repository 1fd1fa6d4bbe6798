"""Every sentence at the end of a run is true of the state it describes: the states a run can end in, by the sentences it says."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from actors.types import Failure
from orchestrator.cli import app
from orchestrator.cli.summaries import ending_lines, score_lines
from orchestrator.completion import AnalysesState
from orchestrator.control.detached import Detached
from orchestrator.planning.grids import Deferred
from orchestrator.pool import POOLS
from orchestrator.progress import ModelProgress, _rest
from orchestrator.report import write_report
from orchestrator.results.store import PageState, Store
from orchestrator.run import RunSummary
from orchestrator.scheduler import Scheduler
from tests.fake_cli import with_fake_worker
from tests.orchestrator.cli.test_commands import no_pool, write_sweep
from tests.orchestrator.samples import cell, filled, grid, labels_of, plan_of, result_of, write_labels

FAILURE = Failure("cell-a", "job", "it did not work", "")
WAITING = Deferred("second", "small", "refusal", "dim", 4, "waits for grid first", waiting=True)


def summary(done: int, failed: int, ran: int, **more: Any) -> RunSummary:
    made = RunSummary("s", Path("out"), 4, done, failed, ran, 3.0, "finished", (FAILURE,) * failed)
    return replace(made, **more)


STATES = [
    summary(done, failed, ran, ended=ended, page=page, deferred=deferred)
    for done, failed, ran in itertools.product(range(5), range(3), range(5))
    if done + failed <= 4 and ran <= done
    for ended in ("finished", "interrupted", "too many failures")
    for page in ("none", "behind", "current")
    for deferred in ((), (WAITING,))
]


def test_every_sentence_follows_from_the_state() -> None:
    assert len(STATES) > 400
    for state in STATES:
        said = "\n".join(ending_lines(state))
        complete = state.done == state.planned and state.ended == "finished" and not state.failed and not state.deferred
        assert ("no cell had to be run" in said) == (complete and not state.ran), said
        assert ("no cell was finished now" in said) == (not complete and not state.ran), said
        assert (f"{state.ran} ran now" in said) == bool(state.ran)
        assert ("report.html to read" in said) == (state.page == "current" and state.done > 0), said
        assert ("report.html is older" in said) == (state.page == "behind" and state.done > 0), said
        assert ("responses.parquet" in said) == bool(state.done)
        assert ("finished cells are kept" in said) == (state.ended == "interrupted" and state.done > 0)
        assert ("to continue run the same command" in said) == (state.ended == "interrupted")
        assert ("failures:" in said) == bool(state.failed)
        assert ("to follow" in said) == bool(state.deferred)


def test_the_end_tells_which_names_have_no_rows() -> None:
    state = summary(4, 0, 4, twins={"twin": "small"})
    assert [line for line in ending_lines(state) if "twin" in line] == [
        "note: models small and twin are the same model: it runs once, and its rows say small, none says twin"
    ]
    assert state.as_json()["twins"] == {"twin": "small"}
    assert not any("same model" in line for line in ending_lines(summary(4, 0, 4)))


def test_the_end_tells_of_the_analyses() -> None:
    def told(page: PageState = "current", **state: Any) -> list[str]:
        lines = ending_lines(summary(4, 0, 4, page=page, analyses=AnalysesState(**state)))
        return [line for line in lines if line.startswith("analyses:")]

    assert told() == []
    assert told(planned=2, done=2, tables=("angles.parquet",)) == [
        "analyses: 2 of 2 done; numbers in angles.parquet, each with a section of its own in report.html"
    ]
    assert told("behind", planned=4, done=1, failed=2, tables=("angles.parquet",)) == [
        "analyses: 1 of 4 done, 2 failed, 1 without a result; numbers in angles.parquet"
    ]
    assert told(planned=1, failed=1) == ["analyses: 0 of 1 done, 1 failed"]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in this process; the local pool's worker is a fake."""
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


def facts(out: Path, said: str) -> None:
    """What is said of files is true of the folder."""
    planned = len(json.loads((out / "plan.json").read_text())["cells"])
    done = len(list((out / "responses").glob("*.parquet"))) if (out / "responses").is_dir() else 0
    assert f"{done} of {planned} cells done" in said
    if "report.html to read" in said:
        assert (out / "report.html").is_file()
        assert (out / "report.html").stat().st_mtime_ns >= (out / "cells.parquet").stat().st_mtime_ns
    if "no report.html yet" in said:
        assert not (out / "report.html").exists()
    if "no cell had to be run" in said:
        assert done == planned
    if 0 < done < planned:
        assert f"so far, {done} of {planned} cells: " in said


def test_a_sweep_that_is_broken_off_and_goes_on(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = write_sweep(tmp_path), tmp_path / "out"
    whole = Scheduler.run

    def broken_off(self: Scheduler, after: int = 0) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Scheduler, "run", broken_off)
    nothing = cli("run", sweep)
    assert nothing.exit_code == 130
    assert "interrupted; no cell is finished yet: to continue" in nothing.output
    assert "results in" in nothing.output
    assert "no finished cells" in nothing.output
    assert "report.html" not in nothing.output
    facts(out, nothing.output)

    cell_of = Store.write_responses
    count = itertools.count()

    def second_interrupts(self: Store, *arguments: Any, **more: Any) -> None:
        if next(count) == 2:
            raise KeyboardInterrupt
        cell_of(self, *arguments, **more)

    monkeypatch.setattr(Scheduler, "run", whole)
    monkeypatch.setattr(Store, "write_responses", second_interrupts)
    partly = cli("run", sweep)
    assert partly.exit_code == 130
    assert "2 of 4 cells done; 2 ran now" in partly.output
    assert "no report.html yet" in partly.output
    assert f"`python -m orchestrator score {out}` makes the page of what is there" in " ".join(partly.output.split())
    there = Path(shutil.copytree(out, tmp_path / "there"))
    assert cli("score", there).exit_code == 0
    assert "2 of 4 cells" in (there / "report.html").read_text()
    assert re.search(r"no cell mostly garbled so far|no steered cells so far|1 cell not labelled", partly.output), (
        "an interrupt waits for no scorer"
    )
    facts(out, partly.output)

    monkeypatch.setattr(Store, "write_responses", cell_of)
    rest = cli("run", sweep)
    assert "4 of 4 cells done; 2 ran now" in rest.output
    assert "so far" not in rest.output
    facts(out, rest.output)

    monkeypatch.setitem(POOLS, "local", no_pool)
    again = cli("run", sweep)
    assert "4 of 4 cells done; no cell had to be run" in again.output
    facts(out, again.output)


def test_a_sweep_whose_cells_all_fail(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, texts=("Why? [job error]",))
    first = cli("run", sweep)
    assert first.exit_code == 1
    assert "0 of 4 cells done, 4 failed; no cell was finished now" in first.output
    assert "no finished cells; report.html says why" in first.output
    again = cli("run", sweep)
    assert "no cell had to be run" not in again.output
    assert "0 of 4 cells done, 4 failed; no cell was finished now" in again.output
    facts(tmp_path / "out", again.output)


def test_a_report_that_an_interruption_left_behind_is_made_anew(tmp_path: Path) -> None:
    store = filled(tmp_path, grid()[:3])
    store.compact()
    assert store.page() == "none"
    write_report(store)
    pages: list[PageState] = [store.page()]
    store.write_plan(plan_of(grid()))
    store.write_responses(cell(15, 2.0), result_of(cell(15, 2.0)), attempt=1)
    write_labels(store, cell(15, 2.0).id, labels_of(cell(15, 2.0)))
    store.compact()
    pages.append(store.page())
    write_report(store)
    pages.append(store.page())
    assert pages == ["current", "behind", "current"]


def test_labels_of_nothing() -> None:
    empty: dict[str, object] = {"responses": 0, "cells": 0, "classifier": "text@4", "labels": {}}
    assert score_lines(Path("out"), empty) == ["no finished cells to label in out"]


def test_a_bar_that_is_full_of_failures_is_not_done() -> None:
    def rest(done: int, failed: int) -> str:
        return _rest(ModelProgress("m", done, failed, 3, None, None))

    assert (rest(3, 0), rest(2, 1), rest(0, 3), rest(1, 1)) == ("done", "1 failed  done", "3 failed", "1 failed  waiting")


def test_an_ended_driver_is_not_to_be_paused() -> None:
    ended = "\n".join(Detached(7, Path("out"), Path("log"), "finished").lines())
    assert "it has ended already: finished" in ended
    assert "pause" not in ended
    assert "to pause" in "\n".join(Detached(7, Path("out"), Path("log"), "running").lines())
