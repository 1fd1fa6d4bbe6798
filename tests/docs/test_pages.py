"""Every page that the tree speaks of is in the tree."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Set
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"[\w./-]*\w\.md\b")
WRITTEN = frozenset({"report.md", "secret.md"})
"""What the project, or a test of it, writes into a results folder."""


def texts() -> Mapping[str, str]:
    """The files of the tree that hold text, by their path; but this one."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    kinds = {".py", ".md", ".yaml", ".toml", ".jsonl", ".txt", ""}
    names = (name for name in listed.stdout.splitlines() if Path(name).suffix in kinds and (ROOT / name).is_file())
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in names if ROOT / name != Path(__file__)}


def missing(text: str, there: Set[str]) -> set[str]:
    """The pages that ``text`` names and that are not ``there``, each by its name without a folder."""
    return {Path(name).name for name in NAME.findall(text)} - there - WRITTEN


def test_no_text_speaks_of_a_page_that_is_not_there() -> None:
    found = texts()
    there = {Path(name).name for name in found if name.endswith(".md")}
    assert {"README.md", "sweep-file.md"} <= there
    assert {name: gone for name, text in found.items() if (gone := missing(text, there))} == {}


def test_a_page_that_is_not_there_is_found() -> None:
    assert missing("as NOWHERE.md, section 3, and docs/README.md say", {"README.md"}) == {"NOWHERE.md"}
