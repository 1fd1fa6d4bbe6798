from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from actors.environments import Environment, EnvironmentUnavailableError
from actors.types import Prompt
from benchmarks.mixing import configuration
from benchmarks.outside.process import EXTRA_BYTES, OutsideProcess, cause, needed_bytes, write_job
from benchmarks.throughput import agreement
from benchmarks.timing import Key, Rounds, Sample, Work
from benchmarks.workload import Bench, BenchmarkCell, Workload

OBEDIENT = """
import json, sys, pathlib
job = json.loads((pathlib.Path(sys.argv[1]) / "job.json").read_text())
print("a library prints what it likes")
print("@@" + json.dumps({"threads": 2}), flush=True)
for line in sys.stdin:
    rows = [[cell, prompt, [1] * job["new_tokens"]] for cell, prompt in json.loads(line)["rows"]]
    print("noise")
    print("@@" + json.dumps({"seconds": 0.5, "tokens": rows}), flush=True)
"""
REQUIREMENTS = Path(__file__).parents[2] / "benchmarks" / "outside" / "requirements-vllm.txt"
DYING = "import sys; sys.exit('no such instruction set')"
FAILING = """
import sys
print("@@" + '{"failed": "%s"}', flush=True)
print("(EngineCore) ValueError: Free memory on device is less than desired", file=sys.stderr)
print("RuntimeError: it failed. See root cause above.", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def workload(tiny: Bench) -> Workload:
    steering = configuration(0, tiny.n_layers, tiny.d_model, spread=False)
    return Workload(
        (BenchmarkCell("baseline", None), BenchmarkCell("c0", steering)), (Prompt("p1", "one"), Prompt("p2", "two")), 3
    )


def script(folder: Path, text: str) -> list[str]:
    path = folder / "script.py"
    path.write_text(text, encoding="utf-8")
    return [sys.executable, str(path)]


def test_a_process_is_asked_for_this_rounds_cells(tiny: Bench, workload: Workload, tmp_path: Path) -> None:
    with OutsideProcess("other", script(tmp_path, OBEDIENT), tiny, {"other": [workload]}, fraction=0.5) as process:
        (contender,) = process.contenders
        first, second = contender.run(0), contender.run(1)
    assert process.about == {"threads": "2"}
    assert set(first.tokens) == {("baseline", "p1"), ("baseline", "p2")}
    assert set(second.tokens) == {("c0", "p1"), ("c0", "p2")}
    assert (first.rows, first.new_tokens, first.seconds) == (2, 6, 0.5)
    assert process._process is not None
    assert process._process.returncode == 0


def test_one_process_has_a_contender_for_each_of_its_runs(tiny: Bench, workload: Workload, tmp_path: Path) -> None:
    some = [
        replace(workload, cells=workload.cells[1:], prompts=workload.prompts[:1]),
        replace(workload, cells=workload.cells[:1]),
    ]
    with OutsideProcess("other", script(tmp_path, OBEDIENT), tiny, {"all": [workload], "some": some}) as process:
        every, part = process.contenders
        assert (every.name, part.name) == ("all", "some")
        assert len(every.run(0).tokens) == 4
        assert set(part.run(0).tokens) == {("c0", "p1"), ("baseline", "p1"), ("baseline", "p2")}


def test_what_a_process_started_ends_with_it(tiny: Bench, workload: Workload, tmp_path: Path) -> None:
    begun = "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    text = begun + 'print("@@" + \'{"child": \' + str(child.pid) + "}", flush=True)\nsys.stdin.read()\n'
    with OutsideProcess("other", script(tmp_path, text), tiny, {"other": [workload]}) as process:
        child = psutil.Process(int(process.about["child"]))
        assert child.is_running()
    _, alive = psutil.wait_procs([child], timeout=5)
    assert all(one.status() == psutil.STATUS_ZOMBIE for one in alive)


PARENT = """
import subprocess, sys, time
from benchmarks.outside.ends_with_parent import start
process, life = start([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(process.pid, process.stdout.readline(), flush=True)
time.sleep(60)
"""
BUSY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(os.getpid(), child.pid, flush=True)
time.sleep(60)  # reads nothing, as while it loads a model
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_ends_with_its_parent_however_that_ends(ending: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, BUSY], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    begun = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    parent.send_signal(ending)
    parent.wait()
    assert len(begun) == 3
    _, alive = psutil.wait_procs(begun, timeout=30)
    assert all(one.status() == psutil.STATUS_ZOMBIE for one in alive)


def test_a_process_that_dies_says_why(tiny: Bench, workload: Workload, tmp_path: Path) -> None:
    with (
        pytest.raises(EnvironmentUnavailableError, match="other ended: no such instruction set"),
        OutsideProcess("other", script(tmp_path, DYING), tiny, {"other": [workload]}),
    ):
        pass


def test_a_process_that_cannot_load_says_why(tiny: Bench, workload: Workload, tmp_path: Path) -> None:
    text = FAILING % "RuntimeError: it failed. See root cause above."
    with (
        pytest.raises(EnvironmentUnavailableError, match="other ended: "),
        OutsideProcess("other", script(tmp_path, text), tiny, {"other": [workload]}) as process,
    ):
        assert process.about == {}, "never reached"


@pytest.mark.parametrize(
    ("said", "log", "told"),
    [
        ("ValueError: no such model", "KeyError: later", "ValueError: no such model"),
        (
            "RuntimeError: See root cause above.",
            "pid 3 ValueError: no room\nRuntimeError: See root cause above.",
            "ValueError: no room",
        ),
        ("", "one\nthe last words\n", "the last words"),
        ("", "OSError: gone\nfinally: bye", "OSError: gone"),
        ("", "", "without a word"),
    ],
)
def test_why_a_process_ended(said: str, log: str, told: str) -> None:
    assert cause(said, log) == told


def test_what_the_other_process_is_given(tiny: Bench, workload: Workload, tmp_path: Path) -> None:
    write_job(tmp_path, tiny, {"other": [workload], "half": [replace(workload, prompts=workload.prompts[:1])]})
    job = json.loads((tmp_path / "job.json").read_text(encoding="utf-8"))
    steering = workload.cells[1].steering
    assert steering is not None
    assert job["prompts"]["p2"] == list(tiny.token_ids(workload.prompts[1]))
    assert job["cells"] == {
        "baseline": {"layers": [], "multiplier": 1.0},
        "c0": {"layers": list(steering.layers), "multiplier": 4.0},
    }
    assert (job["rows"], job["new_tokens"], job["dtype"]) == (4, 3, "float32")
    with np.load(tmp_path / "vectors.npz") as stored:
        assert stored.files == ["c0"]
        assert np.array_equal(stored["c0"], steering.vectors)


def test_a_steering_that_other_tools_have_not_is_refused(tiny: Bench, workload: Workload, tmp_path: Path) -> None:
    steering = workload.cells[1].steering
    assert steering is not None
    odd = replace(workload, cells=(BenchmarkCell("odd", replace(steering, positions="generation")),))
    with pytest.raises(ValueError, match="additions at every token"):
        write_job(tmp_path, tiny, {"other": [odd]})


def test_the_room_of_a_process_on_a_gpu(tiny: Bench) -> None:
    one, two = needed_bytes(tiny, 1000), needed_bytes(tiny, 2000)
    assert two - one == 1000 * 2 * 5 * 2 * 16 * 4  # tokens, keys and values, blocks, heads, width of one, bytes
    assert one - (two - one) - EXTRA_BYTES == sum(weight.numel() for weight in tiny.model.parameters()) * 4


def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(EnvironmentUnavailableError, match="nowhere"):
        Environment("nowhere", REQUIREMENTS).ready()


def test_an_environment_that_is_ready_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    environment = Environment("there", REQUIREMENTS)
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    (environment.folder / "requirements.installed").write_text(wanted, encoding="utf-8")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert environment.ready() == environment.python


def test_agreement_counts_rows_with_the_engines_tokens() -> None:
    def sample(tokens: dict[Key, tuple[int, ...]]) -> Sample:
        return Sample(Work(len(tokens), 2, tokens=tokens), 1.0, 0.0)

    engine: dict[Key, tuple[int, ...]] = {("baseline", "p"): (1, 2), ("c0", "p"): (3, 4)}
    one = {
        "per cell": sample({("c0", "p"): (3, 5)}),
        "vllm": sample({("baseline", "p"): (1, 2), ("c0", "p"): (1, 2)}),
        "engine": sample(engine),
    }
    assert agreement(Rounds((one,), (), 0)) == {"per cell": "0 of 1", "vllm": "1 of 1"}
