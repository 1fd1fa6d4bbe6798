"""Analyses as a part of a sweep: planned, measured once, in a table and on the page. The worker is a stand-in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from typer.testing import Result

from actors.types import Prompt
from orchestrator import load_results
from orchestrator.errors import InputError
from orchestrator.measuring import ActivationsItem, arrays_of
from orchestrator.plan import make_plan
from orchestrator.pool import POOLS
from orchestrator.report.findings import SweepFindings
from orchestrator.report.sections import SECTIONS
from orchestrator.results.damage import damages
from orchestrator.results.folder import Folder
from orchestrator.results.plan_file import decode_plan
from orchestrator.results.store import Store
from orchestrator.sweep import load_sweep
from tests.fakes import N_LAYERS
from tests.orchestrator.cli.test_commands import no_pool
from tests.orchestrator.quick_cli import quick_cli
from tests.orchestrator.sweep_files import plan_of
from tests.orchestrator.test_scoring_as_work import SWEEP

PAIRS = N_LAYERS * (N_LAYERS - 1) // 2


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return quick_cli(monkeypatch)


def write(folder: Path, analyses: str, tests: int = 8) -> Path:
    roles = [("positive", 4, "Break"), ("negative", 5, "Bake"), ("test", tests, "Name")]
    rows = [{"id": f"{role[0]}{n}", "role": role, "text": f"{verb} {n}"} for role, count, verb in roles for n in range(count)]
    (folder / "refusal.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = SWEEP.replace("SCORERS", "[{name: length, unit: tokens, target: {at_least: 1}}]")
    (folder / "sweep.yaml").write_text(text + (f"analyses: {analyses}\n" if analyses else ""))
    return folder / "sweep.yaml"


def test_a_finished_sweep_gets_its_analyses_and_measures_once(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert cli("run", write(tmp_path, "")).exit_code == 0
    assert not (out / "angles.parquet").exists()
    before = {path: path.stat().st_mtime_ns for path in (out / "responses").iterdir()}
    told = cli("run", write(tmp_path, "[angles]"))
    assert told.exit_code == 0, told.output
    assert "analyses: 1 of 1 done; numbers in angles.parquet, each with a section of its own in report.html" in told.output
    assert {path: path.stat().st_mtime_ns for path in (out / "responses").iterdir()} == before
    (measured,) = (out / "analyses" / "activations").iterdir()
    (kept,) = (out / "analyses" / "angles").iterdir()
    found = load_results(out).others["angles"]
    assert found.height == 1 + PAIRS
    assert set(found["analysis_id"]) == {kept.name}
    assert set(found["n_positive"]) == {4}
    assert set(found["n_negative"]) == {5}
    activations = arrays_of(measured.read_bytes())["activations"].astype(float)
    directions = activations[:4].mean(axis=0) - activations[4:].mean(axis=0)
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    raw = found.filter(layer=0, other=1)["raw"].item()
    assert raw == pytest.approx(np.degrees(np.arccos(unit[0] @ unit[1])), rel=1e-5)
    table = SECTIONS["Angles between layers"].table(SweepFindings(Store(out)))
    assert table is not None
    assert len(table.rows) == N_LAYERS, "the mean, and the neighbours"
    monkeypatch.setitem(POOLS, "local", no_pool)
    assert cli("run", tmp_path / "sweep.yaml").exit_code == 0, "nothing is left to run"
    kept.unlink()
    (out / ".compacted").unlink()
    assert cli("run", tmp_path / "sweep.yaml").exit_code == 0, "rows follow from what was measured"
    assert kept.exists()
    assert load_results(out).others["angles"].equals(found)


def test_a_damaged_measurement_is_measured_again(cli: Callable[..., Result], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("run", write(tmp_path, "[angles]")).exit_code == 0
    (measured,) = (out / "analyses" / "activations").iterdir()
    whole = measured.read_bytes()
    folder, planned = Folder(out), Store(out).planned()
    assert damages(folder, planned, (), tables=True) == ()
    measured.write_bytes(whole[:-5])
    assert [one.item for one in damages(folder, planned, (), tables=True)] == [measured.name]
    measured.unlink()
    assert [(one.item, one.reason) for one in damages(folder, planned, (), tables=True)] == [(measured.name, "missing")]
    measured.write_bytes(whole[:-5])
    for path in (out / "analyses" / "angles").iterdir():
        path.unlink()
    assert cli("run", tmp_path / "sweep.yaml").exit_code == 0
    assert measured.read_bytes() == whole
    assert load_results(out).others["angles"].height == 1 + PAIRS


def test_classes_may_be_the_models_own_behavior(cli: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "answers.py").write_text(
        "def even(prompt, response):\n    return 'even' if int(prompt[-1]) % 2 == 0 else 'odd'\n"
    )
    path = write(tmp_path, "[{name: angles, classes: behavior}]", tests=9)
    own = "[{name: 'answers.py:even', labels: [even, odd], target: even}]"
    path.write_text(path.read_text().replace("[{name: length, unit: tokens, target: {at_least: 1}}]", own))
    told = cli("run", path)
    assert told.exit_code == 0, told.output
    found = load_results(tmp_path / "out").others["angles"]
    assert (set(found["classes"]), set(found["n_positive"]), set(found["n_negative"])) == ({"behavior"}, {5}, {4})


def test_an_analysis_may_be_of_some_behaviors_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "[{name: angles, behaviors: [other]}, stability]")
    both = path.read_text().replace("behaviors:\n", "behaviors:\n  other: {file: refusal.jsonl}\n", 1)
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "sweep.yaml").write_text(both)
    (tmp_path / "both" / "refusal.jsonl").write_text((tmp_path / "refusal.jsonl").read_text())
    planned = make_plan(load_sweep(tmp_path / "both" / "sweep.yaml")).analyses
    assert sorted((one.name, one.behavior) for one in planned if one.name == "angles") == [("angles", "other")]
    assert len({one.behavior for one in planned if one.name == "stability"}) == 2
    for wrong, told in (("[othre]", "did you mean 'other'?"), ("other", "not a list of behaviors")):
        (tmp_path / "both" / "sweep.yaml").write_text(both.replace("[other]", wrong))
        with pytest.raises(InputError, match=re.escape(told)):
            load_sweep(tmp_path / "both" / "sweep.yaml")


def test_directions_are_added_where_it_is_asked(cli: Callable[..., Result], tmp_path: Path) -> None:
    many = "{name: propagation, multipliers: [2], layers: [1, 3], random: 2, prompts: 5}, "
    many += "{name: random_floor, multipliers: [2], layers: [2], random: 10, prompts: 4}, "
    told = cli("run", write(tmp_path, f"[{many}{{name: motion, multipliers: [2, -2], layers: [2], read_layers: [1, 4]}}]"))
    assert told.exit_code == 0, told.output
    others = load_results(tmp_path / "out").others
    propagated = others["propagation"]
    assert propagated["source"].to_list() == [1] * (N_LAYERS - 1) + [3] * (N_LAYERS - 3)
    assert set(propagated["alignment"]) == {0.25}
    assert set(propagated["kept"]) == {0.5}
    assert set(propagated["n"]) == {5}
    assert others["random_floor"].select("multiplier", "against", "below").rows() == [
        *[(2.0, "isotropic", 0), (2.0, "covariance", 0), (-2.0, "isotropic", 0), (-2.0, "covariance", 0)]
    ]
    assert {(row["layer"], row["steered"], row["n"]) for row in others["motion"].iter_rows(named=True)} == {
        *[(4, "positive", 4), (4, "negative", 5)]
    }
    for heading in ("Propagation", "Random floor", "Orthogonal motion"):
        assert SECTIONS[heading].table(SweepFindings(Store(tmp_path / "out"))) is not None


def test_categories_stand_beside_the_prompts(cli: Callable[..., Result], tmp_path: Path) -> None:
    path, prompts = write(tmp_path, "[categories, stability]"), tmp_path / "refusal.jsonl"
    more = [{"id": f"x{n}", "role": "positive", "text": f"Burn {n}", "category": "fire"} for n in range(3)]
    rows = [{**row, "category": "breaking"} if row["role"] == "positive" else row for row in map(json.loads, prompts.open())]
    prompts.write_text("\n".join(map(json.dumps, [*rows, *more])))
    told = cli("run", path)
    assert told.exit_code == 0, told.output
    others = load_results(tmp_path / "out").others
    assert others["categories"].filter(layer=0)["other"].to_list() == [None, "fire"]
    assert set(others["stability"]["categories"]) == {2}


def test_classes_that_the_behavior_leaves_empty_are_told(
    cli: Callable[..., Result], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = cli("run", write(tmp_path, "[{name: angles, classes: behavior}]"))
    assert told.exit_code == 0
    assert load_results(tmp_path / "out").others["angles"].height == 0
    assert "0 negative prompts: at least 3 of each class" in caplog.text
    assert "analyses: 0 of 1 done, 1 without a result" in told.output


def test_only_what_is_read_is_its_id(tmp_path: Path) -> None:
    plain = plan_of(tmp_path)
    plan = plan_of(tmp_path, analyses=["angles", {"name": "angles", "seed": 3}, {"name": "angles", "classes": "behavior"}])
    assert [one.id for one in plan.cells] == [one.id for one in plain.cells]
    assert (plain.others, plain.analyses) == ((), ())
    assert len(plan.analyses) == 3
    contrast, test = plan.others
    assert isinstance(contrast, ActivationsItem)
    assert (contrast.rows, test.rows) == (10, 30)
    renamed = tuple(Prompt(f"other-{one.id}", one.text) for one in contrast.positive)
    assert ActivationsItem(contrast.target, renamed, contrast.negative, contrast.extractor).id == contrast.id
    assert ActivationsItem(contrast.target, renamed[1:], contrast.negative, contrast.extractor).id != contrast.id


def test_a_plan_without_analyses_is_written_as_before(cli: Callable[..., Result], tmp_path: Path) -> None:
    cli("run", write(tmp_path, ""))
    plan = tmp_path / "out" / "plan.json"
    assert "analyses" not in json.loads(plan.read_bytes())
    cli("run", write(tmp_path, "[angles]"))
    (found,) = decode_plan(Store(tmp_path / "out").folder.plan).analyses
    assert (found.name, found.positive, len(found.prompts)) == ("angles", 4, 9)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"analyses": ["angle"]}, ("analyses[0]", "unknown analysis", "got 'angle'", "angles")),
        ({"analyses": [{"name": "angles", "bootstrap": 5}]}, ("analyses[0].bootstrap", "got 5", "a number from 100")),
        ({"analyses": [{"name": "angles", "sede": 5}]}, ("analyses[0].sede", "seed")),
        ({"analyses": []}, ("analyses", "must not be empty")),
        ({"analyses": ["motion"]}, ("analyses[0]", "multipliers")),
        (
            {"analyses": [{"name": "propagation", "multipliers": [8], "layers": [30]}]},
            ("analyses[0].layers[0]", "small has 30 layers", "got 30", "0..29"),
        ),
        (
            {"analyses": [{"name": "motion", "multipliers": [8], "layers": [3], "read_layers": [20, 31]}]},
            ("analyses[0].read_layers[1]", "layer 31 is out of range", "got 31", "0..29"),
        ),
        ({"analyses": ["stability", "categories"]}, ("analyses[1]", "refusal name no two categories", "beside each prompt")),
    ],
)
def test_what_is_wrong_with_it_is_told(tmp_path: Path, changes: dict[str, object], parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as error:
        plan_of(tmp_path, **changes)
    message = str(error.value)
    assert any(all(part in line for part in parts) for line in message.splitlines()), message


def test_arrays_that_cannot_be_right_are_refused(tmp_path: Path) -> None:
    (item,) = plan_of(tmp_path, analyses=["angles"]).others
    assert isinstance(item, ActivationsItem)
    for content in (b"nonsense", save({"activations": np.full((10, 2, 3), np.nan, np.float32)})):
        with pytest.raises(ValueError, match=r"no file of arrays|not finite"):
            arrays_of(content)
    with pytest.raises(ValueError, match="no activations of 10 prompts"):
        item.check(arrays_of(save({"activations": np.zeros((9, 2, 3), np.float32)})))
