"""A search end to end over fake workers: its trials are cells, and a run that was stopped goes on to the same ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.completion import Progress
from orchestrator.interrupts import EXIT_INTERRUPTED
from orchestrator.pool import POOLS
from orchestrator.results.store import Store
from tests.fake_cli import with_fake_worker
from tests.orchestrator import test_rounds
from tests.orchestrator.test_rounds import as_json

pytest.importorskip("optuna", reason="Optuna, which strength searches need, is not installed")

GRIDS = """
grids:
- name: found
  behaviors: {refusal: {split: select}}
  methods: [dim, rfm]
  layers: [3, 5]
  search: {multiplier: [0.5, 12], trials: 8, batch: 3, seed: 2}
- name: final
  behaviors: {refusal: {split: report}}
  methods: [dim, rfm]
  choose: {from: found, layer: best, multiplier: calibrated}
"""


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """As in ``test_rounds``: the worker refuses from multiplier 2 on and garbles from 8 on."""
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


def write(folder: Path) -> Path:
    folder.mkdir()
    path = test_rounds.write(folder)
    path.write_text(path.read_text().partition("grids:")[0] + GRIDS)
    return path


def found(folder: Path) -> set[tuple[object, ...]]:
    """Every finished cell: the search and its trial, the rate's prompts, and whether they chose."""
    rows = Store(folder / "out").cell_rows()
    return {(row.cell_id, row.behavior, row.search, row.trial, row.success_n, row.in_sample) for row in rows}


def test_a_search_that_is_stopped_goes_on_to_the_same_trials(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cli("run", write(tmp_path / "whole"))
    assert whole.exit_code == 0, whole.output
    expected = found(tmp_path / "whole")
    assert len(expected) == 2 + 2 * 8 + 2, "baselines, two arms of eight trials, and the best of each on the other prompts"
    assert sum(search == "found" for _, _, search, *_ in expected) == 16

    sweep, grow, rounds = write(tmp_path / "stopped"), Progress.grow, iter(range(3))

    def stopped(progress: Progress) -> bool:
        if next(rounds) == 1:
            raise KeyboardInterrupt
        return grow(progress)

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "grow", stopped)
        assert cli("run", sweep).exit_code == EXIT_INTERRUPTED
    before = found(tmp_path / "stopped")
    assert 2 < len(before) < len(expected)
    out = tmp_path / "stopped" / "out"
    lost = [cell_id for cell_id, _, search, *_ in before if search == "found"][:2]
    for cell_id in lost:
        (out / "responses" / f"{cell_id}.parquet").unlink()
    summary = as_json(cli("run", sweep, "--json"))
    assert (summary["exit_code"], summary["cells"]["ran"]) == (0, len(expected) - len(before) + len(lost))
    assert found(tmp_path / "stopped") == expected
    assert as_json(cli("run", sweep, "--json"))["cells"]["ran"] == 0
    page = (out / "report.md").read_text()
    assert "Strength search" in page
    assert "8/8" in page
    assert len(Store(out).searches()) == 2
