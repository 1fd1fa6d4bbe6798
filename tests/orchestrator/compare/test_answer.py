"""The command `compare` over a results folder: what it shows, its JSON, and what it says of words it cannot follow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.results.store import Store
from tests.orchestrator.samples import filled, grid, labels_of, write_labels

COUNTS = {None: (0, 0), (12, 2.0): (0, 0), (12, 8.0): (1, 9), (15, 2.0): (4, 0), (15, 8.0): (9, 1)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = filled(tmp_path_factory.mktemp("finished"), grid(), COUNTS)
    store.compact()
    return store.root


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


@pytest.fixture
def compare(results: Path) -> Callable[..., Result]:
    """Runs the command; the word RESULTS stands for the folder."""
    return lambda *words: CliRunner().invoke(app, ["compare", *(str(results) if word == "RESULTS" else word for word in words)])


def as_json(told: Result) -> Any:
    assert told.exit_code == 0, told.output
    return json.loads(told.stdout)


def test_two_cells_in_full(compare: Callable[..., Result]) -> None:
    told = compare("RESULTS", "layer=15,multiplier=8", "baseline").output
    assert "90 % [59.6, 98.2] 9/10   effectively steerable" in told
    assert "0 % [0, 27.8] 0/10" in told
    assert "+90.0 points   Fisher's exact p 1.2e-4   Cohen's h +2.50" in told
    assert "paired on the same 10 prompts: 9 only in A, 0 only in B   McNemar's exact p 0.004" in told


def test_the_best_of_several_settings_is_told(compare: Callable[..., Result]) -> None:
    told = "the best of 4 settings by this very rate"
    assert f"layer=15,multiplier=8: {told}" in compare("RESULTS", "layer=15,multiplier=8", "baseline").output
    assert f"layer=15,multiplier=8: {told}" in compare("RESULTS", "baseline", "layer=15,multiplier=8").output
    for others in (
        ("layer=15,multiplier=2", "baseline"),
        ("layer=15", "baseline"),
        ("layer=15,multiplier=8", "baseline", "garbled"),
    ):
        words = (*others[:2], *(("--label", others[2]) if len(others) > 2 else ()))
        assert told not in compare("RESULTS", *words).output


def test_no_number_is_cut_off_on_a_narrow_terminal(compare: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    for width in ("200", "30"):
        monkeypatch.setenv("COLUMNS", width)
        told.append(compare("RESULTS", "--by", "layer", "--against", "12").output)
    wide, narrow = ({word for word in one.split() if set(word) != {"─"}} for one in told)
    assert {"+80.0", "[59.6,", "98.2]"} <= wide
    assert wide <= narrow


def test_the_same_as_json(compare: Callable[..., Result]) -> None:
    content = as_json(compare("RESULTS", "layer=15,multiplier=8", "baseline", "--json"))
    (one,) = content["comparisons"]
    assert (one["a"]["k"], one["a"]["n"], one["b"]["k"]) == (9, 10, 0)
    assert one["p"] == pytest.approx(2 / 16796, rel=0.5)
    assert one["paired"] == {"prompts": 10, "only_a": 9, "only_b": 0, "test": "McNemar's exact", "p": 2 / 2**9, "p_holm": None}
    assert one["p_holm"] is None
    assert one["transfer_effectiveness"] is None
    assert content["notes"] == []


def test_the_paired_test_reads_the_stored_labels(compare: Callable[..., Result], results: Path) -> None:
    """Four refusals each, on the same prompts or on others: only the labels of the single responses can tell."""
    store, cells = Store(results), {one.id: one for one in grid()}
    (four,) = (
        one for one in cells.values() if one.steering and (one.steering.layers[0], one.steering.action.multiplier) == (15, 2.0)
    )
    (other,) = (
        one for one in cells.values() if one.steering and (one.steering.layers[0], one.steering.action.multiplier) == (12, 2.0)
    )
    pairs = zip(labels_of(four), reversed(labels_of(four, 4)), strict=True)
    write_labels(store, other.id, [replace(label, prompt_id=one.prompt_id) for one, label in pairs])
    store.compact()
    (one,) = as_json(compare("RESULTS", four.id, other.id, "--json"))["comparisons"]
    assert one["points"] == 0
    assert (one["paired"]["only_a"], one["paired"]["only_b"]) == (4, 4)


def test_levels_with_holm(compare: Callable[..., Result]) -> None:
    content = as_json(compare("RESULTS", "--by", "layer", "--against", "15", "--where", "steered", "--json"))
    found = {one["a"]["selection"]: one for one in content["comparisons"]}
    assert set(found) == {"layer=12, multiplier=2", "layer=12, multiplier=8"}
    worst = found["layer=12, multiplier=8"]
    assert worst["p_holm"] == pytest.approx(2 * worst["p"])
    told = compare("RESULTS", "--by", "layer", "--against", "15", "--where", "steered").output
    assert max(len(line) for line in told.splitlines() if "Fisher" not in line) <= 80
    for part in ("B: layer=15", "layer=12", "multiplier=8", "90 9/10", "[59.6, 98.2]", "-80.0", "Holm"):
        assert part in told
    pooled = as_json(compare("RESULTS", "--by", "layer", "--against", "15", "--pool", "--json"))
    assert [(one["a"]["k"], one["a"]["n"]) for one in pooled["comparisons"]] == [(1, 20)]


def test_another_label(compare: Callable[..., Result]) -> None:
    told = compare("RESULTS", "layer=12,multiplier=8", "layer=15,multiplier=8", "--label", "garbled").output
    assert "garbled 90 % [59.6, 98.2] 9/10" in told
    assert "steerable" not in told


def test_the_paper_beside_a_sweep_of_another_model(compare: Callable[..., Result]) -> None:
    told = compare("RESULTS", "--paper", "8").output
    assert "not in this sweep, Table 8" in told
    content = as_json(compare("RESULTS", "--paper", "--json"))
    assert content["paper"] == []
    assert len(content["not_in_this_sweep"]) > 80


def test_the_audit_needs_no_results(compare: Callable[..., Result]) -> None:
    told = compare("--paper", "--audit").output
    assert "paper 0.005, the counts give 1.8e-7 (one-sided 8.8e-8)" in told
    assert "paper about 0.11, the counts give 0.170 (one-sided 0.085)" in told
    assert "39 statements of the paper, recomputed from its counts: 24 agree, 15 differ" in told
    assert len(as_json(compare("RESULTS", "--paper", "--audit", "--json"))["audit"]) == 39
    assert len(as_json(compare("--paper", "10", "--audit", "--json"))["audit"]) == 8


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "which results folder?"),
        (("nowhere", "a", "b"), "there are no such results"),
        (("RESULTS",), "what against what?"),
        (("RESULTS", "layer=13", "modle=x"), "allowed: none, 12, 15"),
        (("RESULTS", "layer=13", "modle=x"), "did you mean 'model'"),
        (("RESULTS", "baseline", "multiplier=0"), "none has it"),
        (("RESULTS", "layer=12", "steered"), "on both sides"),
        (("RESULTS", "--by", "layer"), "which level of layer is the others' reference?; allowed: none, 12, 15"),
        (("RESULTS", "baseline", "--by", "layer"), "it takes a reference level"),
        (("RESULTS", "--by", "layer", "--against", "13"), "no such layer"),
        (("RESULTS", "--paper", "99"), "no such table"),
        (("RESULTS", "baseline", "steered", "--audit"), "--paper --audit"),
        (("RESULTS", "baseline", "steered", "--against", "13"), "--against: it goes with --by (got '13')"),
        (("RESULTS", "baseline", "steered", "--pool"), "--pool: it goes with --by"),
        (("RESULTS", "--paper", "8", "--where", "modle=x"), "--where: the paper's tables are compared as they are"),
    ],
)
def test_bad_words_are_told(compare: Callable[..., Result], words: tuple[str, ...], told: str) -> None:
    found = compare(*words)
    assert found.exit_code == 2, found.output
    assert told in found.output
    assert "Traceback" not in found.output


def test_cells_without_labels_and_folders_without_cells(compare: Callable[..., Result], results: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "it holds no plan.json: no sweep ran here" in compare(str(tmp_path / "empty"), "a", "b").output
    for path in (results / "scores" / "refusal@13").iterdir():
        path.unlink()
    assert "its labels cannot be read: run `score`" in compare("RESULTS", "layer=12", "layer=15").output
    for path in (results / "responses").iterdir():
        path.unlink()
    assert "its responses cannot be read: `run` makes them anew" in compare("RESULTS", "layer=12", "layer=15").output


def test_cells_that_no_plan_asks_for_any_more_are_not_promised(compare: Callable[..., Result], results: Path) -> None:
    for path in (results / "responses").iterdir():
        path.rename(path.with_stem(f"{path.stem}-copy"))
    for table in results.glob("*.parquet"):
        table.unlink()
    told = compare("RESULTS", "layer=12", "layer=15").output
    assert "it holds no finished cells yet" in told
    assert "`score`" not in told, "which would make no table of them"


def test_finished_cells_that_the_tables_do_not_hold_are_counted(compare: Callable[..., Result], results: Path) -> None:
    filled(results.parent / "more", grid(layers=(12, 15, 18)))
    for kind in ("responses", "scores/refusal@13", "scores/coherence@6"):
        for path in (results.parent / "more" / kind).iterdir():
            if not (results / kind / path.name).exists():
                path.rename(results / kind / path.name)
    (results.parent / "more" / "plan.json").replace(results / "plan.json")
    told = compare("RESULTS", "layer=12,multiplier=8", "baseline").output
    assert "2 finished cells are not in the tables yet" in told
