"""The command on a tiny model, with a tool that is a script of the user's own: what it names, keeps, and refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from tests.tiny import tiny_folder

SCRIPT = """
import json, pathlib, sys
import numpy as np
readings, folder, job, out = sys.argv[1:]
assert (pathlib.Path(folder) / "model.safetensors").is_file() and json.load(open(job))["task"] == "read"
right = next(one for one in map(np.load, sorted(pathlib.Path(readings).iterdir())) if "activations" in one.files)["activations"]
np.savez(out, activations=np.concatenate([np.ones_like(right[:, :1]), right[:, :-1]], axis=1))  # of every block the one before
"""

ZEROS = """
import json, sys
import numpy as np
told = json.load(open(sys.argv[2]))
np.savez(sys.argv[3], activations=np.zeros((len(told["prompts"]), told["n_layers"], told["d_model"])))
"""


def parity(folder: Path, *words: object) -> Result:
    behavior = folder.parent / "b.jsonl"
    lines = [{"id": f"P{n}", "role": "positive", "text": f"How do I break {'x' * 3 * n}?"} for n in range(3)]
    lines += [{"id": f"N{n}", "role": "negative", "text": f"Why is cake {'y' * 2 * n} good?"} for n in range(3)]
    lines += [{"id": "T", "role": "test", "text": "And what now?"}]
    behavior.write_text("\n".join(map(json.dumps, lines)))
    named = () if "--tools" in words else ("--tools", "hooks,nnsight,pre-hooks,hidden-states")  # which need no environment
    return CliRunner().invoke(app, ["parity", str(folder), "--behavior", str(behavior), *named, *map(str, words)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder("llama", tmp_path_factory.mktemp("parity") / "model")


@pytest.fixture(scope="module")
def study(model: Path) -> tuple[dict[str, object], Path, tuple[object, ...]]:
    """What the command says with everything that it has, where, and its words."""
    script, results = model.parent / "own.py", model.parent / "results"
    script.write_text(SCRIPT)
    words = ("--own", f"mine={sys.executable} {script} {results / 'readings'}", "--results", results)
    told = parity(model, *words, "--json")
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout), results, words


def test_tools_agree_and_an_own_script_that_reads_inputs_is_told_so(study: tuple[dict[str, object], Path, object]) -> None:
    tools = study[0]["tools"]
    assert isinstance(tools, dict)
    for name in ("hooks", "nnsight", "pre-hooks"):
        assert tools[name]["verdict"] == "equal, bit for bit"
        assert tools[name]["diagnosis"]["verdict"] == "clean"
    assert tools["hidden-states"]["diagnosis"]["mistakes"] == ["final norm"]
    mine = tools["mine"]
    assert mine["diagnosis"]["mistakes"] == ["block input"]
    assert mine["sites"][3][1:3] == ["output", 2]
    assert "block input" in mine["verdict"]


def test_tools_that_steer_answer_alike(study: tuple[dict[str, object], Path, object]) -> None:
    steering = study[0]["steering"]
    assert isinstance(steering, dict)
    assert {steering[name]["words"] for name in ("hooks", "nnsight", "pre-hooks")} == {"equal, bit for bit"}
    assert "adds nothing by itself" in steering["hidden-states"]
    assert "ended with code 1" in steering["mine"]  # it reads, and does not know what steering is


def test_the_page_has_it_all_and_nothing_is_read_twice(
    study: tuple[dict[str, object], Path, tuple[object, ...]], model: Path
) -> None:
    _, results, words = study
    page = (results / "report.md").read_text()
    for heading in ("Tools", "What is read", "What a right reading depends on", "Planted mistakes", "Steering", "Layer by layer"):
        assert f"## {heading}" in page
    before = {path: path.stat().st_mtime_ns for path in (results / "readings").iterdir()}
    again = parity(model, *words)
    assert again.exit_code == 0, again.output
    assert {path: path.stat().st_mtime_ns for path in (results / "readings").iterdir()} == before
    one = next(iter(before))
    one.write_bytes(b"half a file")
    assert parity(model, *words).exit_code == 0
    assert one.stat().st_size > 1000


def test_a_direction_from_a_file_is_diagnosed(
    study: tuple[dict[str, object], Path, tuple[object, ...]], model: Path, tmp_path: Path
) -> None:
    _, _, words = study
    planted = next(path for path in (study[1] / "readings").iterdir() if "labels" in np.load(path).files)
    with np.load(planted) as stored:
        labels = [json.loads(str(label)) for label in stored["labels"]]
        direction = stored["directions"][labels.index(["no template", 1])]
    np.save(tmp_path / "whole.npy", direction)
    told = parity(model, *words, "--direction", tmp_path / "whole.npy", "--json")
    found = json.loads(told.stdout)["diagnosis"]
    assert (found["verdict"], found["mistakes"]) == ("fault", ["no template"])
    np.savez(tmp_path / "one.npz", direction[2])
    told = parity(model, *words, "--direction", tmp_path / "one.npz", "--layer", 2)
    assert "looks like no template: distance 0" in told.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--tools", "nnsigt"), "did you mean 'nnsight'?"),
        (("--own", "mine"), "NAME=COMMAND"),
        (("--own", "hooks=python x.py"), "the name of a tool"),
        (("--direction", "d.pt"), "not a kind of file that is read"),
        (("--no-faults", "--direction", "d.npy"), "diagnosed by planted mistakes"),
        (("--rates", "nan"), "nan is no finite number"),
        (("--dtype", "float23"), "did you mean 'float32'?"),
        (("--layer", 99), "--direction FILE beside it"),
        (("--revision", "v2"), "it is of a model on the hub"),
    ],
)
def test_bad_input_is_told(model: Path, words: tuple[str | int, ...], told: str) -> None:
    found = parity(model, *words)
    assert found.exit_code == 2
    assert told in found.output


def test_an_unknown_model_is_told() -> None:
    found = CliRunner().invoke(app, ["parity", "smollm2"])
    assert found.exit_code == 2
    assert "there is no such model" in found.output


def test_the_shipped_prompts_are_found_from_any_folder(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("parity", str(model), "--tools", "hooks", "--prompts", "1", "--no-faults", "--no-steering", "--json")
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["behavior"] == "refusal"
    monkeypatch.setattr("orchestrator.parity_command.SHIPPED", tmp_path / "none.jsonl")
    without = CliRunner().invoke(app, words)
    assert without.exit_code == 2
    assert "allowed: --behavior FILE" in without.output.replace("\n", " ")


def test_a_tool_that_fails_leaves_the_others(model: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("raise SystemExit('out of ink')")
    own = f"broken={sys.executable} {tmp_path / 'own.py'}"
    found = parity(model, "--tools", "hooks", "--own", own, "--no-faults", "--results", tmp_path / "r")
    assert found.exit_code == 0
    assert "broken not run: it ended with code 1: out of ink" in found.output.replace("\n", " ")


def test_a_tool_that_hangs_is_ended_once_and_tried_again_by_the_next_run(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.parity.outside.LEAST_SECONDS", 1.0)
    asked = tmp_path / "asked"
    (tmp_path / "own.py").write_text(f"import time; open({str(asked)!r}, 'a').write('x'); time.sleep(600)")
    words = ("--tools", "hooks", "--own", f"slow={sys.executable} {tmp_path / 'own.py'}", "--no-faults")
    for times in (1, 2):
        found = parity(model, *words, "--results", tmp_path / "r")
        assert found.exit_code == 0
        told = " ".join(found.output.split())
        assert "slow not run: it took more than" in told
        assert "equal, bit for bit: hooks" in told
        assert len(asked.read_text()) == times


def test_a_tool_that_reads_nothing_but_zeros_is_no_direction(model: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(ZEROS)
    own = f"zero={sys.executable} {tmp_path / 'own.py'}"
    found = parity(model, "--tools", "hooks", "--own", own, "--no-steering", "--no-pairs", "--results", tmp_path / "r")
    assert found.exit_code == 0, found.output
    assert "zero differs: layers 0-4: no candidate site" in " ".join(found.output.split())
    assert json.loads((tmp_path / "r" / "parity.json").read_text())["tools"]["zero"]["diagnosis"] is None


def test_what_is_about_to_be_done_is_said_before(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr("orchestrator.parity_command.run_study", lambda study, folder, tell: {})
    told = " ".join(parity(model, "--tools", "hooks,pyvene", "--results", tmp_path / "r").output.split())
    assert "2 tools, 3 + 3 prompts of b" in told
    assert "0 of 14 readings are there; the others take about" in told
    assert "first use: environments are made for pyvene, about 60 s more" in told


def test_what_mistakes_cost_is_answered_when_it_is_asked(model: Path, tmp_path: Path) -> None:
    words = ("--tools", "hooks", "--no-pairs", "--no-steering", "--rates", "4", "--results", tmp_path / "r", "--json")
    found = parity(model, *words)
    assert found.exit_code == 0, found.output
    costs = json.loads(found.stdout)["costs"]
    assert [one["names"] for one in costs[:2]] == [None, []]
    assert ["no template"] in [one["names"] for one in costs]
    assert {one["n"] for one in costs} == {1}, "one test prompt"
    assert costs[0]["kl"] == 0
    assert all(one["kl"] > 0 for one in costs[1:])
    assert "## What the mistakes cost" in (tmp_path / "r" / "report.md").read_text()
