"""A failing cell stops no other; ``max_failures``, as a count or a share, stops a run that is hopeless."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.pool import POOLS
from orchestrator.results.store import Store
from tests.fake_cli import with_fake_worker
from tests.orchestrator.cli.test_commands import prompts, write_sweep

MULTIPLIERS = "[1, 2, 3, 4, 5, 6, 7, 8, 9]"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Result]:
    """Runs ten cells that go well and ten that fail, one after the other, with that line in the sweep file."""
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))

    def run(line: str) -> Result:
        sweep = write_sweep(tmp_path, MULTIPLIERS)
        (tmp_path / "bad.jsonl").write_text("\n".join(json.dumps(row) for row in prompts("[job error]")))
        behaviors = "  refusal: {file: refusal.jsonl}\n"
        sweep.write_text(sweep.read_text().replace(behaviors, f"{behaviors}  bad: {{file: bad.jsonl}}\n") + line)
        return CliRunner().invoke(app, ["run", str(sweep)])

    return run


def test_failing_cells_stop_no_others(run: Callable[[str], Result], tmp_path: Path) -> None:
    told = run("")
    assert told.exit_code == 1
    assert "10 of 20 cells done, 10 failed" in told.output
    assert "10 x job: this cell fails on cue" in told.output
    assert {row.behavior for row in Store(tmp_path / "out").cell_rows()} == {"refusal"}
    assert len(Store(tmp_path / "out").failures()) == 10


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("max_failures: 3", "stopped: 4 failures are more than max_failures: 3"),
        ("max_failures: 0.2", "stopped: 5 of 20 cells failed, more than max_failures: 0.2"),
    ],
)
def test_a_hopeless_run_is_stopped(run: Callable[[str], Result], tmp_path: Path, line: str, why: str) -> None:
    told = run(line)
    assert told.exit_code == 1
    assert why in told.output
    store = Store(tmp_path / "out")
    assert len(store.failures()) < 10
    assert "too many failures" in CliRunner().invoke(app, ["status", str(tmp_path / "out")]).output
    kept = store.done_cells()
    assert run("").exit_code == 1
    assert len(store.done_cells()) == 10
    assert kept <= store.done_cells()


@pytest.mark.parametrize("line", ["max_failures: 20", "max_failures: 0.9"])
def test_one_that_is_not_goes_on(run: Callable[[str], Result], line: str) -> None:
    assert "10 of 20 cells done, 10 failed" in run(line).output
