"""The page on statistics: its Python lines give what it says, and its commands print what it shows."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from tests.orchestrator.samples import Counts, filled, grid

PAGE = Path(__file__).parents[2] / "docs" / "statistics.md"
TEXT = PAGE.read_text(encoding="utf-8")
QUICKSTART: Counts = {
    **{(9, 4.0): (1, 1), (9, 8.0): (2, 3), (9, 12.0): (0, 10), (9, 20.0): (0, 10)},
    **{(15, 4.0): (5, 0), (15, 8.0): (10, 0), (15, 12.0): (5, 2), (15, 20.0): (0, 9)},
    **{(21, 4.0): (0, 0), (21, 8.0): (2, 0), (21, 12.0): (2, 0), (21, 20.0): (7, 2)},
}
COMMANDS = re.findall(r"^```console\n\$ python -m orchestrator (.*?)\n(.*?)^```", TEXT, flags=re.M | re.S)


def test_the_python_lines_give_what_the_page_says() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert (failed, tried >= 8) == (0, True)


@pytest.mark.parametrize(("command", "shown"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_the_commands_print_what_the_page_shows(command: str, shown: str, tmp_path: Path) -> None:
    """Over a folder with the quickstart's counts."""
    filled(tmp_path / "quickstart", grid((9, 15, 21), (4.0, 8.0, 12.0, 20.0)), QUICKSTART).compact()
    words = [str(tmp_path / "quickstart") if word == "results/quickstart" else word for word in shlex.split(command)]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    lines = [line.rstrip() for line in told.output.rstrip().splitlines()]
    expected = shown.rstrip().splitlines()
    assert lines[: len(expected)] == expected
    assert len(lines) == len(expected) or "--audit" in command


def test_the_audits_total_is_the_pages() -> None:
    total = CliRunner().invoke(app, ["compare", "--paper", "--audit"]).output.splitlines()[-1]
    assert f"`{total}`" in " ".join(TEXT.split())
    assert len(COMMANDS) == 3
