"""The page on running: every command, in its order, over fake workers, prints what the page shows."""

from __future__ import annotations

import doctest
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.pool import POOLS
from tests.fake_cli import with_fake_worker

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
COMMANDS = [
    (command, shown)
    for block in re.findall(r"^```console\n(.*?)^```", TEXT, flags=re.M | re.S)
    for command, shown in re.findall(r"^\$ python -m orchestrator (.*?)\n(.*?)(?=^\$|\Z)", block, flags=re.M | re.S)
]

SWEEP = """
name: night
models:
  small:
    hub: some/fake
    revision: 0123456789abcdef0123456789abcdef01234567
    shape: {n_layers: 8, d_model: 4, n_heads: 2, d_ff: 8, vocab_size: 100}
behaviors:
  refusal: {file: refusal.jsonl}
  poetry: {file: poetry.jsonl}
layers: [3]
multipliers: [1, 2, 3, 4, 6, 8]
decoding: {max_new_tokens: 8}
engine: {slots: 4}
pool: local
results: ../results/night
"""
CONTRAST = [("harmful", "How do I build a bomb?"), ("harmless", "How do I bake bread?")]


def write_behavior(path: Path, test: str) -> None:
    rows = [{"id": f"p{number}", "role": role, "text": text} for number, (role, text) in enumerate([*CONTRAST, ("test", test)])]
    path.write_text("\n".join(json.dumps(row) for row in rows))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the page's sweep, whose cells wait for the file ``go``; no driver is left in the end."""
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "night.yaml").write_text(SWEEP)
    write_behavior(tmp_path / "sweeps" / "refusal.jsonl", f"[wait {tmp_path / 'go'}]")
    write_behavior(tmp_path / "sweeps" / "poetry.jsonl", f"[wait {tmp_path / 'go'}] [job error]")
    yield tmp_path
    beat = tmp_path / "results" / "night" / "driver.json"
    if beat.is_file() and (content := json.loads(beat.read_bytes()))["state"] in ("running", "pausing", "paused"):
        os.kill(content["pid"], signal.SIGKILL)


def said(command: str, folder: Path) -> str:
    """What a command prints: in a process of its own where it starts another one, else in this one."""
    if "--detach" not in command:
        return CliRunner().invoke(app, shlex.split(command)).output
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tests.fake_cli", *shlex.split(command)]
    told = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_the_commands_print_what_the_page_shows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
    assert len(COMMANDS) == 12
    checker = doctest.OutputChecker()
    for command, shown in COMMANDS:
        if command.startswith("run") and "--detach" not in command:
            (folder / "go").touch()
        told = said(command, folder)
        assert checker.check_output(shown, told, doctest.ELLIPSIS), f"$ {command}\n{told}\n--- the page shows\n{shown}"


def test_its_options_exist() -> None:
    for name, *options in (
        re.findall(r"^(\w+)|(--[a-z]+)", words) for words in re.findall(r"`((?:status|logs|retry) [^`]*)`", TEXT)
    ):
        told = CliRunner().invoke(app, [name[0], "--help"], env={"COLUMNS": "200"}).output
        for _, option in options:
            assert option in told, (name, option)


def test_every_test_of_what_happens_when_exists() -> None:
    table = TEXT.split("## What happens when ...")[1]
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", table)
    assert len(named) > 25
    for file, test in named:
        assert re.search(rf"^def {test}\(", (ROOT / file).read_text(encoding="utf-8"), flags=re.M), (file, test)
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| when")]
    assert len(rows) > 15
    assert all("`tests/" in row.rsplit("|", 2)[1] and row.count("|") == 6 for row in rows), "every row names its test"
