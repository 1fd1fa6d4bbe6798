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
from benchmarks.gpu import families, numerics
from benchmarks.gpu.findings import Findings
from tests.tiny import CONFIGS

QUICK = ["--device", "cpu", "--quick"]


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
    assert gpu_check.main([*QUICK, "--only", "scores"]) == 1
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
    assert gpu_check.main([*QUICK, "--only", "families"]) == 1
    assert "FAIL llama float32" in capsys.readouterr().out


def test_what_a_check_raises_is_a_failure_and_the_next_one_runs() -> None:
    found = Findings()
    found.section("broken", lambda: [][0])
    found.section("whole", lambda: found.check("one", True))
    assert [(one.verdict, one.name) for one in found.all] == [("FAIL", "broken"), ("PASS", "one")]


def test_it_needs_torch_and_transformers_alone() -> None:
    """The machine that it is for has no registry to install from."""
    ours = ("pydantic", "ray", "nnsight", "pyarrow", "wandb", "orchestrator")
    program = f"import sys; import benchmarks.gpu_check; print([name for name in {ours} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_without_cuda_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main([]) == 2
    assert "no CUDA device" in capsys.readouterr().out
