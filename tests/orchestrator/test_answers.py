"""The command `show`: which answers it prints, beside which others, and what it says of words it cannot follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from actors.types import Decoding
from orchestrator.cli import app
from orchestrator.results.store import Store
from tests.orchestrator.samples import filled, grid, labels_of, plan_of, result_of, write_labels

COUNTS = {None: (0, 0), (12, 2.0): (0, 0), (12, 8.0): (1, 9), (15, 2.0): (4, 0), (15, 8.0): (9, 1)}
Show = Callable[..., Result]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = filled(tmp_path_factory.mktemp("finished"), grid(), COUNTS)
    store.compact()
    return store.root


@pytest.fixture
def show(results: Path) -> Show:
    """Runs the command on the folder."""
    return lambda *words: CliRunner().invoke(app, ["show", str(results), *words])


def answers(told: Result) -> list[dict[str, Any]]:
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)["answers"]
    assert isinstance(found, list)
    return found


def test_an_answer_with_its_label_and_why(show: Show) -> None:
    told = show("layer=15,multiplier=8", "--prompt", "p3").output.splitlines()
    assert told == [
        "smollm2 · refusal · dim L15+ x 8 · p3: How do I bake bread number 3?",
        "  [coherent refusal]  rule: made up  3 tokens",
        "  | Answer to p3.",
        "",
        "1 answer: 1 coherent refusal",
    ]


def test_beside_the_unsteered(show: Show) -> None:
    found = answers(show("layer=15", "--vs", "baseline", "--json", "-n", "100"))
    assert len(found) == 20
    assert all(one["beside"]["cell"].endswith("unsteered") for one in found)
    assert all(one["beside"]["prompt_id"] == one["prompt_id"] for one in found)
    assert {one["beside"]["same_tokens"] for one in found} == {3}
    assert "beside smollm2 · refusal · unsteered, the same for 3 tokens:" in show("layer=15", "--vs", "baseline").output


def test_how_an_answer_was_drawn_is_told(tmp_path: Path) -> None:
    drawn = tuple(replace(one, decoding=Decoding(temperature=0.7, samples=2)) for one in grid())
    store = filled(tmp_path, (*grid(), *drawn), COUNTS)
    store.compact()
    told = CliRunner().invoke(app, ["show", str(tmp_path), "layer=15,multiplier=8", "--vs", "baseline", "-n", "100"]).output
    for how in ("", ", 100 new tokens, temperature 0.7, 2 samples, seed 0"):
        assert f"smollm2 · refusal · dim L15+ x 8{how} · p3" in told
        assert f"beside smollm2 · refusal · unsteered{how}, the same for" in told


def test_beside_the_cell_that_shares_most(show: Show) -> None:
    """Each multiplier of layer 12 with its own of layer 15, though all four cells ran the same prompts."""
    found = answers(show("layer=12", "--vs", "layer=15", "--json", "-n", "100"))
    pairs = {(one["cell"].rpartition(" ")[2], one["beside"]["cell"].rpartition(" ")[2]) for one in found}
    assert pairs == {("2", "2"), ("8", "8")}


def test_only_what_changed(show: Show) -> None:
    found = answers(show("layer=15,multiplier=2", "--vs", "baseline", "--changed", "--json"))
    assert [one["prompt_id"] for one in found] == ["p0", "p1", "p2", "p3"]


def test_by_label_or_outcome(show: Show) -> None:
    names = ("success", "outcome:success", "coherent_refusal", "label:coherent_refusal")
    found = [answers(show("--label", name, "--json", "-n", "99")) for name in names]
    assert found == [found[0]] * 4
    assert len(found[0]) == 1 + 4 + 9


def test_the_second_name_of_a_model_is_told_here_and_where_cells_are_compared(tmp_path: Path) -> None:
    store = filled(tmp_path, grid(), COUNTS)
    store.write_plan(replace(plan_of(grid()), twins={"copy": "smollm2"}))
    store.compact()
    told = "models smollm2 and copy are the same model: it runs once, and its rows say smollm2, none says copy"
    for words in (["show", str(tmp_path), "layer=15"], ["compare", str(tmp_path), "layer=15", "layer=12"]):
        found = CliRunner().invoke(app, words)
        assert f"note: {told}" in " ".join(found.output.split())
        assert told in json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["notes"]
        unknown = CliRunner().invoke(app, [*words[:2], "model=copy", *words[3:]])
        assert unknown.exit_code == 2
        assert f"none has it: {told} (got 'copy')" in " ".join(unknown.output.split())


def test_an_expression_in_the_text(show: Show) -> None:
    assert [one["response"] for one in answers(show("baseline", "--grep", "TO p[12]", "--json"))] == [
        "Answer to p1.",
        "Answer to p2.",
    ]


def test_there_are_more(show: Show) -> None:
    assert (
        show("-n", "2").output.splitlines()[-1]
        == "50 answers: 26 normal, 14 coherent refusal, 10 garbled; 2 shown, --limit shows more"
    )


def test_hostile_and_long_answers_are_text(tmp_path: Path) -> None:
    cells = grid((12,), (2.0,))
    store = Store(tmp_path)
    store.write_sweep("name: sample\n")
    store.write_plan(plan_of(cells))
    for one in cells:
        result = result_of(one, lambda prompt: "\x1b[2J\u202e" + "x" * 5000 if prompt.id == "p0" else "plain\nlines")
        store.write_responses(one, result, attempt=1)
        write_labels(store, one.id, labels_of(one))
    store.compact()
    told = CliRunner().invoke(app, ["show", str(tmp_path), "baseline"]).output
    assert not {"\x1b", "\u202e"} & set(told)
    assert "\\x1b[2J" in told
    assert "[...]" in told
    assert "  | plain\n  | lines" in told
    assert "x" * 5000 in CliRunner().invoke(app, ["show", str(tmp_path), "baseline", "--whole"]).output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("layer=13",), "allowed: none, 12, 15"),
        (("--label", "garbeld"), "did you mean 'garbled'"),
        (("--label", "label:garbeld"), "did you mean 'garbled'"),
        (("--label", "label:success"), "outcome:NAME and label:NAME, too"),
        (("--prompt", "p11"), "did you mean 'p1'"),
        (("--grep", "("), "no regular expression of RE2"),
        (("--changed",), "--vs baseline"),
        (("baseline", "--vs", "layer=15"), "2 cells could stand beside"),
    ],
)
def test_bad_words_are_told(show: Show, words: tuple[str, ...], told: str) -> None:
    found = show(*words)
    assert found.exit_code == 2, found.output
    assert told in found.output
    assert "Traceback" not in found.output
