"""Every example of docs/behaviors.md is read as the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.behaviors import BehaviorFile, load_behavior

PAGE = (Path(__file__).parents[2] / "docs" / "behaviors.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(jsonl|json|csv)\n(.*?)^```", PAGE, flags=re.M | re.S)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_a_behavior(tmp_path: Path, number: int) -> None:
    suffix, text = EXAMPLES[number]
    (tmp_path / f"b.{suffix}").write_text(text, encoding="utf-8")
    (tmp_path / "tests.jsonl").write_text('{"input": "How are you?", "target": "fine"}\n')
    tests = None if suffix == "jsonl" else BehaviorFile(tmp_path / "tests.jsonl")
    found = load_behavior("b", tmp_path / f"b.{suffix}", None, tests)
    assert len(found.positive) == len(found.negative) >= 1
    assert bool(found.positive[0].answer) == ("question" in text)
    assert found.test[0].target == ("honest" if tests is None else "fine")
