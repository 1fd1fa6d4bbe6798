from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from actors.environments import Environment, EnvironmentUnavailableError
from actors.types import Prompt
from benchmarks.mixing import configuration
from benchmarks.outside.process import ProcessContender, write_job
from benchmarks.throughput import agreement
from benchmarks.timing import Key, Rounds, Sample, Work
from benchmarks.workload import Bench, BenchmarkCell, Workload

OBEDIENT = """
import json, sys, pathlib
job = json.loads((pathlib.Path(sys.argv[1]) / "job.json").read_text())
print("a library prints what it likes")
print("@@" + json.dumps({"threads": 2}), flush=True)
for line in sys.stdin:
    rows = [[cell, p["id"], [1] * job["new_tokens"]] for cell in json.loads(line)["cells"] for p in job["prompts"]]
    print("noise")
    print("@@" + json.dumps({"seconds": 0.5, "tokens": rows}), flush=True)
"""
REQUIREMENTS = Path(__file__).parents[2] / "benchmarks" / "outside" / "requirements-vllm.txt"
DYING = "import sys; sys.exit('no such instruction set')"


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
    with ProcessContender("other", script(tmp_path, OBEDIENT), tiny, workload, fraction=0.5) as contender:
        first, second = contender.run(0), contender.run(1)
    assert contender.about == {"threads": "2"}
    assert set(first.tokens) == {("baseline", "p1"), ("baseline", "p2")}
    assert set(second.tokens) == {("c0", "p1"), ("c0", "p2")}
    assert (first.rows, first.new_tokens, first.seconds) == (2, 6, 0.5)
    assert contender._process is not None
    assert contender._process.returncode == 0


def test_a_process_that_dies_says_why(tiny: Bench, workload: Workload, tmp_path: Path) -> None:
    contender = ProcessContender("other", script(tmp_path, DYING), tiny, workload)
    with pytest.raises(EnvironmentUnavailableError, match="no such instruction set"):
        contender.__enter__()
    contender.__exit__(None, None, None)


def test_what_the_other_process_is_given(tiny: Bench, workload: Workload, tmp_path: Path) -> None:
    write_job(tmp_path, tiny, workload)
    job = json.loads((tmp_path / "job.json").read_text(encoding="utf-8"))
    steering = workload.cells[1].steering
    assert steering is not None
    assert job["prompts"][1]["token_ids"] == list(tiny.token_ids(workload.prompts[1]))
    assert [cell["layers"] for cell in job["cells"]] == [[], list(steering.layers)]
    with np.load(tmp_path / "vectors.npz") as stored:
        assert stored.files == ["c0"]
        assert np.array_equal(stored["c0"], steering.vectors * np.float32(4.0))


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
