"""Environments that cannot be made, are made by two at once, or were left half made: by a stand-in, nothing is installed."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.environments import Environment, EnvironmentUnavailableError

STAND_IN = """#!/bin/sh
echo "$@" >> {log}
if [ "$2" = venv ]; then
    sleep 0.3
    mkdir -p "$3/bin" "$3/lib/python3/site-packages"
    printf '#!/bin/sh\\necho "$@" >> {log}\\n{pip}\\n' > "$3/bin/python"
    chmod +x "$3/bin/python"
fi
"""
"""What ``python -m venv FOLDER`` leaves: a python that only takes down what it is asked, and does ``pip``."""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stands_in(tmp_path, monkeypatch, "exit 0")
    return tmp_path / "log"


def stands_in(folder: Path, monkeypatch: pytest.MonkeyPatch, pip: str) -> None:
    script = folder / "python"
    script.write_text(STAND_IN.format(log=folder / "log", pip=pip))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def environment(folder: Path, wanted: str = "tool==1") -> Environment:
    requirements = folder / "requirements.txt"
    requirements.write_text(wanted)
    return Environment("tool", requirements, beside=True)


def test_two_at_once_make_it_once(tmp_path: Path, log: Path) -> None:
    wanted = environment(tmp_path)
    assert not environment(tmp_path).made
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: wanted.ready(), range(2)))
    assert found == [wanted.python] * 2
    assert log.read_text().count("install") == 1
    assert wanted.made
    environment(tmp_path, "tool==2").ready()
    assert log.read_text().count("install") == 2, "its requirements have changed"


def test_what_fails_is_told_taken_away_and_tried_again(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = environment(tmp_path)
    stands_in(tmp_path, monkeypatch, "echo ERROR: No matching distribution found for tool==1 >&2; exit 1")
    with pytest.raises(EnvironmentUnavailableError, match=r"tool: .*No matching distribution.*index reachable"):
        wanted.ready()
    assert not wanted.folder.exists()
    stands_in(tmp_path, monkeypatch, "exit 0")
    assert wanted.ready().exists()


def test_one_that_lost_its_python_is_made_anew(tmp_path: Path, log: Path) -> None:
    wanted = environment(tmp_path)
    wanted.ready().unlink()
    assert wanted.ready().exists()


def test_a_cache_folder_that_cannot_be_written_is_told(tmp_path: Path, log: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(EnvironmentUnavailableError, match=r"tool: .*(Not a directory|File exists)"):
        environment(tmp_path).ready()
