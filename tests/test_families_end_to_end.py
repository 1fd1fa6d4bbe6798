"""A tiny random model of every family goes the whole way: plan, extract, steer, label, store, tables; by the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.results.store import Store
from tests.orchestrator.sweep_files import sweep_data, write_sweep
from tests.tiny import CONFIGS, tiny_folder

METHODS = [
    "dim",
    "pca",
    "logistic",
    "wrmd",
    "rfm",
    "cosmic_svd",
    "random",
    {"name": "cosmic", "options": {"kl_limit": None, "positions": 1}},
]


EVERY_TIME = ("gemma2", "gpt2", "llama", "phi3", "qwen3_5", "qwen3_moe")
"""The families of the everyday tests; the rest are built like one of them."""


@pytest.mark.parametrize(
    "family", [pytest.param(one, marks=() if one in EVERY_TIME else pytest.mark.slow) for one in sorted(CONFIGS)]
)
def test_a_sweep_over_every_method(family: str, tmp_path: Path) -> None:
    tiny_folder(family, tmp_path / "model")
    data = sweep_data(
        models={"tiny": {"folder": "model"}},
        behaviors={"refusal": {"file": "refusal.jsonl", "limit": 3}},
        methods=METHODS,
        layers=[2],
        multipliers=[3],
        decoding={"max_new_tokens": 4},
        pool="local",
    )
    result = CliRunner().invoke(app, ["run", str(write_sweep(tmp_path, data)), "--results", str(tmp_path / "out"), "--quiet"])
    assert result.exit_code == 0, result.output
    rows = Store(tmp_path / "out").cell_rows()
    assert [row.method for row in rows] == [None, "dim", "pca", "logistic", "wrmd", "rfm", "cosmic_svd", "random", "cosmic"]
    for row in rows:
        assert row.labelled
        assert row.n == 3
        assert row.success_low is not None
        assert row.fired is (True if row.steered else None)
    directions = Store(tmp_path / "out").direction_rows()
    assert len(directions) == len(METHODS) * 5, "every method has a direction at every one of the five layers"
    assert sum(row.selected for row in directions) == 2, "both COSMICs chose a layer"
