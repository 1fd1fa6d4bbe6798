"""A class name means one thing: no two modules have a class of one name, with or without an underscore."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = {"EmbeddedModel"}
"""The same thing on both sides of the wire."""


def class_names() -> Counter[str]:
    files = (path for root in ("orchestrator", "actors") for path in (ROOT / root).rglob("*.py"))
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in files)
    return Counter(node.name.lstrip("_") for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def test_no_class_name_has_two_meanings() -> None:
    assert {name for name, times in class_names().items() if times > 1} <= SHARED
