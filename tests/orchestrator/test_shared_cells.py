"""Behaviors with the same test prompts: what they share is generated once, and counts for each of them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from orchestrator import load_results
from orchestrator.agreement.answer import agreement_of
from orchestrator.cli.plan_table import plan_json
from orchestrator.labelling.readings import readings_of
from orchestrator.labelling.sample import Draw
from orchestrator.labelling.session import RaterSession
from orchestrator.plan import make_plan
from orchestrator.planning.considered import Tally
from orchestrator.pool import POOLS
from orchestrator.report.figures.transfer import matrices
from orchestrator.results.store import Store
from orchestrator.sweep import load_sweep
from tests.orchestrator.cli.test_commands import no_pool, prompts
from tests.orchestrator.quick_cli import quick_cli
from tests.orchestrator.sweep_files import hub, sweep_data, write_sweep
from tests.orchestrator.test_scoring_as_work import SWEEP

ALONE = "  refusal: {file: refusal.jsonl}\n"
LONG = "  long: {file: long.jsonl, scorers: [{name: 'mine.py:judged', labels: [long, short], target: long}]}\n"
SHORT = "  short: {file: short.jsonl, scorers: [{name: length, unit: words, target: {at_most: 2}}]}\n"
BOTH = ALONE + LONG
MINE = """
from pathlib import Path

def judged(prompt, response):
    assert not Path("broken").exists()
    return "long" if len(response) > 10 else "short"
"""


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return quick_cli(monkeypatch)


def write(folder: Path, behaviors: str) -> Path:
    """A sweep whose behaviors ask the same, and have contrast prompts of their own."""
    for number, name in enumerate(("refusal", "long", "short")):
        rows = prompts("Why?", "Name a river.")
        rows[0]["text"] += "!" * number
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "mine.py").write_text(MINE)
    (folder / "sweep.yaml").write_text(SWEEP.replace("  refusal: {file: refusal.jsonl, scorers: SCORERS}\n", behaviors))
    return folder / "sweep.yaml"


def check_sums(out: Path) -> None:
    """In every table each cell has all its responses once for each behavior, and the scores of every scorer once."""
    found = load_results(out)
    n = {(row["cell_id"], row["behavior"]): row["n"] for row in found.cells.iter_rows(named=True)}
    assert len(n) == found.cells.height
    assert Counter(found.responses.select("cell_id", "behavior").iter_rows()) == n
    sums: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for row in found.rates.drop_nulls("k").iter_rows(named=True):
        sums[row["cell_id"], row["behavior"], row["scorer"]] += row["k"]
    assert {(cell_id, behavior): total for (cell_id, behavior, _), total in sums.items()} == n
    assert set(sums.values()) == {2}
    assert set(Counter(found.scores.select("cell_id", "prompt_id", "scorer").iter_rows()).values()) == {1}


def test_a_shared_baseline_counts_for_every_behavior(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, out = write(tmp_path, BOTH), tmp_path / "out"
    told = json.loads(cli("run", sweep, "--json").stdout)
    assert (told["exit_code"], told["cells"]) == (0, {"planned": 5, "done": 5, "failed": 0, "ran": 5})
    rows = Store(out).cell_rows()
    assert Counter(row.behavior for row in rows) == {"refusal": 3, "long": 3}
    baseline, other = [row for row in rows if not row.steered]
    assert (baseline.cell_id, baseline.target, other.target) == (other.cell_id, "coherent_refusal", "long")
    assert all(row.labelled for row in rows)
    for row in rows:
        read = Store(out).read_labels(*row.key)
        assert row.success_n == sum(one.outcome == "success" for one in read)
        assert {one.label for one in read} <= ({"coherent_refusal", "normal"} if row.behavior == "refusal" else {"long", "short"})
    check_sums(out)
    status = json.loads(cli("status", out, "--json").stdout)
    assert status["cells"] == {"planned": 5, "done": 5, "failed": 0, "open": 0, "unscored": 0}
    scored = json.loads(cli("score", out, "--json").stdout)
    assert (scored["planned"], scored["cells"], scored["lacking"]) == (5, 5, "")
    page = (out / "report.md").read_text()
    assert "no unsteered baseline" not in page
    assert "not run yet" not in page
    monkeypatch.setitem(POOLS, "local", no_pool)
    parts = {path: path.stat().st_mtime_ns for kind in ("responses", "scores") for path in (out / kind).rglob("*.parquet")}
    (out / "rates.parquet").unlink()
    assert cli("run", sweep).exit_code == 0, "nothing is left to generate"
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    check_sums(out)


def test_a_behavior_that_is_added_has_the_baseline_that_is_there(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli("run", write(tmp_path, BOTH))
    before = {path: path.stat().st_mtime_ns for path in (out / "responses").iterdir()}
    told = json.loads(cli("run", write(tmp_path, BOTH + SHORT), "--json").stdout)
    assert told["cells"] == {"planned": 7, "done": 7, "failed": 0, "ran": 2}, "its steered cells alone"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    rows = [row for row in Store(out).cell_rows() if not row.steered]
    assert [row.behavior for row in rows] == ["refusal", "long", "short"]
    assert all(row.labelled for row in rows)
    check_sums(out)


def test_the_scorer_of_one_behavior_fails_and_is_retried_alone(cli: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    sweep, out = write(tmp_path, BOTH), tmp_path / "out"
    assert json.loads(cli("run", sweep, "--json").stdout)["exit_code"] == 1
    rows = Store(out).cell_rows()
    assert {row.behavior: {one.labelled for one in rows if one.behavior == row.behavior} for row in rows} == {
        "refusal": {True},
        "long": {False},
    }
    errors = json.loads(cli("errors", out, "--json").stdout)["failures"]
    assert len(errors) == 3
    assert cli("errors", out, "--filter", "behavior=refusal").exit_code == 2, "none of its items failed"
    (tmp_path / "broken").unlink()
    retried = cli("retry", out, "--filter", "behavior=long")
    assert ("3 failures cleared" in retried.output, retried.exit_code) == (True, 0)
    assert all(row.labelled for row in Store(out).cell_rows())


def test_a_failed_shared_cell_is_found_by_each_of_its_behaviors(tmp_path: Path, cli: Callable[..., Result]) -> None:
    cli("run", write(tmp_path, BOTH))
    out, store = tmp_path / "out", Store(tmp_path / "out")
    (shared,) = {row.cell_id for row in store.cell_rows() if not row.steered}
    (out / "responses" / f"{shared}.parquet").unlink()
    (out / "failures").mkdir(exist_ok=True)
    failure = {"item_id": shared, "kind": "internal", "message": "no", "traceback": ""}
    (out / "failures" / f"{shared}.json").write_text(json.dumps(failure))
    for behavior in ("refusal", "long"):
        found = json.loads(cli("errors", out, "--filter", f"behavior={behavior}", "--json").stdout)["failures"]
        assert [one["item_id"] for one in found] == [shared]


def test_shared_responses_are_compared_within_one_behavior(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli("run", write(tmp_path, BOTH))
    for behavior in ("refusal", "long"):
        rows = [row for row in Store(out).cell_rows() if row.behavior == behavior]
        told = cli("compare", out, "baseline", "multiplier=4", "--where", f"behavior={behavior}", "--json")
        (found,) = json.loads(told.stdout)["comparisons"]
        assert (found["a"]["k"], found["a"]["n"]) == (next(row.success_n for row in rows if not row.steered), 2)
    refused = cli("compare", out, "baseline", "multiplier=4")
    assert (refused.exit_code, "shared by several behaviors" in refused.output) == (2, True)
    baseline = next(row.cell_id for row in rows if not row.steered)
    assert cli("compare", out, baseline, "multiplier=4").exit_code == 2
    assert cli("compare", out, baseline, "multiplier=4", "--where", "behavior=long").exit_code == 0
    across = cli("compare", out, "behavior=refusal,steered=no", "behavior=long,steered=no")
    assert (across.exit_code, "on both sides" in across.output) == (2, True), "they are the same responses"
    by = json.loads(cli("compare", out, "--by", "behavior", "--against", "refusal", "--json").stdout)
    assert baseline not in json.dumps(by)


def test_people_are_asked_once_about_a_shared_response(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli("run", write(tmp_path, BOTH))
    store, results = Store(out), load_results(out)
    asked = readings_of(store.folder, results, Draw(n=100))
    assert (len(asked), len({one.key for one in asked})) == (10, 10)
    baseline = next(row.cell_id for row in store.cell_rows() if not row.steered)
    assert {one.behavior for one in asked if one.key[0] == baseline} == {"refusal"}
    session = RaterSession(store.folder, "anna", asked)
    for number, one in enumerate(asked):
        session.rate(number, one.labels.names[0])
    told = agreement_of(out, ["sweep", "rater:anna"])
    assert [pair.n for pair in told.pairs] == [10]
    store.compact()
    rated = Counter(row.behavior for row in store.rate_rows() if row.scorer == "rater:anna" and row.cell_id == baseline)
    assert set(rated) == {"refusal"}


def test_a_choice_goes_by_what_the_behavior_itself_counts(tmp_path: Path) -> None:
    same = {"file": "refusal.jsonl", "limit": 3}
    grids = [
        {"name": "pilot", "layers": [2, 3], "multipliers": [4]},
        {"name": "final", "choose": {"from": "pilot", "layer": "best", "multiplier": "calibrated"}},
    ]
    data = sweep_data(models={"m": hub("m")}, behaviors={"a": same, "b": same}, layers=None, multipliers=None, grids=grids)
    sweep = load_sweep(write_sweep(tmp_path, data))
    first = make_plan(sweep)
    assert len(first.counted) == 2 * len(first.cells) == 6
    assert plan_json(first)["totals"]["cells"] == 3  # type: ignore[index]
    best = {"a": 2, "b": 3}
    known = {
        cell.key: Tally(3, int(cell.steering is not None and cell.steering.source_layer == best[cell.labels.behavior]), 0)
        for cell in first.counted
    }
    choices = make_plan(sweep, known).choices
    assert {one.behavior: one.chosen and one.chosen.layer for one in choices} == best


def test_a_shared_transfer_is_told_for_each_behavior_by_its_own_labels(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep, out = write(tmp_path, ALONE + LONG.replace("long.jsonl", "refusal.jsonl")), tmp_path / "out"
    text = sweep.read_text()
    small = text[text.index("  small:") : text.index("behaviors:")]
    other = small.replace("small", "other").replace("some/fake", "some/other")
    sweep.write_text(text.replace(small, small + other) + "transfer: all\n")
    summary = json.loads(cli("run", sweep, "--json").stdout)
    store = Store(out)
    rows = {row.key: row for row in store.cell_rows()}
    assert (summary["exit_code"], summary["cells"]["ran"], len(rows)) == (0, 10, 20)
    transfers = store.transfer_rows()
    assert Counter(one.behavior for one in transfers) == {"refusal": 4, "long": 4}
    for one in transfers:
        control = rows[one.control_id or "", one.behavior]
        assert (one.success_n, one.control_success_n) == (rows[one.key].success_n, control.success_n)
        assert one.te == (None if not control.success_n else (one.success_n or 0) / control.success_n)
    assert any(one.te is not None for one in transfers)
    check_sums(out)
    shown = matrices(transfers, (), rows.values())
    assert [(one.title.partition(" · ")[0], len(one.shown)) for one in shown] == [("Transfer: refusal", 2), ("Transfer: long", 2)]
