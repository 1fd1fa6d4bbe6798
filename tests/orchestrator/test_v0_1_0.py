"""A results folder that version 0.1.0 really wrote is read, continued, scored and reported: nothing is run again or lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from orchestrator.report import write_report
from orchestrator.results.store import Store
from tests.orchestrator.quick_cli import quick_cli

WRITTEN = Path(__file__).parent / "v0_1_0"
AT = [(None, None), (15, 8.0), (15, 20.0), (20, 8.0), (20, 20.0)]
"""The cells' layers and multipliers."""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """The sweep file, beside a copy of its results."""
    shutil.copytree(WRITTEN, tmp_path, dirs_exist_ok=True)
    return tmp_path / "sweep.yaml"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """The command line in the sweep's folder, with fake workers."""
    monkeypatch.chdir(tmp_path)
    return quick_cli(monkeypatch)


def parts(out: Path) -> dict[str, bytes]:
    """The finished work, which nothing may change."""
    return {path.name: path.read_bytes() for kind in ("responses", "directions") for path in (out / kind).iterdir()}


def test_its_tables_and_parts_are_read_as_they_are(sweep: Path) -> None:
    store = Store(sweep.parent / "out")
    rows = store.cell_rows()
    assert [(row.layer, row.multiplier) for row in rows] == AT
    assert [(row.n, row.labelled, row.fired) for row in rows] == [(3, True, None), *[(3, True, True)] * 4]
    assert {(row.layer_selected, row.in_sample, row.prompts_sha256) for row in rows} == {(False, None, None)}
    answers = store.read_responses(rows[0].cell_id)
    assert [(one.prompt_id, one.marked, one.prompt_opens) for one in answers] == [(f"T{n}", None, None) for n in (1, 2, 3)]
    assert len(store.read_direction(rows[1].direction_id or "").directions) == 30
    assert store.lacking().tables == (
        "scores.parquet cannot be read",
        "rates.parquet cannot be read",
        "directions.parquet cannot be read",
        "transfer.parquet cannot be read",
    )
    assert not (store.root / "quarantine").exists()


def test_it_is_continued_and_nothing_is_run_again(sweep: Path, cli: Callable[..., Result]) -> None:
    out = sweep.parent / "out"
    before, rows = parts(out), Store(out).cell_rows()
    told = cli("run", sweep, "--json")
    assert json.loads(told.stdout)["cells"] == {"planned": 5, "done": 5, "failed": 0, "ran": 0}, told.output
    sweep.write_text(sweep.read_text().replace("multipliers: [8, 20]", "multipliers: [8, 20, 40]"))
    assert json.loads(cli("run", sweep, "--json").stdout)["cells"] == {"planned": 7, "done": 7, "failed": 0, "ran": 2}
    assert parts(out).items() >= before.items()
    now = {row.cell_id: row for row in Store(out).cell_rows()}
    assert len(now) == 7
    for row in rows:
        measured = (now[row.cell_id].residual_norm, now[row.cell_id].seconds, now[row.cell_id].provenance)
        assert measured == (row.residual_norm, row.seconds, row.provenance)
    assert not (out / "quarantine").exists()


def test_it_is_scored_and_reported(sweep: Path, cli: Callable[..., Result]) -> None:
    out = sweep.parent / "out"
    before = parts(out)
    told = cli("score", out, "--scorer", "refusal", "--json")
    assert [one.partition("@")[0] for one in json.loads(told.stdout)["scorers"]] == ["refusal"], told.output
    assert cli("score", out).exit_code == 0
    store = Store(out)
    assert not store.lacking()
    assert [(row.n, row.count("success"), row.count("garbled"), row.count("no_answer")) for row in store.cell_rows()] == [
        (3, 0, 0, 0)
    ] * 5
    page = write_report(store).read_text()
    assert page.count("0/3") >= 5
    assert parts(out) == before
    assert not (out / "quarantine").exists()
