"""The GPU check itself, on a CPU: that it runs to its end, and that it finds what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from actors.engine import engine as engine_module
from benchmarks import gpu_check
from benchmarks.gpu import families, numerics, parts
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.machine import Body, Machine
from benchmarks.gpu.parts import run_apart
from tests.tiny import CONFIGS

QUICK = ["--device", "cpu", "--quick"]
PROGRAM = """
import json, os, sys
journal, names = sys.argv[2], sys.argv[4:]
for name in names:
    with open(journal, "a") as file:
        file.write(json.dumps({"begun": name}) + "\\n")
        file.flush()
        if name == "kills":
            os.abort()
        if name == "hangs":
            __import__("time").sleep(60)
        found = {"verdict": "PASS", "name": name, "text": "", "numbers": {"pid": os.getpid()}, "at": 0.0}
        file.write(json.dumps({"finding": found}) + "\\n" + json.dumps({"ended": name}) + "\\n")
    if name == "dead context":
        sys.exit(1)
"""


def test_all_of_it_runs_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the families one, in two dtypes: every section has the same code for all of them."""
    monkeypatch.setattr(families, "CONFIGS", {"llama": CONFIGS["llama"]})
    monkeypatch.setattr(families, "DTYPES", (torch.float32, torch.bfloat16))
    assert gpu_check.main([*QUICK, "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    names = {one["name"] for one in found if one["verdict"] == "PASS"}
    assert {"llama float32", "llama bfloat16", "nf4", "int8", "7B: the same run twice", "32B on 80 GB: the slots fit"} <= names
    assert "0 FAIL" in capsys.readouterr().out


def test_attention_in_the_models_dtype_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def rounded(_module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float) -> tuple[Tensor, None]:
        groups = query.shape[1] // key.shape[1]
        scores = query @ key.repeat_interleave(groups, dim=1).transpose(-1, -2) * scaling
        weights = torch.softmax(scores.float() + mask, dim=-1).to(value.dtype)
        return (weights @ value.repeat_interleave(groups, dim=1)).transpose(1, 2), None

    monkeypatch.setattr(numerics, "slot_attention", rounded)
    assert gpu_check.main([*QUICK, "--here", "--only", "scores"]) == 1
    out = capsys.readouterr().out
    assert "FAIL scores with bias 30 bfloat16" in out
    assert "FAIL scores with bias 80 float16" in out


def test_rows_that_depend_on_their_place_are_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def choose_by_place(logits: Tensor, draws: object) -> tuple[Tensor, Tensor]:
        tokens = (logits.argmax(dim=-1) + torch.arange(len(logits))) % logits.shape[-1]
        return tokens, torch.ones(len(tokens), dtype=torch.bool)

    monkeypatch.setattr(engine_module, "choose", choose_by_place)
    monkeypatch.setattr(families, "CONFIGS", {"llama": CONFIGS["llama"]})
    monkeypatch.setattr(families, "DTYPES", (torch.float32,))
    assert gpu_check.main([*QUICK, "--here", "--only", "families"]) == 1
    assert "FAIL llama float32" in capsys.readouterr().out


def test_what_a_check_raises_is_a_failure_and_the_next_one_runs() -> None:
    found = Findings()
    found.section("broken", lambda: [][0])
    found.section("whole", lambda: found.check("one", True))
    assert [(one.verdict, one.name) for one in found.all] == [("FAIL", "broken"), ("PASS", "one")]


def test_a_part_that_kills_its_process_or_its_context_ends_no_other() -> None:
    found = Findings()
    run_apart([sys.executable, "-c", PROGRAM], ["one", "kills", "two", "dead context", "three"], found, 60)
    verdicts = {one.name: one.verdict for one in found.all}
    assert verdicts == {"one": "PASS", "kills": "FAIL", "two": "PASS", "dead context": "PASS", "three": "PASS"}
    pids = {one.name: one.numbers.get("pid") for one in found.all}
    assert pids["two"] == pids["dead context"] != pids["three"]


def test_a_part_that_hangs_is_ended_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_SECONDS", 0.5)
    found = Findings()
    run_apart([sys.executable, "-c", PROGRAM], ["hangs", "two"], found, 60)
    assert [(one.verdict, one.name) for one in found.all] == [("FAIL", "hangs"), ("PASS", "two")]


def test_what_had_no_time_has_failed() -> None:
    found = Findings()
    run_apart([sys.executable, "-c", PROGRAM], ["one", "hangs", "two"], found, 1.5)
    assert [(one.verdict, one.name) for one in found.all] == [("PASS", "one"), ("FAIL", "hangs"), ("FAIL", "two")]


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "pass"])
def test_a_process_that_does_not_begin_is_told_once(program: str) -> None:
    found = Findings()
    run_apart([sys.executable, "-c", program], ["one", "two"], found, 60)
    assert [(one.verdict, one.name) for one in found.all] == [("FAIL", "process"), ("FAIL", "one"), ("FAIL", "two")]


def test_a_dead_context_ends_the_process_and_what_is_wrong_otherwise_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(_machine: Machine, _found: Findings) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def fails(_machine: Machine, _found: Findings) -> None:
        raise ValueError("of its own")

    bodies: dict[str, Body] = {"fails": fails, "dies": dies, "after": fails}
    monkeypatch.setattr(parts, "parts", lambda quick: bodies)
    found = Findings()
    assert not parts.run_here(Machine(torch.device("cpu"), quick=True), [*bodies], found)
    assert [one.name for one in found.all] == ["fails", "dies"]


def test_a_check_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu_check.main([*QUICK, "--only", "familys"])
    assert ended.value.code == 2
    assert "no check 'familys'; allowed: machine, products" in capsys.readouterr().err


def test_it_needs_torch_and_transformers_alone() -> None:
    """The machine that it is for has no registry to install from."""
    hidden = (
        "pydantic",
        "ray",
        "nnsight",
        "pyarrow",
        "wandb",
        "orchestrator",
        "accelerate",
        "bitsandbytes",
        "peft",
        "polars",
        "scipy",
    )
    program = (
        f"import sys; sys.modules |= dict.fromkeys({hidden}); import benchmarks.gpu_check; "
        f"print([name for name in {hidden} if sys.modules[name] is not None])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_without_cuda_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main([]) == 2
    assert "no CUDA device" in capsys.readouterr().out
