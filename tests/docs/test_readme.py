"""What the README says is so: its commands exist, its sweep is valid, its method in one file works, its links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from actors.types import Response
from orchestrator.cli import app
from orchestrator.sweep import load_sweep

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.M | re.S)


def test_links_and_pictures_exist() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert "docs/quickstart.png" in targets
    for target in targets:
        assert (ROOT / target).is_file(), target


def test_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^make (\w[\w-]*)", "\n".join(blocks("bash")), flags=re.M):
        assert re.search(rf"^{command}:", makefile, flags=re.M), command
    commands = re.findall(r"python -m orchestrator (\w+)", README)
    assert {"run", "plan", "status", "retry", "score"} <= set(commands)
    for command in set(commands):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command


def test_ci_runs_the_readmes_test_command() -> None:
    assert re.search(r"^make test\b", (ROOT / ".ci" / "run").read_text(), flags=re.M)


def test_the_sweeps_are_valid(tmp_path: Path) -> None:
    own, block = blocks("yaml")
    (tmp_path / "lists.jsonl").write_text(blocks("jsonl")[0], encoding="utf-8")
    (tmp_path / "lists.yaml").write_text(own, encoding="utf-8")
    sweep = load_sweep(tmp_path / "lists.yaml")
    assert sweep.name == "lists"
    said = Response("T1", "", "Here:\n1. Ask the guests what they like to eat.", (), 9, "stop")
    assert [one.outcome for one in sweep.scoring.labels("lists", [said])] == ["success"]
    (tmp_path / "behaviors").mkdir()
    (tmp_path / "behaviors" / "refusal.jsonl").write_bytes((ROOT / "sweeps" / "behaviors" / "refusal.jsonl").read_bytes())
    path = tmp_path / "sweep.yaml"
    path.write_text(block, encoding="utf-8")
    assert load_sweep(path).name == "my-sweep"


def test_the_method_in_one_file_keeps_every_methods_contract() -> None:
    block = blocks("python")[-1]
    namespace: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), namespace)
    rng = np.random.default_rng(0)
    positive, negative = rng.standard_normal((2, 6, 3, 8))
    median, options = namespace["median"], namespace["MedianOptions"]
    assert callable(median)
    assert callable(options)
    found = median(positive, negative, options())
    np.testing.assert_array_equal(found, np.median(positive, axis=0) - np.median(negative, axis=0))


def test_the_behavior_is_one(tmp_path: Path) -> None:
    (block,) = blocks("jsonl")
    (tmp_path / "lists.jsonl").write_text(block, encoding="utf-8")
    assert CliRunner().invoke(app, ["behavior", "check", str(tmp_path / "lists.jsonl")]).exit_code == 0


def test_the_first_screen_says_how_to_start_a_behavior() -> None:
    screen = "\n".join(README.splitlines()[:45])
    for needed in ("Your own behavior", "```jsonl", "```yaml", "python -m orchestrator run lists.yaml"):
        assert needed in screen


def test_the_python_version_is_the_one_required() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11 or newer" in README


def test_the_tree_names_what_a_sweep_leaves() -> None:
    """Against the store's own words; the store's tests hold those."""
    from orchestrator.results import store

    for name in (
        "cells.parquet",
        "responses.parquet",
        "report.md",
        "directions/",
        "responses/",
        "scores/",
        "failures/",
        "sweep.yaml",
    ):
        assert name in README
        assert name in (store.__doc__ or "")
