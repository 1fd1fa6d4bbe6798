"""Tools compared as a part of a sweep: planned with its names checked, run once by the model's worker, on the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from actors.parity.jobs import RatesJob, SteeringMistakesJob
from orchestrator.cli import app
from orchestrator.errors import InputError
from orchestrator.parity.study import ParityItem
from orchestrator.planning.costs import DEFAULT_COSTS
from orchestrator.results.kept_plan import planned_cells
from orchestrator.results.plan_file import decode_plan, encode_plan
from orchestrator.results.store import Store
from tests.orchestrator.sweep_files import plan_of
from tests.tiny import tiny_folder


def test_a_study_is_planned_for_every_model_and_behavior_and_kept_in_the_plan(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, parity={"tools": ["hooks", "pyvene"], "prompts": 3})
    (study,) = plan.parity
    assert (study.model, study.behavior, study.prompts) == ("small", "refusal", (3, 3))
    assert list(study.readings) == ["hooks", "pyvene"]
    assert study.layer == 18, "60 % of 30 layers"
    known = {one.id for one in plan.others}
    wanted = {*study.settings.values(), *study.steered.values(), *(one for pair in study.readings.values() for one in pair)}
    assert wanted | {study.reference, study.sites, study.mistakes, study.steering_mistakes} == known
    assert {one.kind for one in plan.others} == {"parity"}
    planned = planned_cells(plan)
    (tmp_path / "plan.json").write_bytes(encode_plan(planned))
    assert decode_plan(tmp_path / "plan.json").parity == planned.parity
    assert b'"parity"' not in encode_plan(planned_cells(plan_of(tmp_path / "without")))


def test_parts_of_a_study_can_be_left_out(tmp_path: Path) -> None:
    (study,) = plan_of(tmp_path, parity={"tools": ["hooks"], "faults": False, "steering": False}).parity
    assert (study.mistakes, study.steering_mistakes, study.steered) == ("", "", {})


def test_answers_with_the_directions_of_mistakes_are_planned_when_they_are_asked(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, parity={"tools": ["hooks"], "rates": 8})
    (study,) = plan.parity
    (item,) = (one for one in plan.others if isinstance(one, ParityItem) and isinstance(one.job, RatesJob))
    assert (study.rates, study.multiplier, study.rated_layer) == (item.id, 8.0, 18)
    (without,) = (one for one in [plan_of(tmp_path / "without", parity={"tools": ["hooks"]})])
    assert without.parity[0].rates == ""
    assert plan.estimate.new_tokens - without.estimate.new_tokens == item.effort.written > 0
    with pytest.raises(InputError, match=r"parity\.rates"):
        plan_of(tmp_path / "zero", parity={"rates": 0})


def test_the_time_of_a_plan_counts_what_tools_and_mistakes_take(tmp_path: Path) -> None:
    def seconds(name: str, **asked: object) -> float:
        return plan_of(tmp_path / name, parity={"faults": False, "steering": False, **asked}).estimate.seconds

    hooks, pyvene = seconds("hooks", tools=["hooks"]), seconds("pyvene", tools=["hooks", "pyvene"])
    assert pyvene - hooks > 3 * DEFAULT_COSTS.tool_seconds, "read twice alone and once in a batch, each in a process of its own"
    assert seconds("faults", tools=["hooks"], faults=True) > seconds("single", tools=["hooks"], faults=True, pairs=False) > hooks


def test_without_faults_no_mistake_of_steering_is_planted_either(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, parity={"tools": ["hooks"], "faults": False})
    (job,) = (one.job for one in plan.others if isinstance(one, ParityItem) and isinstance(one.job, SteeringMistakesJob))
    assert not job.mistakes
    (with_faults,) = plan_of(tmp_path, parity={"tools": ["hooks"]}).parity
    assert job.item_id == plan.parity[0].steering_mistakes != with_faults.steering_mistakes


def test_an_unknown_tool_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'pyvene'"):
        plan_of(tmp_path, parity={"tools": ["pyveen"]})


def run(sweep: Path, command: str = "run") -> Result:
    found = CliRunner().invoke(app, [command, str(sweep)])
    assert found.exit_code == 0, found.output
    return found


def test_a_sweep_compares_tools_once_and_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_folder("llama", tmp_path / "model")
    roles = [("positive", 2, "Break"), ("negative", 2, "Bake a"), ("test", 2, "Name")]
    lines = [{"id": f"{role[0]}{n}", "role": role, "text": f"{verb} {n}"} for role, count, verb in roles for n in range(count)]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data = {
        "models": {"tiny": {"folder": "model"}},
        "behaviors": {"b": {"file": "b.jsonl"}},
        "layers": [2],
        "multipliers": [4],
        "decoding": {"max_new_tokens": 2},
        "pool": "local",
        "results": "out",
        "parity": {"tools": ["hooks", "hidden-states"], "prompts": 2, "pairs": False, "rates": 4},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(data))
    assert "items to compare tools" in run(tmp_path / "sweep.yaml", "plan").output
    told = run(tmp_path / "sweep.yaml").output
    assert "parity tiny, b: equal, bit for bit: hooks; differs: hidden-states" in told
    page = (tmp_path / "out" / "report.md").read_text()
    for title in (
        "## Tooling parity",
        "### Tools: tiny, b",
        "### Planted mistakes: tiny, b",
        "### What the mistakes cost: tiny, b",
        "### Steering: tiny, b",
    ):
        assert title in page
    assert "hidden-states differs: looks like final norm" in page
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "analyses" / "parity").iterdir()}
    assert len(files) == len(Store(tmp_path / "out").planned().others)
    lost = next(iter(files))
    lost.unlink()
    run(tmp_path / "sweep.yaml")
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "analyses" / "parity").iterdir()}
    assert after.keys() == files.keys()
    assert all(after[path] == files[path] for path in files if path != lost), "only what was lost is measured again"
