from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import typer

from actors.environments import EnvironmentUnavailableError
from benchmarks import cuda, plugins
from benchmarks.outside.environments import EASYSTEER, Overlaid
from benchmarks.plugins import TOOLS, Tool, beside, equal_note, equal_rows, named, runs_of, started
from benchmarks.table import publish
from benchmarks.timing import Plan, Rounds, Sample, Work, interleave
from benchmarks.workload import Bench, Engine

STEERS = """
import json, sys, pathlib
job = json.loads((pathlib.Path(sys.argv[1]) / "job.json").read_text())
assert pathlib.Path(job["model"], "model.safetensors").is_file()
print("@@" + json.dumps({"vllm": "9.9"}), flush=True)
for line in sys.stdin:
    rows = [[cell, prompt, [job["cells"][cell]["layers"][-1] if job["cells"][cell]["layers"] else 0] * job["new_tokens"]]
            for cell, prompt in json.loads(line)["rows"]]
    print("@@" + json.dumps({"seconds": 0.5, "tokens": rows}), flush=True)
"""


@dataclass(frozen=True)
class Ready:
    """In place of an environment: this Python, or why there is none."""

    why: str = ""

    def ready(self) -> Path:
        if self.why:
            raise EnvironmentUnavailableError(self.why)
        return Path(sys.executable)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tool]:
    script = tmp_path / "steers.py"
    script.write_text(STEERS, encoding="utf-8")
    there = Tool(Ready(), str(script), "one call, a spec per request", cuda=False)  # type: ignore[arg-type]
    found = {
        "easysteer": there,
        "hotwire": replace(there, environment=Ready("hotwire: no wheel for this machine")),  # type: ignore[arg-type]
        "vllm": replace(there, steers=False, how="unsteered"),
    }
    monkeypatch.setattr(plugins, "TOOLS", found)
    return found


@pytest.fixture
def saved(tiny: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(tiny.model.config, "_name_or_path", str(tmp_path / "weights"))
    tiny.model.save_pretrained(tmp_path / "weights")
    return tiny


def test_the_runs_are_the_same_rows_under_one_many_and_no_steering(tiny: Bench) -> None:
    runs = runs_of(tiny, 12, 2)
    assert list(runs) == ["K=1", "K=12", "unsteered"]
    assert [len({cell.name for workload in run for cell in workload.cells}) for run in runs.values()] == [1, 12, 1]
    rows = [[prompt for workload in run for prompt in workload.prompts] for run in runs.values()]
    assert rows[0] == rows[1] == rows[2]
    assert list(runs_of(tiny, 300, 2)) == ["K=1", "K=256", "unsteered"]


def test_ratios_stand_beside_each_tool_at_the_same_run(
    saved: Bench, tools: dict[str, Tool], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = runs_of(saved, 4, 2)
    engine = {run: f"engine, {run}" for run in runs}
    with ExitStack() as stack:
        found = started(saved, runs, list(tools), stack)
        assert found.about == {"easysteer": {"vllm": "9.9"}, "vllm": {"vllm": "9.9"}}
        ours = [Engine(saved, workloads, engine[run]) for run, workloads in runs.items()]
        done = interleave([*ours, *found.contenders], Plan(rounds=1, spare=0))
    assert [one.name for one in found.contenders] == [
        "easysteer, K=1",
        "easysteer, K=4",
        "easysteer, unsteered",
        "vllm, unsteered",
    ]
    assert [(ratio.of, ratio.to) for ratio in beside(done, engine)] == [
        ("engine, K=1", "easysteer, K=1"),
        ("engine, K=4", "easysteer, K=4"),
        ("engine, unsteered", "easysteer, unsteered"),
        *((name, "vllm, unsteered") for name in engine.values()),
    ]
    assert found.notes == [
        "easysteer: one call, a spec per request",
        "not measured: hotwire: no wheel for this machine",
        "vllm: unsteered",
    ]


def test_rows_are_compared_with_the_engines_at_the_same_run() -> None:
    def sample(*tokens: int) -> Sample:
        return Sample(Work(2, 2, tokens={("c", f"p{n}"): (token,) for n, token in enumerate(tokens)}), 1.0, 0.0)

    one = {"K=1": sample(1, 2), "hotwire, K=1": sample(1, 3), "K=256": sample(5, 6), "hotwire, K=256": sample(5, 6)}
    equal = equal_rows(Rounds((one, one), (), 0), {"K=1": "K=1", "K=2": "K=256", "K=256": "K=256"})
    assert equal == {"hotwire, K=1": "2 of 4", "hotwire, K=256": "4 of 4"}
    assert equal_note(equal) == ["rows with exactly the engine's tokens: hotwire, K=1 2 of 4; hotwire, K=256 4 of 4"]
    assert equal_note({}) == []


def test_without_cuda_notes_say_why_the_tools_are_missing(tiny: Bench) -> None:
    with ExitStack() as stack:
        found = started(tiny, runs_of(tiny, 2, 2), ["hotwire", "easysteer"], stack)
    assert found.contenders == []
    assert [note.partition(" needs CUDA")[0] for note in found.notes] == ["not measured: easysteer:", "not measured: hotwire:"]


def test_a_name_that_is_no_tool_is_refused() -> None:
    assert named("hotwire, easysteer") == ["hotwire", "easysteer"]
    assert named("") == []
    with pytest.raises(typer.BadParameter, match="'hotwired' is none of easysteer, hotwire, vllm"):
        named("hotwired")


def test_the_gpu_benchmark_with_tools_beside(tiny: Bench, tools: dict[str, Tool], capsys: pytest.CaptureFixture[str]) -> None:
    before = tiny.model.config._name_or_path
    with ExitStack() as stack:
        found = cuda.tools(tiny, (16, 3), ["easysteer", "hotwire"], stack)
        folder = Path(tiny.model.config._name_or_path)
        assert (folder / "model.safetensors").is_file()
        result = cuda.measure(tiny, (16, 3), Plan(rounds=1, spare=0), found)
    assert not folder.exists()
    assert tiny.model.config._name_or_path == before
    publish(result, None)
    told = capsys.readouterr().out
    assert ("K=256", "easysteer, K=16") in {(ratio.of, ratio.to) for ratio in result.ratios}
    assert "no wheel for this machine" in told
    assert "rows with exactly the engine's tokens" in told
    assert set(result.extra["rows_equal"]) == {"easysteer, K=1", "easysteer, K=16", "easysteer, unsteered"}


def test_no_room_for_the_weights_is_told(tiny: Bench, tools: dict[str, Tool], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_folder: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tiny.model, "save_pretrained", full)
    with ExitStack() as stack:
        found = cuda.tools(tiny, (4, 2), ["easysteer"], stack)
    assert found.contenders == ()
    assert "No space left" in found.notes[0]


@pytest.fixture
def fork(tmp_path: Path) -> tuple[str, str]:
    """A repository whose package has one file changed and one more; its address and commit."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    folder = tmp_path / "fork"
    (folder / "vllm" / "steer").mkdir(parents=True)
    (folder / "vllm" / "llm.py").write_text("changed\n", encoding="utf-8")
    (folder / "vllm" / "steer" / "api.py").write_text("new\n", encoding="utf-8")
    (folder / "setup.py").write_text("no part of it\n", encoding="utf-8")
    words = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    for more in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "fork"]):
        subprocess.run([*words, *more], check=True)
    commit = subprocess.run([*words, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return str(folder), commit


@pytest.fixture
def installing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installing makes an environment with a package of two files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def fake(command: Sequence[str], _seconds: float) -> None:
        if "venv" in command:
            package = Path(command[-1]) / "lib" / "python3.11" / "site-packages" / "vllm"
            package.mkdir(parents=True)
            for name in ("llm.py", "kernels.so"):
                (package / name).write_text("released\n", encoding="utf-8")
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir()
            python.touch()

    monkeypatch.setattr("actors.environments.run_command", fake)


@pytest.mark.usefixtures("installing")
def test_a_forks_files_lie_over_the_released_package(fork: tuple[str, str]) -> None:
    environment = replace(EASYSTEER, url=fork[0], commit=fork[1])
    python = environment.ready()
    assert environment.made
    package = python.parents[1] / "lib" / "python3.11" / "site-packages" / "vllm"
    assert {
        path.relative_to(package).as_posix(): path.read_text(encoding="utf-8") for path in package.rglob("*") if path.is_file()
    } == {
        "llm.py": "changed\n",
        "kernels.so": "released\n",
        "steer/api.py": "new\n",
    }
    assert replace(environment, commit="0" * 40).folder != environment.folder


@pytest.mark.usefixtures("installing")
def test_a_fork_that_cannot_be_had_is_told_and_leaves_nothing(fork: tuple[str, str], tmp_path: Path) -> None:
    environment = replace(EASYSTEER, url=str(tmp_path / "nowhere"), commit=fork[1])
    with pytest.raises(EnvironmentUnavailableError, match=r"easysteer: no files of .*nowhere at"):
        environment.ready()
    assert not environment.folder.exists()


def test_the_fork_is_pinned() -> None:
    assert isinstance(EASYSTEER, Overlaid)
    assert len(EASYSTEER.commit) == 40
    assert {name for name, tool in TOOLS.items() if tool.cuda} == set(cuda.STEERING_TOOLS)
    assert torch.cuda.is_available() or all(tool.missing(False) for tool in TOOLS.values() if tool.cuda)
