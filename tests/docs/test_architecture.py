"""The page on the architecture names every package that there is, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CODE = "\n".join(path.read_text(encoding="utf-8") for root in ("orchestrator", "actors") for path in (ROOT / root).rglob("*.py"))
LEFT_BEHIND = {
    "failures/",
    "report.html",
    "cells.parquet",
    "rates.parquet",
    "responses.parquet",
    "scores.parquet",
    "directions.parquet",
    "transfer.parquet",
}
"""What it names of a results folder."""
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


def told(root: str) -> list[str]:
    """The packages of ``root`` in the page's table of them, from the top."""
    table = PAGE.split(f"| package of `{root}` |")[1].split("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)


def packages(root: str) -> set[str]:
    return {path.parent.name for path in (ROOT / root).glob("*/__init__.py")}


@pytest.mark.parametrize("root", ["orchestrator", "actors"])
def test_every_package_is_named_and_every_named_one_is_there(root: str) -> None:
    names = told(root)
    assert len(names) == len(set(names))
    assert packages(root) <= set(names)
    assert [name for name in names if not (ROOT / root / name).is_dir() and not (ROOT / root / f"{name}.py").is_file()] == []


@pytest.mark.parametrize("root", ["orchestrator", "actors"])
def test_a_package_imports_only_packages_that_stand_below_it(root: str) -> None:
    names = told(root)
    upward = set()
    for place, name in enumerate(names):
        for path in (ROOT / root / name).rglob("*.py"):
            imported = re.findall(rf"^from {root}\.(\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            upward |= {(name, other) for other in imported if other in names[:place]}
    assert upward == set(), "move the row in docs/architecture.md, or what is imported"


def test_every_file_that_it_names_is_there() -> None:
    for name in re.findall(r"`([\w/]+(?:\.\w+|/))`", PAGE):
        assert any((base / name).exists() for base in (ROOT, ROOT / "orchestrator")) or name in LEFT_BEHIND, name


def test_every_registry_that_it_names_is_there() -> None:
    places = re.findall(r"`([A-Z]+)` (?:in its|there|in `([\w/.]+)`)", PAGE)
    assert len(places) == 13
    for name, _ in places:
        assert re.search(rf"^{name}\b.*=", CODE, flags=re.MULTILINE), name


def test_a_word_has_one_meaning() -> None:
    words = [
        word for row in re.findall(r"^\| (\*.*?) \|", GLOSSARY, flags=re.MULTILINE) for word in re.findall(r"\*([^*]+)\*", row)
    ]
    assert len(words) > 60
    assert sorted(words) == sorted(set(words))


def test_a_type_that_the_page_names_is_a_class_of_the_tree() -> None:
    for name in re.findall(r"`([A-Z][a-z]\w+)`", PAGE):
        assert re.search(rf"^class {name}\b", CODE, flags=re.MULTILINE), name
