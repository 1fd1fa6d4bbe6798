"""A rater is a scorer in every table, as soon as a rating is saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator import load_results
from orchestrator.labelling.desk import desk
from orchestrator.labelling.sample import Draw
from orchestrator.labelling.session import AskedResponse
from orchestrator.results.ratings import checked_rater, is_rater, rater_scorer
from orchestrator.results.store import Store
from orchestrator.scoring.options import ScorerOptions, scorer_id
from tests.orchestrator.labelling.made_up import to_label


def rated(place: Path, rater: str, *labels: str) -> list[AskedResponse]:
    """What ``rater`` was asked about and gave these labels."""
    with desk(place, rater, Draw(len(labels))) as server:
        for number, label in enumerate(labels):
            server.session.rate(number, label, f"comment {number}")
        return list(server.session.readings)


def test_ratings_are_scores_and_rates_like_any_others(tmp_path: Path) -> None:
    place = to_label(tmp_path / "out")
    before = load_results(place)
    asked = rated(place, "anna", "garbled", "normal", "coherent_refusal")
    found = load_results(place)
    mine = found.scores.filter(scorer="rater:anna")
    given = {(one["cell_id"], one["prompt_id"], one["sample"]): one["label"] for one in mine.to_dicts()}
    assert given == dict(zip((one.key for one in asked), ("garbled", "normal", "coherent_refusal"), strict=True))
    assert {json.loads(one)["comment"] for one in mine["evidence"]} == {"comment 0", "comment 1", "comment 2"}
    assert found.scores.height == before.scores.height + 3
    rates = found.rates.filter(scorer="rater:anna")
    assert rates["k"].sum() == 3
    for row in rates.to_dicts():
        assert row["n"] == sum(cell_id == row["cell_id"] for cell_id, *_ in given)
        assert row["k"] == sum(cell_id == row["cell_id"] and label == row["label"] for (cell_id, *_), label in given.items())
    assert found.cells.equals(before.cells)
    assert found.responses.equals(before.responses)


def test_the_tables_take_ratings_up_and_lack_nothing_for_them(tmp_path: Path) -> None:
    place = to_label(tmp_path / "out")
    store = Store(place)
    assert not store.compact().changed
    rated(place, "anna", "normal")
    assert store.compact().changed
    assert not store.lacking()
    assert not store.compact().changed
    with desk(place, "anna", Draw(1)) as server:
        server.session.undo()
    store.compact()
    assert not any(map(is_rater, load_results(place).scores["scorer"]))


def test_a_rating_of_another_text_is_no_score(tmp_path: Path) -> None:
    place = to_label(tmp_path / "out")
    (asked,) = rated(place, "anna", "normal")
    file = place / "ratings" / "anna.jsonl"
    file.write_text(file.read_text().replace(asked.response_sha256, "0" * 20))
    assert load_results(place).scores.filter(scorer="rater:anna").is_empty()


def test_a_label_that_the_scorer_no_longer_gives_stays_by_its_name(tmp_path: Path) -> None:
    place = to_label(tmp_path / "out")
    rated(place, "anna", "normal")
    file = place / "ratings" / "anna.jsonl"
    file.write_text(file.read_text().replace('"normal"', '"hedge"'))
    rates = load_results(place).rates.filter(scorer="rater:anna")
    assert {row["label"]: row["k"] for row in rates.to_dicts()}["hedge"] == 1


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"cell_id": "x"}', "\x00", '{"a":' * 1000])
def test_lines_that_are_no_ratings_cost_only_themselves(tmp_path: Path, line: str) -> None:
    place = to_label(tmp_path / "out")
    rated(place, "anna", "normal")
    file = place / "ratings" / "anna.jsonl"
    good = json.loads(file.read_text())
    file.write_text("\n".join([line, json.dumps({**good, "rated_at": "soon"}), json.dumps(good), line]))
    (place / "ratings" / "NOT A RATER.jsonl").write_text(json.dumps(good))
    assert load_results(place).scores.filter(scorer="rater:anna").height == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"rated_at": "2026-01-01T00:00:00"},
        {"rated_at": "2026-01-01"},
        *({"label": label} for label in (5, True, ["normal"], "\ud800")),
        *({"sample": sample} for sample in (False, "0", 0.0, -1, 10**400)),
        {"comment": {"a": 1}},
        {"prompt_id": 7},
        {"mood": "good"},
    ],
    ids=str,
)
def test_a_line_with_a_field_of_another_kind_is_no_rating(tmp_path: Path, fields: dict[str, object]) -> None:
    place = to_label(tmp_path / "out")
    rated(place, "anna", "normal")
    file = place / "ratings" / "anna.jsonl"
    good = json.loads(file.read_text())
    with file.open("a") as opened:
        opened.write(json.dumps({**good, **fields}) + "\n")
    (score,) = load_results(place).scores.filter(scorer="rater:anna").to_dicts()
    assert (score["prompt_id"], score["label"]) == (good["prompt_id"], "normal")


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_a_file_that_cannot_be_read_ends_no_sweep_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: OSError
) -> None:
    place = to_label(tmp_path / "out")
    rated(place, "anna", "normal")
    opened = Path.open

    def refused(path: Path, *arguments: Any, **more: Any) -> Any:
        if path.name == "anna.jsonl":
            raise error
        return opened(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", refused)
    assert Store(place).compact().cells == 5
    assert "left out of the tables" in caplog.text


def test_no_scorer_has_a_raters_name() -> None:
    assert rater_scorer(checked_rater("anna")) == "rater:anna"
    assert is_rater("rater:anna")
    assert not is_rater("raters@1")
    assert ":" not in scorer_id("rater:anna", "1", ScorerOptions())
