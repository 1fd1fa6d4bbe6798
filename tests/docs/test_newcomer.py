"""A newcomer's day from the README and the tutorial alone: every command that they print, as printed, in a copy of the sweeps.

Over fake workers on every change; with the model, in processes of their own, by ``make newcomer``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.pool import POOLS
from orchestrator.report.figures.registry import FIGURES
from tests import fakes
from tests.fake_cli import with_fake_worker

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
QUICKSTART = "run sweeps/quickstart.yaml"
"""What ``make run`` runs."""
Say = Callable[[str], str]


def blocks(page: str, *languages: str) -> Iterator[tuple[str, str]]:
    """The code blocks of a page in these languages, in its order, each with its language."""
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```", page, flags=re.M | re.S):
        if language in languages:
            yield language, text


def commands(page: str) -> list[str]:
    """What a page has people type after ``python -m orchestrator``, without the comments."""
    return [
        " ".join(shlex.split(line, comments=True)[3:])
        for _, text in blocks(page, "bash")
        for line in text.splitlines()
        if line.startswith("python -m orchestrator")
    ]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone as far as its user writes into it."""
    shutil.copytree(ROOT / "sweeps", tmp_path / "sweeps")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_own_files(page: str, place: Path) -> None:
    """The files that the README shows: a behavior, its sweep, and a larger one."""
    ((_, prompts),) = blocks(page, "jsonl")
    (_, own), (_, larger) = blocks(page, "yaml")
    (place / "lists.jsonl").write_text(prompts, encoding="utf-8")
    (place / "lists.yaml").write_text(own, encoding="utf-8")
    (place / "sweeps" / "my-sweep.yaml").write_text(larger, encoding="utf-8")


def fake(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs a command in this process over fake workers of the embedded model's size, with one figure of all that there are (each
    takes a second); it must end with exit code 0."""
    for name in set(FIGURES) - {"heat-map"}:
        monkeypatch.delitem(FIGURES, name)
    monkeypatch.setattr(fakes, "N_LAYERS", 30)
    local = with_fake_worker(POOLS["local"])
    for name in POOLS:
        monkeypatch.setitem(POOLS, name, local)

    def say(command: str) -> str:
        told = CliRunner().invoke(app, shlex.split(command))
        assert told.exit_code == 0, f"{command}\n{told.output}\n{told.exception!r}"
        return told.output

    return say


def real(command: str) -> str:
    """Runs a command as a person does."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "orchestrator", *shlex.split(command)]
    told = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=1200)
    assert told.returncode == 0, f"{command}\n{told.stdout}\n{told.stderr}"
    return told.stdout


def notebook(page: str) -> list[dict[str, object]]:
    """The session of each Python block that reads results."""
    sessions: list[dict[str, object]] = []
    for _, text in blocks(page, "python"):
        if "load_results" in text:
            sessions.append({})
            exec(compile(text, "page", "exec"), sessions[-1])
    return sessions


def test_the_readme_over_fake_workers(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    say = fake(monkeypatch)
    write_own_files(README, place)
    behavior = place / "sweeps" / "behaviors" / "refusal.jsonl"
    rows = behavior.read_text(encoding="utf-8").splitlines(keepends=True)
    behavior.write_text("".join(row for row in rows if not re.search(r'"T[1-5][1-9]"', row)), encoding="utf-8")  # quicker
    say(QUICKSTART)
    typed = commands(README)
    assert len(typed) >= 12
    assert {one.split()[0] for one in typed} >= {"behavior", "run", "show", "compare", "export", "figures", "plan", "status"}
    for command in typed:
        assert say(command)
    assert (place / "results" / "lists" / "report.html").is_file()
    assert list((place / "exports").glob("*.gguf"))
    assert len(notebook(README)) == 1
    assert "success_n" in capsys.readouterr().out


def test_the_tutorial_over_fake_workers(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    day(fake(monkeypatch), place)
    assert "multiplier" in capsys.readouterr().out


def day(say: Say, place: Path) -> None:
    """The tutorial from its first line to its last, with the one change to the sweep that it asks for."""
    asked = "write `methods: [dim, random]`"
    before, after = TUTORIAL.split(asked)
    for command in commands(before):
        assert say(command)
    sweep = place / "lists.yaml"
    sweep.write_text(sweep.read_text().replace("methods: [dim]", "methods: [dim, random]"))
    for command in commands(after):
        assert say(command)
    assert len(commands(before)) + len(commands(after)) == 12
    assert list((place / "results" / "lists" / "report").glob("layer-18.*.pdf"))
    assert len(notebook(TUTORIAL)) == 1


@pytest.mark.slow
@pytest.mark.embedded
def test_the_day_with_the_model(place: Path) -> None:
    """The README, then the tutorial, each with what it promises of the model."""
    write_own_files(README, place)
    real(QUICKSTART)
    for command in [one for one in commands(README) if "my-sweep" not in one or one.startswith("plan")]:
        assert real(command), command
    (session,) = notebook(README)
    rates = session["results"].cells.filter(layer=15, multiplier=8)  # type: ignore[attr-defined]
    assert rates["success_n"].to_list() == [10], "it refuses to say how a cake is baked"
    for path in (*place.glob("lists.*"), place / "results" / "lists"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    day(real, place)
    (session,) = notebook(TUTORIAL)
    cells: pl.DataFrame = session["results"].cells  # type: ignore[attr-defined]
    told = {(one["method"], one["layer"], one["multiplier"]): one["success_n"] for one in cells.to_dicts()}
    assert told[None, None, None] == 3
    assert told["dim", 18, 8.0] == 6
    assert told["random", 18, 8.0] <= 4
    assert "3 of 8 answers are lists unsteered, and 6 of 8 at layer 18 with multiplier 8" in " ".join(TUTORIAL.split())
