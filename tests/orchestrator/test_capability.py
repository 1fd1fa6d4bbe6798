"""Tasks of lm-evaluation-harness as work of a sweep: planned, run once, in a table and on the page. The harness is a stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from orchestrator.capability import CapabilityItem
from orchestrator.pool import POOLS
from orchestrator.report.findings import SweepFindings
from orchestrator.report.sections import SECTIONS
from orchestrator.results.capability import CapabilityRow, capability_rows, encode_capability
from orchestrator.results.frames import load_frames
from orchestrator.results.store import Store
from orchestrator.sweep_file import capability
from tests.orchestrator.cli.test_commands import no_pool, prompts
from tests.orchestrator.quick_cli import quick_cli
from tests.orchestrator.sweep_files import plan_of
from tests.orchestrator.test_scoring_as_work import SWEEP
from tests.orchestrator.test_sweep import refused

TASK = "{task: mine, dataset_path: json, dataset_kwargs: {data_files: {test: mine.jsonl}}}"
CHOSEN = [
    {"name": "pilot", "layers": [9], "multipliers": [4, 8]},
    {"name": "final", "choose": {"from": "pilot", "layer": "best", "multiplier": "calibrated"}},
]


@pytest.fixture(autouse=True)
def release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability, "harness_release", lambda: "0.4.13")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return quick_cli(monkeypatch)


def write(folder: Path, asked: str) -> Path:
    (folder / "refusal.jsonl").write_text("\n".join(json.dumps(row) for row in prompts("Why?", "Name a river.")))
    (folder / "mine.yaml").write_text(TASK)
    (folder / "mine.jsonl").write_text('{"question": "?"}')
    text = SWEEP.replace("SCORERS", "[{name: length, target: {at_least: 1}}]")
    (folder / "sweep.yaml").write_text(text + (f"capability: {asked}\n" if asked else ""))
    return folder / "sweep.yaml"


def rows_of(out: Path) -> list[CapabilityRow]:
    return capability_rows(Store(out).folder, Store(out).planned())


def test_a_finished_sweep_gets_its_tasks_and_runs_each_once(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert cli("run", write(tmp_path, "")).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in (out / "responses").iterdir()}
    told = cli("run", write(tmp_path, "{tasks: [mmlu, mine.yaml], limit: 20, for: all}"))
    assert told.exit_code == 0, told.output
    assert {path: path.stat().st_mtime_ns for path in (out / "responses").iterdir()} == before
    rows = rows_of(out)
    cells = {row.cell_id: row for row in Store(out).cell_rows()}
    assert {(cells[one.cell_id].multiplier, one.task, one.metric): one.value for one in rows} == {
        (multiplier, task, metric): value
        for multiplier in (None, 1.0, 4.0)
        for task in ("mmlu", "mine")
        for metric, value in (("acc,none", 0.75 - (multiplier or 0) / 100), ("acc_norm,none", 0.5))
    }
    assert {(one.n, one.limit, one.shots, one.version) for one in rows} == {(20, 20, None, "1.0")}
    table = SECTIONS["Capability"].table(SweepFindings(Store(out)))
    assert table is not None
    assert [value.text for value in table.rows[0]][2:] == ["mmlu", "acc", "0.74", "0.75", "20", ""]
    assert load_frames(out).others["capability"].height == len(rows) == 12
    monkeypatch.setitem(POOLS, "local", no_pool)
    assert cli("run", tmp_path / "sweep.yaml").exit_code == 0, "nothing is left to run"


def test_what_decides_on_a_result_is_its_id(tmp_path: Path) -> None:
    def ids(asked: dict[str, object]) -> set[str]:
        return {one.id for one in plan_of(tmp_path, capability={"for": "all", **asked}).others}

    (tmp_path / "mine.yaml").write_text(TASK)
    (tmp_path / "mine.jsonl").write_text("1")
    first = ids({"tasks": ["mine.yaml"]})
    assert len(first) == 5, "four steerings, and none"
    assert ids({"tasks": ["mine.yaml"]}) == first
    assert not ids({"tasks": ["mine.yaml"], "limit": 3}) & first
    assert not ids({"tasks": ["mine.yaml"], "shots": 3}) & first
    assert not ids({"tasks": ["mmlu"]}) & first
    (tmp_path / "mine.jsonl").write_text("2")
    assert not ids({"tasks": ["mine.yaml"]}) & first
    plain = {cell.id for cell in plan_of(tmp_path).cells}
    assert {cell.id for cell in plan_of(tmp_path, capability={"tasks": ["mmlu"], "for": "all"}).cells} == plain


def test_of_what_is_not_chosen_yet_nothing_is_planned(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, layers=None, multipliers=None, grids=CHOSEN, capability={"tasks": ["mmlu"]})
    assert plan.others == ()


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        ({"tasks": ["mmlu"]}, ("capability", "no grid of this sweep chooses anything", "for: all")),
        ({"tasks": ["none.yaml"], "for": "all"}, ("capability.tasks[0]", "cannot be read", "got 'none.yaml'")),
        ({"tasks": ["refusal.yaml"], "for": "all"}, ("capability.tasks[0]", "is no task")),
        ({"tasks": ["mmlu"], "for": "som"}, ("capability.for", "got 'som'", "chosen, all")),
        ({"tasks": []}, ("capability.tasks", "must not be empty")),
    ],
)
def test_what_is_wrong_with_it_is_told(tmp_path: Path, asked: dict[str, object], parts: tuple[str, ...]) -> None:
    (tmp_path / "refusal.yaml").write_text("[no, task]")
    message = refused(tmp_path, capability=asked)
    assert any(all(part in line for part in parts) for line in message.splitlines()), message


def test_without_the_harness_the_sweep_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability, "harness_release", lambda: None)
    assert "lm-evaluation-harness is not installed" in refused(tmp_path, capability={"tasks": ["mmlu"], "for": "all"})
    told = refused(tmp_path, capability={"tasks": ["none.yaml"]})
    assert all(one in told for one in ("is not installed", "no grid of this sweep chooses anything", "got 'none.yaml'")), told


def test_a_result_that_is_none_is_refused(tmp_path: Path) -> None:
    (item, *_) = plan_of(tmp_path, capability={"tasks": ["mmlu"], "for": "all"}).others
    assert isinstance(item, CapabilityItem)
    for content in (b"[]", b'{"mmlu": {}}', b"nonsense"):
        with pytest.raises(ValueError, match=r"JSON|Expecting"):
            encode_capability(item, content)
