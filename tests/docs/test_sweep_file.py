"""Every example of docs/sweep-file.md loads and plans, and every key of a sweep file is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from orchestrator.plan import make_plan
from orchestrator.planning import costs
from orchestrator.planning.costs import load_costs
from orchestrator.scoring.registry import SCORERS
from orchestrator.strict import Entry
from orchestrator.sweep import load_sweep
from orchestrator.sweep_file import capability
from orchestrator.sweep_file import schema as sweep_schema

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sweep-file.md").read_text(encoding="utf-8")
COMPLETION = {
    "models": {"small": {"embedded": "smollm2-135m-instruct"}},
    "behaviors": {"refusal": {"file": "behaviors/refusal.jsonl", "limit": 3}},
}


def blocks(language: str) -> list[str]:
    """The page's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.M | re.S)


def sections(module: object, base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The entry classes of a module."""
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, base) and value is not base:
            yield value


@pytest.mark.parametrize("number", range(len(blocks("yaml"))))
def test_an_example_loads_and_plans(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability, "harness_release", lambda: "0.4.13")  # an extra
    data = {**COMPLETION, **yaml.safe_load(blocks("yaml")[number])}
    if find_spec("optuna") is None and any("search" in grid for grid in data.get("grids", ())):
        pytest.skip("Optuna, which strength searches need, is not installed")
    (tmp_path / "behaviors").mkdir()
    for shipped in ("refusal.jsonl", "french.jsonl"):
        (tmp_path / "behaviors" / shipped).write_bytes((ROOT / "sweeps" / "behaviors" / shipped).read_bytes())
    (tmp_path / "behaviors" / "pairs.csv").write_text("positive,negative\nBonjour,Hello\nMerci,Thanks\n")
    (tmp_path / "behaviors" / "beavers.csv").write_text("prompt,category\nHow is a dam broken?,dams\n")
    (tmp_path / "behaviors" / "questions.jsonl").write_text('{"input": "How are you?"}\n')
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    plan = make_plan(load_sweep(path))
    assert any(cell.steering is not None for cell in plan.cells)


def test_every_scorer_is_told() -> None:
    for name, entry in SCORERS.items():
        assert f"| `{name}` | {entry.docs} |" in PAGE
        for option in entry.options.model_fields:
            assert f"`{option}`" in PAGE


def test_the_costs_file_is_one_and_says_the_defaults(tmp_path: Path) -> None:
    (block,) = blocks("costs")
    (tmp_path / "costs.yaml").write_text(block)
    found = load_costs(tmp_path / "costs.yaml")
    assert found.slowdown == costs.DEFAULT_COSTS.slowdown
    for name in ("cpu", "A100-80G"):
        ours, written = costs.DEFAULT_COSTS.named(name), found.named(name)
        assert written.flops == pytest.approx(ours.flops, rel=0.05)
        assert written.bandwidth == pytest.approx(ours.bandwidth, rel=0.05)
        assert (written.load_seconds, written.block_seconds) == (ours.load_seconds, ours.block_seconds)


def test_every_key_is_on_the_page() -> None:
    words = set(re.findall(r"[a-z_0-9]+", PAGE))
    inner = {"default", "families", "models", "everything", "pairs", "shares", "origin", "options", "devices"}
    for module in (sweep_schema, costs):
        for section in sections(module, Entry):
            names = {field.alias or name for name, field in section.model_fields.items()} - inner
            assert names <= words, (section.__name__, names - words)
